/*
 * Prometheus text exposition format 0.0.4: HELP and TYPE once a metric, every series also at 0, so that a rate has a beginning. No text of
 * ours needs escaping: names, helps and label values come from tables, the version was cleaned when it came in.
 */
#include "metrics_internal.h"

static const char *const kind_names[] = {"counter", "gauge", "histogram"};

#define TEXT(name, text) text,
static const char *const decision_texts[] = {IFAB_METRIC_DECISION_MAP(TEXT)};
static const char *const queue_texts[] = {IFAB_METRIC_QUEUE_MAP(TEXT)};
static const char *const state_texts[] = {IFAB_METRIC_STATE_MAP(TEXT)};
static const char *const level_texts[] = {IFAB_METRIC_LEVEL_MAP(TEXT)};
static const char *const task_texts[] = {IFAB_METRIC_TASK_MAP(TEXT)};
static const char *const swarm_texts[] = {IFAB_METRIC_SWARM_MAP(TEXT)};
static const char *const wall_texts[] = {IFAB_METRIC_WALL_MAP(TEXT)};
#undef TEXT
_Static_assert(IFAB_COUNT(decision_texts) == IFAB_METRIC_DECISION_COUNT, "one label a decision");

/* {name="value"}, or nothing */
static void put_label(struct ifab_buf *buf, const struct ifab_metrics *self, enum metric_label label, size_t at)
{
    switch (label) {
    case IFAB_METRICS__LABEL_NONE:
        return;
    case IFAB_METRICS__LABEL_DECISION:
        ifab_buf_format(buf, "{decision=\"%s\"}", decision_texts[at]);
        return;
    case IFAB_METRICS__LABEL_CODE:
        ifab_buf_format(buf, "{code=\"%03d\"}", (int)ifab_code_at(at)->code);
        return;
    case IFAB_METRICS__LABEL_QUEUE:
        ifab_buf_format(buf, "{queue=\"%s\"}", queue_texts[at]);
        return;
    case IFAB_METRICS__LABEL_STATE:
        ifab_buf_format(buf, "{state=\"%s\"}", state_texts[at]);
        return;
    case IFAB_METRICS__LABEL_LEVEL:
        ifab_buf_format(buf, "{level=\"%s\"}", level_texts[at]);
        return;
    case IFAB_METRICS__LABEL_TASK:
        ifab_buf_format(buf, "{state=\"%s\"}", task_texts[at]);
        return;
    case IFAB_METRICS__LABEL_SWARM:
        ifab_buf_format(buf, "{state=\"%s\"}", swarm_texts[at]);
        return;
    case IFAB_METRICS__LABEL_WALL:
        ifab_buf_format(buf, "{wall=\"%s\"}", wall_texts[at]);
        return;
    case IFAB_METRICS__LABEL_VERSION:
        ifab_buf_format(buf, "{version=\"%s\"}", self->version);
        return;
    case IFAB_METRICS__LABEL_ENGINE:
        ifab_buf_format(buf, "{engine=\"%s\"}", self->engine);
        return;
    }
}

/* Microseconds as seconds, exactly and without trailing zeros: 1500000 is 1.5. */
static void put_number(struct ifab_buf *buf, enum metric_unit unit, uint64_t value)
{
    if (unit == IFAB_METRICS__ONE) {
        ifab_buf_u64(buf, value);
        return;
    }
    uint64_t rest = value % 1000000;
    int digits = 6;
    ifab_buf_u64(buf, value / 1000000);
    if (rest == 0)
        return;
    for (; rest % 10 == 0; rest /= 10)
        digits--;
    ifab_buf_format(buf, ".%0*llu", digits, (unsigned long long)rest);
}

static void put_histogram(struct ifab_buf *buf, const struct ifab_metrics *self, enum ifab_metric metric)
{
    const struct metric_row *row = &ifab_metrics__rows[metric];
    const struct ifab_metric_histogram *histogram = &self->of[metric].histogram;
    size_t bound_count;
    const uint64_t *bounds = ifab_metrics__bounds(metric, &bound_count);
    uint64_t cumulative = 0;
    for (size_t i = 0; i < bound_count; i++) {
        cumulative += histogram->buckets[i];
        ifab_buf_format(buf, "%s_bucket{le=\"", row->name);
        put_number(buf, row->unit, bounds[i]);
        ifab_buf_format(buf, "\"} %llu\n", (unsigned long long)cumulative);
    }
    ifab_buf_format(buf, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum ", row->name, (unsigned long long)histogram->count, row->name);
    put_number(buf, row->unit, histogram->sum);
    ifab_buf_format(buf, "\n%s_count %llu\n", row->name, (unsigned long long)histogram->count);
}

void ifab_metrics_write(const struct ifab_metrics *self, struct ifab_buf *buf)
{
    for (size_t m = 0; m < IFAB_METRIC_COUNT; m++) {
        const struct metric_row *row = &ifab_metrics__rows[m];
        ifab_buf_format(buf, "# HELP %s %s\n# TYPE %s %s\n", row->name, row->help, row->name, kind_names[row->kind]);
        if (row->kind == IFAB_METRICS__HISTOGRAM) {
            put_histogram(buf, self, (enum ifab_metric)m);
            continue;
        }
        for (size_t i = 0; i < row->label_count; i++) {
            ifab_buf_str(buf, row->name);
            put_label(buf, self, row->label, i);
            ifab_buf_char(buf, ' ');
            put_number(buf, row->unit, self->of[m].values[i]);
            ifab_buf_char(buf, '\n');
        }
    }
}
