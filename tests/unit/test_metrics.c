/* Metrics: counting, buckets, quantiles, and a text that promtool accepts. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "metrics/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

static struct ifab_metrics metrics;

static int fresh(void **state)
{
    (void)state;
    ifab_metrics_init(&metrics, "0.1.0");
    return 0;
}

/* The whole text, ending with NUL; caller frees. */
static struct ifab_buf text_of(const struct ifab_metrics *self)
{
    struct ifab_buf buf = IFAB_BUF_INIT(1 << 20);
    ifab_metrics_write(self, &buf);
    ifab_buf_char(&buf, '\0');
    assert_int_equal(ifab_buf_status(&buf), IFAB_OK);
    return buf;
}

static void assert_lines(const char *const *lines, size_t count)
{
    struct ifab_buf buf = text_of(&metrics);
    for (size_t i = 0; i < count; i++) {
        const char *at = strstr((const char *)buf.data, lines[i]);
        if (at == NULL || (at != (const char *)buf.data && at[-1] != '\n') || at[strlen(lines[i])] != '\n')
            fail_msg("no line: %s", lines[i]);
    }
    ifab_buf_fini(&buf);
}

static void counts_by_label(void **state)
{
    (void)state;
    ifab_metrics_add(&metrics, IFAB_METRIC_MESSAGES, IFAB_DECISION_SHARE, 3);
    ifab_metrics_add(&metrics, IFAB_METRIC_MESSAGES, IFAB_DECISION_SHARE, 4);
    ifab_metrics_add(&metrics, IFAB_METRIC_MESSAGES, IFAB_DECISION_DENY, 1);
    ifab_metrics_add(&metrics, IFAB_METRIC_REFUSALS, ifab_metrics_code(IFAB_CODE_INVALID_SIGNATURE), 2);
    ifab_metrics_add(&metrics, IFAB_METRIC_REFUSALS, ifab_metrics_code(IFAB_CODE_REPLAY_DETECTED), 5);
    ifab_metrics_set(&metrics, IFAB_METRIC_LOG_ENTRIES, 0, 1000000);
    ifab_metrics_set(&metrics, IFAB_METRIC_QUEUE_DEPTH, IFAB_METRIC_QUEUE_COMMIT, 17);
    ifab_metrics_set(&metrics, IFAB_METRIC_OPEN_DECISIONS, IFAB_METRIC_STATE_ESCALATED, 9);
    ifab_metrics_engine(&metrics, "wasmtime 48.0.8\"\n");
    ifab_metrics_set(&metrics, IFAB_METRIC_SANDBOX_WALL, IFAB_METRIC_WALL_LANDLOCK, 1);
    ifab_metrics_set(&metrics, IFAB_METRIC_SANDBOX_WRONG_FRAMES, 0, 4);
    ifab_metrics_set(&metrics, IFAB_METRIC_BUDGETS, IFAB_METRIC_LEVEL_PAUSE, 3);
    ifab_metrics_set(&metrics, IFAB_METRIC_QUEUE_DEPTH, IFAB_METRIC_QUEUE_COMMIT, 16);
    assert_int_equal(ifab_metrics_value(&metrics, IFAB_METRIC_MESSAGES, IFAB_DECISION_SHARE), 7);
    static const char *const lines[] = {
        "ifab_build_info{version=\"0.1.0\"} 1",
        "# TYPE ifab_messages_total counter",
        "ifab_messages_total{decision=\"SHARE\"} 7",
        "ifab_messages_total{decision=\"DENY\"} 1",
        "ifab_messages_total{decision=\"HOLD\"} 0",
        "ifab_messages_total{decision=\"ESCALATE\"} 0",
        "ifab_refusals_total{code=\"001\"} 2",
        "ifab_refusals_total{code=\"103\"} 5",
        "ifab_refusals_total{code=\"605\"} 0",
        "# TYPE ifab_log_entries gauge",
        "ifab_log_entries 1000000",
        "ifab_queue_depth{queue=\"commit\"} 16",
        "ifab_open_decisions{state=\"escalated\"} 9",
        "ifab_open_decisions{state=\"held\"} 0",
        "ifab_budgets{level=\"pause\"} 3",
        "ifab_budgets{level=\"open\"} 0",
        "ifab_reservations 0",
        "ifab_breakers_open 0",
        "ifab_sandbox_info{engine=\"wasmtime 48.0.8__\"} 1",
        "ifab_sandbox_wall{wall=\"landlock\"} 1",
        "ifab_sandbox_wall{wall=\"namespaces\"} 0",
        "ifab_sandbox_wrong_frames_total 4",
        "ifab_replay_tags 0",
        "ifab_connections 0",
        "ifab_wal_bytes 0",
        "ifab_waiters 0",
        "ifab_verify_failures_total 0",
    };
    assert_lines(lines, IFAB_COUNT(lines));
}

static void labels_of_decisions_are_their_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        char line[64];
        const char *lines[] = {line};
        ifab_metrics_init(&metrics, "x");
        ifab_metrics_add(&metrics, IFAB_METRIC_MESSAGES, i, 1);
        snprintf(line, sizeof line, "ifab_messages_total{decision=\"%s\"} 1", ifab_decision_name((enum ifab_decision)i));
        assert_lines(lines, 1);
    }
}

static void every_code_has_its_own_label(void **state)
{
    (void)state;
    size_t rows = 0;
    while (ifab_code_at(rows) != NULL) {
        assert_int_equal(ifab_metrics_code(ifab_code_at(rows)->code), rows);
        rows++;
    }
    assert_int_equal(rows, IFAB_METRIC_CODE_COUNT);
    assert_int_equal(ifab_metrics_code(IFAB_CODE_NONE), IFAB_METRIC_CODE_COUNT);
    assert_int_equal(ifab_metrics_code((enum ifab_code)999), IFAB_METRIC_CODE_COUNT);
}

static void ignores_wrong_labels_and_kinds(void **state)
{
    (void)state;
    struct ifab_metrics before = metrics;
    ifab_metrics_add(&metrics, IFAB_METRIC_MESSAGES, 4, 1);
    ifab_metrics_add(&metrics, IFAB_METRIC_REFUSALS, IFAB_METRIC_CODE_COUNT, 1);
    ifab_metrics_add(&metrics, IFAB_METRIC_REFUSALS, SIZE_MAX, 1);
    ifab_metrics_set(&metrics, IFAB_METRIC_LOG_ENTRIES, 1, 1);
    ifab_metrics_add(&metrics, IFAB_METRIC_COMMIT_SECONDS, 0, 1);
    ifab_metrics_set(&metrics, IFAB_METRIC_COMMIT_SECONDS, 0, 1);
    ifab_metrics_observe(&metrics, IFAB_METRIC_COMMIT_SECONDS, 1, 1);
    ifab_metrics_observe(&metrics, IFAB_METRIC_MESSAGES, 0, 1);
    ifab_metrics_add(&metrics, IFAB_METRIC_COUNT, 0, 1);
    ifab_metrics_observe(&metrics, (enum ifab_metric)1000, 0, 1);
    assert_memory_equal(&before, &metrics, sizeof before);
    assert_int_equal(ifab_metrics_value(&metrics, IFAB_METRIC_COUNT, 0), 0);
    assert_int_equal(ifab_metrics_value(&metrics, IFAB_METRIC_MESSAGES, 4), 0);
}

static void observations_fall_into_buckets_that_include_their_bound(void **state)
{
    (void)state;
    static const int64_t seen[] = {0, 50, 51, 100, 1500000, -7, 86400000000, 86400000001};
    for (size_t i = 0; i < IFAB_COUNT(seen); i++)
        ifab_metrics_observe(&metrics, IFAB_METRIC_DECISION_SECONDS, 0, seen[i]);
    ifab_metrics_observe(&metrics, IFAB_METRIC_COMMIT_BATCH, 0, 1024);
    ifab_metrics_observe(&metrics, IFAB_METRIC_COMMIT_BATCH, 0, 1025);
    assert_int_equal(ifab_metrics_value(&metrics, IFAB_METRIC_DECISION_SECONDS, 0), 8);
    static const char *const lines[] = {
        "# TYPE ifab_decision_seconds histogram",
        "ifab_decision_seconds_bucket{le=\"0.00005\"} 3",
        "ifab_decision_seconds_bucket{le=\"0.0001\"} 5",
        "ifab_decision_seconds_bucket{le=\"1\"} 5",
        "ifab_decision_seconds_bucket{le=\"2.5\"} 6",
        "ifab_decision_seconds_bucket{le=\"86400\"} 7",
        "ifab_decision_seconds_bucket{le=\"+Inf\"} 8",
        "ifab_decision_seconds_sum 172801.500202",
        "ifab_decision_seconds_count 8",
        "ifab_commit_batch_bucket{le=\"512\"} 0",
        "ifab_commit_batch_bucket{le=\"1024\"} 1",
        "ifab_commit_batch_bucket{le=\"+Inf\"} 2",
        "ifab_commit_batch_sum 2049",
        "ifab_commit_seconds_count 0",
        "ifab_commit_seconds_sum 0",
    };
    assert_lines(lines, IFAB_COUNT(lines));
    ifab_metrics_observe(&metrics, IFAB_METRIC_COMMIT_BATCH, 0, INT64_MAX);
    ifab_metrics_observe(&metrics, IFAB_METRIC_COMMIT_BATCH, 0, INT64_MAX);
    static const char *const stopped[] = {"ifab_commit_batch_sum 18446744073709551615"};
    assert_lines(stopped, 1);
}

static void quantiles_interpolate_inside_a_bucket(void **state)
{
    (void)state;
    assert_int_equal(ifab_metrics_quantile(&metrics, IFAB_METRIC_DECISION_SECONDS, 500), -1); /* nothing seen */
    for (int i = 0; i < 100; i++)
        ifab_metrics_observe(&metrics, IFAB_METRIC_DECISION_SECONDS, 0, 750); /* all in (500, 1000] */
    assert_int_equal(ifab_metrics_quantile(&metrics, IFAB_METRIC_DECISION_SECONDS, 0), 500);
    assert_int_equal(ifab_metrics_quantile(&metrics, IFAB_METRIC_DECISION_SECONDS, 500), 750);
    assert_int_equal(ifab_metrics_quantile(&metrics, IFAB_METRIC_DECISION_SECONDS, 950), 975);
    assert_int_equal(ifab_metrics_quantile(&metrics, IFAB_METRIC_DECISION_SECONDS, 1000), 1000);
    assert_int_equal(ifab_metrics_quantile(&metrics, IFAB_METRIC_DECISION_SECONDS, 1001), -1);
    assert_int_equal(ifab_metrics_quantile(&metrics, IFAB_METRIC_MESSAGES, 500), -1);
    for (int i = 0; i < 100; i++)
        ifab_metrics_observe(&metrics, IFAB_METRIC_DECISION_SECONDS, 0, INT64_MAX); /* beyond the last bound */
    assert_int_equal(ifab_metrics_quantile(&metrics, IFAB_METRIC_DECISION_SECONDS, 500), 1000);
    assert_int_equal(ifab_metrics_quantile(&metrics, IFAB_METRIC_DECISION_SECONDS, 501), 86400000000);
    metrics.of[IFAB_METRIC_COMMIT_SECONDS].histogram.buckets[0] = UINT64_MAX / 2; /* no count overflows the rank */
    metrics.of[IFAB_METRIC_COMMIT_SECONDS].histogram.count = UINT64_MAX / 2;
    assert_int_equal(ifab_metrics_quantile(&metrics, IFAB_METRIC_COMMIT_SECONDS, 500), 25);
}

/* Against the sorted values themselves: within the bucket that holds the true one. */
static void quantiles_stay_in_the_true_bucket(void **state)
{
    (void)state;
    static const int64_t bounds[] = {0, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000};
    uint64_t x = 88172645463325252;
    static int64_t seen[2000];
    for (size_t i = 0; i < 2000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        seen[i] = (int64_t)(x % 100000) + 1;
        ifab_metrics_observe(&metrics, IFAB_METRIC_COMMIT_SECONDS, 0, seen[i]);
    }
    for (size_t i = 1; i < 2000; i++) /* insertion sort */
        for (size_t j = i; j > 0 && seen[j - 1] > seen[j]; j--) {
            int64_t swap = seen[j];
            seen[j] = seen[j - 1];
            seen[j - 1] = swap;
        }
    for (unsigned permille = 1; permille <= 1000; permille++) {
        int64_t exact = seen[(2000 * permille + 999) / 1000 - 1];
        int64_t got = ifab_metrics_quantile(&metrics, IFAB_METRIC_COMMIT_SECONDS, permille);
        size_t at = 1;
        while (exact > bounds[at])
            at++;
        assert_true(got >= bounds[at - 1] && got <= bounds[at]);
    }
}

static void version_cannot_break_the_text(void **state)
{
    (void)state;
    ifab_metrics_init(&metrics, "1.0\"} 1\nevil{x=\"\\0123456789012345678901234567890");
    static const char *const lines[] = {"ifab_build_info{version=\"1.0___1_evil_x___01234567890123\"} 1"};
    assert_lines(lines, 1);
    ifab_metrics_init(&metrics, NULL);
    static const char *const none[] = {"ifab_build_info{version=\"\"} 1"};
    assert_lines(none, 1);
}

static void full_buffer_is_told(void **state)
{
    (void)state;
    struct ifab_buf small = IFAB_BUF_INIT(500);
    ifab_metrics_write(&metrics, &small);
    assert_int_equal(ifab_buf_status(&small), IFAB_TOO_LARGE);
    ifab_buf_fini(&small);
    struct ifab_buf buf = IFAB_BUF_INIT(1 << 20);
    ifab_mem_fail_at(1);
    ifab_metrics_write(&metrics, &buf);
    assert_true(ifab_mem_failed());
    ifab_mem_fail_at(0);
    assert_int_equal(ifab_buf_status(&buf), IFAB_NOMEM);
    ifab_buf_fini(&buf);
}

static void promtool_accepts_the_text(void **state)
{
    (void)state;
    if (system("command -v promtool >/dev/null 2>&1") != 0) {
        print_message("no promtool on PATH: its check did not run\n");
        return;
    }
    for (int i = 0; i < 1000; i++) {
        ifab_metrics_observe(&metrics, IFAB_METRIC_COMMIT_SECONDS, 0, (int64_t)i * i * i);
        ifab_metrics_observe(&metrics, IFAB_METRIC_COMMIT_BATCH, 0, i);
        ifab_metrics_add(&metrics, IFAB_METRIC_REFUSALS, (size_t)i % IFAB_METRIC_CODE_COUNT, 1);
    }
    struct ifab_buf buf = text_of(&metrics);
    FILE *promtool = popen("promtool check metrics >/dev/null 2>&1", "w");
    assert_non_null(promtool);
    assert_int_equal(fwrite(buf.data, 1, buf.size - 1, promtool), buf.size - 1);
    int status = pclose(promtool);
    ifab_buf_fini(&buf);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0); /* 3: lint problems */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(counts_by_label, fresh),
        cmocka_unit_test_setup(labels_of_decisions_are_their_names, fresh),
        cmocka_unit_test_setup(every_code_has_its_own_label, fresh),
        cmocka_unit_test_setup(ignores_wrong_labels_and_kinds, fresh),
        cmocka_unit_test_setup(observations_fall_into_buckets_that_include_their_bound, fresh),
        cmocka_unit_test_setup(quantiles_interpolate_inside_a_bucket, fresh),
        cmocka_unit_test_setup(quantiles_stay_in_the_true_bucket, fresh),
        cmocka_unit_test_setup(version_cannot_break_the_text, fresh),
        cmocka_unit_test_setup(full_buffer_is_told, fresh),
        cmocka_unit_test_setup(promtool_accepts_the_text, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
