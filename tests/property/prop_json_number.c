/*
 * The number writer against another implementation of ECMA-262 Number::toString: every power of two with its neighbours, powers of ten,
 * decimals as people write them, then seeded random bit patterns (IFAB_NUMBERS, default 1,000,000). The text also reads back as the same
 * double. Without `node` on PATH the program says SKIP.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "json/json.h"
#include "support.h"

#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

struct stream {
    struct test_random random;
    uint64_t index, count;
};

#define POWERS_OF_TWO (1074 + 1024)
#define FIXED (POWERS_OF_TWO * 5 + 632 * 3)

static double from_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double neighbour(double value, int64_t by)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return from_bits(bits + (uint64_t)by);
}

/* The writer process and the comparing one both walk the same stream. */
static bool next_number(struct stream *s, double *ret)
{
    static const int64_t steps[] = {0, 1, -1, 2, -2};
    uint64_t i = s->index++;
    if (i < POWERS_OF_TWO * 5) {
        *ret = fabs(neighbour(ldexp(1.0, (int)(i / 5) - 1074), steps[i % 5]));
        if (!isfinite(*ret))
            *ret = 0;
        return true;
    }
    if (i < FIXED) {
        char text[16];
        i -= POWERS_OF_TWO * 5;
        snprintf(text, sizeof text, "1e%d", (int)(i / 3) - 323);
        *ret = neighbour(strtod(text, NULL), steps[i % 3]);
        return true;
    }
    if (i >= FIXED + s->count)
        return false;
    if (i % 4 == 0) { /* decimals of 1 to 17 digits near 1 */
        char text[48];
        uint64_t digits = test_random_u64(&s->random) >> (i / 4 % 60);
        snprintf(text, sizeof text, "%llue%d", (unsigned long long)digits, (int)test_random_below(&s->random, 40) - 30);
        *ret = strtod(text, NULL);
        return true;
    }
    do {
        *ret = from_bits(test_random_u64(&s->random));
    } while (!isfinite(*ret));
    return true;
}

static bool node_there(void)
{
    return system("node --version >/dev/null 2>&1") == 0;
}

static pid_t start_node(int in, int out, int unused1, int unused2)
{
    char *script = test_vector_path("../support/number_to_string.js");
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(in, 0);
        dup2(out, 1);
        close(in);
        close(out);
        close(unused1);
        close(unused2);
        execlp("node", "node", script, (char *)NULL);
        _exit(127);
    }
    free(script);
    return child;
}

static pid_t start_writer(struct stream s, int out, int unused1, int unused2, int unused3)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child > 0)
        return child;
    close(unused1);
    close(unused2);
    close(unused3);
    FILE *file = fdopen(out, "wb");
    double value;
    while (file != NULL && next_number(&s, &value))
        fwrite(&value, sizeof value, 1, file);
    _exit(file == NULL || fclose(file) != 0);
}

static bool reads_back(const char *text, size_t size, double value, struct ifab_arena *arena)
{
    const struct ifab_json *number;
    ifab_arena_reset(arena);
    if (fabs(value) > 9007199254740991.0 && memchr(text, 'e', size) == NULL)
        return true; /* written as a plain integer, which the reader refuses above 2^53-1 */
    if (ifab_json_read(ifab_view_of(text, size), NULL, arena, &number, NULL) != IFAB_OK)
        return false;
    return number->type == IFAB_JSON_NUMBER && memcmp(&number->u.number.value, &value, sizeof value) == 0;
}

static void writes_numbers_as_ecmascript_does(void **state)
{
    (void)state;
    struct stream s = {{test_env_u64("IFAB_SEED", 20251112)}, 0, test_env_u64("IFAB_NUMBERS", 1000000)};
    int to_node[2], from_node[2];
    assert_int_equal(pipe(to_node), 0);
    assert_int_equal(pipe(from_node), 0);
    pid_t node = start_node(to_node[0], from_node[1], to_node[1], from_node[0]);
    pid_t writer = start_writer(s, to_node[1], to_node[0], from_node[0], from_node[1]);
    close(to_node[0]);
    close(to_node[1]);
    close(from_node[1]);
    FILE *answers = fdopen(from_node[0], "r");
    assert_non_null(answers);
    struct ifab_arena arena;
    ifab_arena_init(&arena, 65536);
    double value;
    uint64_t compared = 0, seed = s.random.state;
    while (next_number(&s, &value)) {
        char expected[64], text[33];
        assert_non_null(fgets(expected, sizeof expected, answers));
        size_t size = ifab_json_format_double(value, text);
        text[size] = '\0';
        expected[strcspn(expected, "\n")] = '\0';
        bool zero = value == 0; /* the reader refuses -0, so it does not come back */
        if (strcmp(text, expected) != 0 || (!zero && !reads_back(text, size, value, &arena)))
            fail_msg("%a: %s, expected %s (IFAB_SEED=%llu, number %llu)", value, text, expected, (unsigned long long)seed,
                     (unsigned long long)compared);
        compared++;
    }
    int status;
    fclose(answers);
    waitpid(writer, &status, 0);
    assert_int_equal(status, 0);
    waitpid(node, &status, 0);
    assert_int_equal(status, 0);
    ifab_arena_fini(&arena);
    print_message("# %llu numbers compared\n", (unsigned long long)compared);
}

static const struct CMUnitTest tests[] = {cmocka_unit_test(writes_numbers_as_ecmascript_does)};

int main(void)
{
    if (!node_there())
        TEST_SKIP_ALL("no node");
    signal(SIGPIPE, SIG_IGN);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
