/*
 * if-verify: proves or refutes, offline, what a fabric gave out. Reads arguments, hands the bytes to the verifier, prints what it found.
 * Exit: 0 verified, 1 not verified, 2 usage, 3 consistent but no trusted key was given.
 */
#include <inttypes.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/mem.h"
#include "client/verify.h"
#include "crypto/crypto.h"
#include "json/json.h"

enum { EXIT_VERIFIED = 0, EXIT_NOT_VERIFIED = 1, EXIT_USAGE = 2, EXIT_NO_KEY = 3 };
enum kind { KIND_FIND_OUT, KIND_LOG, KIND_RECEIPT, KIND_BUNDLE };

#define FILE_MAX (4 << 20)
#define NOTE_FILE_MAX    65536

static const char usage_text[] =
    "Usage: if-verify [log|receipt|bundle] PATH --vkey KEY|@FILE [--checkpoint FILE] [--min-size N] [--follow-rotation] [--hash-only] [--quiet]\n"
    "\n"
    "PATH is a log export (a directory), a receipt or a bundle (JSON files; their names do not matter).\n"
    "  --vkey KEY|@FILE    verifier key of the log, as you got it from a place you trust\n"
    "  --checkpoint FILE   logs: a checkpoint you saw before, which the log must still contain;\n"
    "                      receipts, bundles: one over exactly as many entries; any other cannot be compared (exit 2)\n"
    "  --min-size N        logs: there must be at least N entries; receipts, bundles: when they were made (else exit 2)\n"
    "  --follow-rotation   logs: KEY may be an earlier key of this log; every change since must be proven\n"
    "  --hash-only         only leaf hashes, tiles, root and signature; no chain, no messages\n"
    "  --quiet             no output, only the exit status\n"
    "  --version           print the version\n"
    "\n"
    "Exit status: 0 verified, 1 not verified, 2 usage, or it cannot be compared so, 3 consistent but no trusted key given\n";

struct arguments {
    enum kind kind;
    const char *path, *vkey, *checkpoint, *min_size;
    bool hash_only, follow_rotation, quiet, help, version;
};

/* Text of the input, also a name: all that is not printable ASCII is escaped, so that it cannot play with the terminal. */
static void put_safe(FILE *to, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c >= 0x20 && c < 0x7f && c != '\\')
            putc(c, to);
        else
            fprintf(to, "\\x%02x", c);
    }
}

/* "if-verify: NAME: TEXT"; a text that begins with the name stands alone. */
static void complain(const char *name, const char *text)
{
    fputs("if-verify: ", stderr);
    if (strncmp(text, name, strlen(name)) != 0) {
        put_safe(stderr, name);
        fputs(": ", stderr);
    }
    put_safe(stderr, text);
    putc('\n', stderr);
}

static int usage(const char *what, const char *which)
{
    fprintf(stderr, "if-verify: %s", what);
    put_safe(stderr, which);
    fprintf(stderr, "\n\n%s", usage_text);
    return EXIT_USAGE;
}

/* "--name VALUE" or "--name=VALUE"; NULL: not this option. */
static const char *value_of(const char *name, int argc, char **argv, int *at, bool *ret_missing)
{
    const size_t size = strlen(name);

    if (strncmp(argv[*at], name, size) != 0)
        return NULL;
    if (argv[*at][size] == '=')
        return argv[*at] + size + 1;
    if (argv[*at][size] != '\0')
        return NULL;
    if (*at + 1 >= argc) {
        *ret_missing = true;
        return NULL;
    }
    return argv[++*at];
}

static bool take_option(struct arguments *args, int argc, char **argv, int *at, bool *ret_missing)
{
    const struct {
        const char *name;
        const char **value;
    } options[] = {{"--vkey", &args->vkey}, {"--checkpoint", &args->checkpoint}, {"--min-size", &args->min_size}};

    for (size_t i = 0; i < IFAB_COUNT(options); i++) {
        const char *value = value_of(options[i].name, argc, argv, at, ret_missing);
        if (value != NULL) {
            *options[i].value = value;
            return true;
        }
    }
    if (strcmp(argv[*at], "--hash-only") == 0)
        return args->hash_only = true;
    if (strcmp(argv[*at], "--follow-rotation") == 0)
        return args->follow_rotation = true;
    if (strcmp(argv[*at], "--quiet") == 0 || strcmp(argv[*at], "-q") == 0)
        return args->quiet = true;
    if (strcmp(argv[*at], "--version") == 0)
        return args->version = true;
    if (strcmp(argv[*at], "--help") == 0 || strcmp(argv[*at], "-h") == 0)
        return args->help = true;
    return false;
}

static enum kind kind_of(const char *word)
{
    static const struct {
        const char *word;
        enum kind kind;
    } kinds[] = {{"log", KIND_LOG}, {"receipt", KIND_RECEIPT}, {"bundle", KIND_BUNDLE}};

    for (size_t i = 0; i < IFAB_COUNT(kinds); i++)
        if (strcmp(word, kinds[i].word) == 0)
            return kinds[i].kind;
    return KIND_FIND_OUT;
}

static int read_arguments(struct arguments *args, int argc, char **argv)
{
    bool only_paths = false;

    for (int i = 1; i < argc; i++) {
        bool missing = false;
        if (!only_paths && strcmp(argv[i], "--") == 0) {
            only_paths = true;
            continue;
        }
        if (!only_paths && argv[i][0] == '-' && argv[i][1] != '\0') {
            const char *given = argv[i];
            if (take_option(args, argc, argv, &i, &missing))
                continue;
            return missing ? usage("a value is missing after ", given) : usage("unknown option ", given);
        }
        if (args->path != NULL)
            return usage("more than one PATH: ", argv[i]);
        if (args->kind == KIND_FIND_OUT && !only_paths && i + 1 < argc) { /* a word before PATH; a file of that name alone is PATH */
            args->kind = kind_of(argv[i]);
            if (args->kind != KIND_FIND_OUT)
                continue;
        }
        args->path = argv[i];
    }
    if (!args->help && !args->version && args->path == NULL)
        return usage("PATH is missing", "");
    return EXIT_VERIFIED;
}

/* Whole decimal, no sign, no blank. */
static bool read_number(const char *text, uint64_t *ret_number)
{
    uint64_t number = 0;
    size_t digits = strlen(text);

    if (digits == 0 || digits > 18)
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        number = number * 10 + (uint64_t)(*text - '0');
    }
    *ret_number = number;
    return true;
}

struct inputs {
    struct ifab_view vkey_file, checkpoint, file; /* owned */
};

static void inputs_fini(struct inputs *self)
{
    const struct ifab_view *all[] = {&self->vkey_file, &self->checkpoint, &self->file};

    for (size_t i = 0; i < IFAB_COUNT(all); i++) {
        uint8_t *bytes;
        memcpy(&bytes, &all[i]->data, sizeof bytes); /* owned, though a view only lends */
        ifab_free(bytes);
    }
}

static bool load(const char *path, size_t max, struct ifab_view *ret_bytes)
{
    struct ifab_error err = {0};

    if (ifab_verify_read_file(path, max, ret_bytes, &err) == IFAB_OK)
        return true;
    complain(path, err.text);
    return false;
}

/* What stands in a file decides, not its name: a bundle holds an envelope. */
static bool is_bundle(struct ifab_view bytes)
{
    struct ifab_arena arena;
    const struct ifab_json *tree;

    ifab_arena_init(&arena, 64 << 20);
    const struct ifab_json_limits limits = {.max_size = FILE_MAX};
    bool bundle = ifab_json_read(bytes, &limits, &arena, &tree, NULL) == IFAB_OK && ifab_json_get(tree, "envelope") != NULL;
    ifab_arena_fini(&arena);
    return bundle;
}

static int find_kind(struct arguments *args, struct inputs *inputs)
{
    struct stat st;

    if (stat(args->path, &st) != 0) {
        complain(args->path, "no such file or directory");
        return EXIT_USAGE;
    }
    if (args->kind == KIND_FIND_OUT && S_ISDIR(st.st_mode))
        args->kind = KIND_LOG;
    if ((args->kind == KIND_LOG) != (S_ISDIR(st.st_mode) != 0))
        return usage("a log is a directory, a receipt or bundle is a file: ", args->path);
    if (args->kind == KIND_LOG)
        return EXIT_VERIFIED;
    if (!load(args->path, FILE_MAX, &inputs->file))
        return EXIT_NOT_VERIFIED;
    if (args->kind == KIND_FIND_OUT)
        args->kind = is_bundle(inputs->file) ? KIND_BUNDLE : KIND_RECEIPT;
    return EXIT_VERIFIED;
}

static void print_report(const struct arguments *args, const struct ifab_verify_report *report)
{
    static const char *const verdicts[] = {
        [IFAB_VERIFY_NOT_VERIFIED] = "NOT VERIFIED",
        [IFAB_VERIFY_CONSISTENT] = "consistent, but no trusted key was given: --vkey",
        [IFAB_VERIFY_VERIFIED] = "verified",
    };

    if (report->origin[0] != '\0') {
        printf("log        ");
        put_safe(stdout, report->origin);
        printf("\nsize       %" PRIu64 "\nroot       ", report->size);
        for (size_t i = 0; i < sizeof report->root32; i++)
            printf("%02x", report->root32[i]);
        putchar('\n');
    }
    if (args->kind == KIND_LOG) {
        printf("checked    %" PRIu64 " entries", report->entries_checked);
        if (!args->hash_only)
            printf("; messages: %" PRIu64 " checked, %" PRIu64 " erased, %" PRIu64 " not in this export", report->messages_good,
                   report->messages_erased, report->messages_absent);
        putchar('\n');
    }
    if (report->rotations > 0 && report->vkey[0] != '\0') {
        printf("key        changed %" PRIu64 " time%s; now ", report->rotations, report->rotations == 1 ? "" : "s");
        put_safe(stdout, report->vkey);
        putchar('\n');
    }
    printf("integrity  %s: ", report->intact ? "ok" : "BROKEN");
    if (report->has_bad_index)
        printf("entry %" PRIu64 ": ", report->bad_index);
    put_safe(stdout, report->integrity);
    printf("\ntrust      %s: ", report->trusted ? "ok" : "none");
    put_safe(stdout, report->trust[0] != '\0' ? report->trust : "not reached");
    printf("\n%s\n", verdicts[report->verdict]);
}

static bool make_options(const struct arguments *args, struct inputs *inputs, struct ifab_verify_options *ret_options)
{
    struct ifab_verify_options options = {.hash_only = args->hash_only, .follow_rotation = args->follow_rotation};

    if (args->vkey != NULL && args->vkey[0] == '@') {
        if (!load(args->vkey + 1, NOTE_FILE_MAX, &inputs->vkey_file))
            return false;
        options.vkey = inputs->vkey_file;
        while (options.vkey.size > 0 && options.vkey.data[options.vkey.size - 1] <= ' ')
            options.vkey.size--;
    } else if (args->vkey != NULL) {
        struct stat st;
        if (stat(args->vkey, &st) == 0) {
            complain(args->vkey, "is a file; to read the key from it, write --vkey @FILE");
            return false;
        }
        options.vkey = ifab_view_str(args->vkey);
    }
    if (args->vkey != NULL && options.vkey.size == 0) { /* an empty key is a mistake, not the absence of one */
        fprintf(stderr, "if-verify: --vkey is empty\n");
        return false;
    }
    if (args->checkpoint != NULL) {
        if (!load(args->checkpoint, NOTE_FILE_MAX, &inputs->checkpoint))
            return false;
        options.checkpoint = inputs->checkpoint;
        if (options.checkpoint.size == 0) {
            complain(args->checkpoint, "empty");
            return false;
        }
    }
    if (args->min_size != NULL) {
        options.has_min_size = true;
        if (!read_number(args->min_size, &options.min_size)) {
            complain(args->min_size, "--min-size is a number");
            return false;
        }
    }
    *ret_options = options;
    return true;
}

static int verify(const struct arguments *args, struct inputs *inputs)
{
    static const int exits[] = {
        [IFAB_VERIFY_NOT_VERIFIED] = EXIT_NOT_VERIFIED,
        [IFAB_VERIFY_CONSISTENT] = EXIT_NO_KEY,
        [IFAB_VERIFY_VERIFIED] = EXIT_VERIFIED,
    };
    struct ifab_verify_options options;
    struct ifab_verify_report report;
    struct ifab_error err = {0};
    ifab_status status;

    if (!make_options(args, inputs, &options))
        return EXIT_USAGE;
    status = args->kind == KIND_LOG      ? ifab_verify_log(args->path, &options, &report, &err)
             : args->kind == KIND_BUNDLE ? ifab_verify_bundle(inputs->file, &options, &report, &err)
                                         : ifab_verify_receipt(inputs->file, &options, &report, &err);
    if (status != IFAB_OK) {
        complain(args->path, err.text[0] != '\0' ? err.text : ifab_status_text(status));
        return status == IFAB_INVALID ? EXIT_USAGE : EXIT_NOT_VERIFIED;
    }
    if (!args->quiet)
        print_report(args, &report);
    if (fflush(stdout) != 0 && !args->quiet)
        return EXIT_NOT_VERIFIED; /* what was not said was not verified */
    return exits[report.verdict];
}

int main(int argc, char **argv)
{
    struct arguments args = {0};
    struct inputs inputs = {0};
    struct ifab_error err = {0};
    int result = read_arguments(&args, argc, argv);

    if (result != EXIT_VERIFIED)
        return result;
    if (args.help || args.version) {
        printf("%s", args.help ? usage_text : "if-verify " IFAB_VERSION "\n");
        return EXIT_VERIFIED;
    }
    if (ifab_crypto_init(&err) != IFAB_OK) {
        fprintf(stderr, "if-verify: %s\n", err.text);
        return EXIT_NOT_VERIFIED;
    }
    result = find_kind(&args, &inputs);
    if (result == EXIT_VERIFIED)
        result = verify(&args, &inputs);
    inputs_fini(&inputs);
    return result;
}
