#ifndef METRICS_INTERNAL_H
#define METRICS_INTERNAL_H
/* Inside of metrics: the rows as data. */
#include "base/mem.h"
#include "metrics/metrics.h"

enum metric_kind { IFAB_METRICS__COUNTER, IFAB_METRICS__GAUGE, IFAB_METRICS__HISTOGRAM };
enum metric_label {
    IFAB_METRICS__LABEL_NONE,
    IFAB_METRICS__LABEL_DECISION,
    IFAB_METRICS__LABEL_CODE,
    IFAB_METRICS__LABEL_QUEUE,
    IFAB_METRICS__LABEL_STATE,
    IFAB_METRICS__LABEL_LEVEL,
    IFAB_METRICS__LABEL_TASK,
    IFAB_METRICS__LABEL_SWARM,
    IFAB_METRICS__LABEL_WALL,
    IFAB_METRICS__LABEL_VERSION,
    IFAB_METRICS__LABEL_ENGINE
};
enum metric_unit { IFAB_METRICS__ONE, IFAB_METRICS__USEC };
struct metric_row {
    const char *name, *help;
    enum metric_kind kind;
    enum metric_label label;
    size_t label_count;
    enum metric_unit unit;
};
extern const struct metric_row ifab_metrics__rows[IFAB_METRIC_COUNT];
const uint64_t *ifab_metrics__bounds(enum ifab_metric metric, size_t *ret_count); /* upper bounds of a histogram's buckets, ascending */
#endif
