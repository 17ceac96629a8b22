/* The counting half: one row a metric, nothing that can fail. */
#include "metrics_internal.h"

#define ROW(name, text, kind, label, unit, help)                                                                      \
    {text, help, IFAB_METRICS__##kind, IFAB_METRICS__LABEL_##label, IFAB_METRIC_##label##_COUNT, IFAB_METRICS__##unit},
const struct metric_row ifab_metrics__rows[IFAB_METRIC_COUNT] = {IFAB_METRIC_MAP(ROW)};
#undef ROW

/* 50 µs is about one verification; 15 s the bar for people; 24 h the longest that a decision waits. */
static const uint64_t usec_bounds[] = {
    50,      100,     250,      500,      1000,     2500,     5000,      10000,     25000,       50000,        100000,
    250000,  500000,  1000000,  2500000,  5000000,  10000000, 15000000,  30000000,  60000000,    300000000,    900000000,
    3600000000U, 86400000000U,
};
static const uint64_t one_bounds[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};
_Static_assert(IFAB_COUNT(usec_bounds) <= IFAB_METRIC_BUCKETS_MAX && IFAB_COUNT(one_bounds) <= IFAB_METRIC_BUCKETS_MAX,
               "buckets have room");

const uint64_t *ifab_metrics__bounds(enum ifab_metric metric, size_t *ret_count)
{
    bool usec = ifab_metrics__rows[metric].unit == IFAB_METRICS__USEC;
    *ret_count = usec ? IFAB_COUNT(usec_bounds) : IFAB_COUNT(one_bounds);
    return usec ? usec_bounds : one_bounds;
}

static bool is_histogram(enum ifab_metric metric)
{
    return (size_t)metric < IFAB_METRIC_COUNT && ifab_metrics__rows[metric].kind == IFAB_METRICS__HISTOGRAM;
}

static uint64_t *series(struct ifab_metrics *self, enum ifab_metric metric, size_t label)
{
    if ((size_t)metric >= IFAB_METRIC_COUNT || is_histogram(metric) || label >= ifab_metrics__rows[metric].label_count)
        return NULL;
    return &self->of[metric].values[label];
}

/* As the value of a label: nothing in it has to be escaped. */
static void put_clean(char *to, size_t size, const char *text, char also)
{
    size_t i = 0;
    for (; text != NULL && i + 1 < size && text[i] != '\0'; i++) {
        char c = text[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '+' || c == '_' ||
                     c == '~' || c == '-' || c == also;
        to[i] = plain ? c : '_';
    }
    to[i] = '\0';
}

void ifab_metrics_engine(struct ifab_metrics *self, const char *engine)
{
    put_clean(self->engine, sizeof self->engine, engine, ' ');
    ifab_metrics_set(self, IFAB_METRIC_SANDBOX_INFO, 0, self->engine[0] != '\0');
}

void ifab_metrics_init(struct ifab_metrics *self, const char *version)
{
    memset(self, 0, sizeof *self);
    put_clean(self->version, sizeof self->version, version, '_');
    ifab_metrics_set(self, IFAB_METRIC_BUILD_INFO, 0, 1);
}

size_t ifab_metrics_code(enum ifab_code code)
{
    size_t at = 0;
    while (at < IFAB_METRIC_CODE_COUNT && ifab_code_at(at)->code != code)
        at++;
    return at;
}

void ifab_metrics_add(struct ifab_metrics *self, enum ifab_metric metric, size_t label, uint64_t n)
{
    uint64_t *value = series(self, metric, label);
    if (value != NULL)
        *value += n;
}

void ifab_metrics_set(struct ifab_metrics *self, enum ifab_metric metric, size_t label, uint64_t value)
{
    uint64_t *present = series(self, metric, label);
    if (present != NULL)
        *present = value;
}

void ifab_metrics_observe(struct ifab_metrics *self, enum ifab_metric metric, size_t label, int64_t value)
{
    if (!is_histogram(metric) || label != 0)
        return;
    struct ifab_metric_histogram *histogram = &self->of[metric].histogram;
    uint64_t seen = value < 0 ? 0 : (uint64_t)value;
    size_t bound_count, at = 0;
    const uint64_t *bounds = ifab_metrics__bounds(metric, &bound_count);
    while (at < bound_count && seen > bounds[at]) /* le: the bound itself belongs to the bucket */
        at++;
    histogram->buckets[at]++;
    histogram->count++;
    if (__builtin_add_overflow(histogram->sum, seen, &histogram->sum))
        histogram->sum = UINT64_MAX;
}

uint64_t ifab_metrics_value(const struct ifab_metrics *self, enum ifab_metric metric, size_t label)
{
    if ((size_t)metric >= IFAB_METRIC_COUNT || label >= ifab_metrics__rows[metric].label_count)
        return 0;
    return is_histogram(metric) ? self->of[metric].histogram.count : self->of[metric].values[label];
}

int64_t ifab_metrics_quantile(const struct ifab_metrics *self, enum ifab_metric metric, unsigned permille)
{
    if (!is_histogram(metric) || permille > 1000 || self->of[metric].histogram.count == 0)
        return -1;
    const struct ifab_metric_histogram *histogram = &self->of[metric].histogram;
    size_t bound_count;
    const uint64_t *bounds = ifab_metrics__bounds(metric, &bound_count);
    /* in thousandths of an observation; doubles cannot overflow, and are exact up to 9e12 observations */
    double rank = (double)histogram->count * permille, below = 0;
    for (size_t i = 0; i < bound_count; i++) {
        double here = (double)histogram->buckets[i] * 1000;
        if (here > 0 && below + here >= rank) {
            uint64_t low = i == 0 ? 0 : bounds[i - 1];
            return (int64_t)(low + (uint64_t)((double)(bounds[i] - low) * ((rank - below) / here)));
        }
        below += here;
    }
    return (int64_t)bounds[bound_count - 1];
}
