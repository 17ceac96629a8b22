/*
 * The guest of the escape and conformance suites: does what its input says, with the words of the null engine (src/shell/chassis/sandbox/null.c) and
 * some that only a guest can do. Guest ABI 1; freestanding C for wasm32.
 */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
#define IMPORT(name) __attribute__((import_module("if"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))

IMPORT(log) void host_log(u32 level, const void *text, u32 size);
IMPORT(http) long long host_http(const void *request, u32 size);
IMPORT(secret_ref) long long host_secret_ref(const void *name, u32 size);
IMPORT(kv_get) long long host_kv_get(const void *key, u32 size);
IMPORT(kv_put) int host_kv_put(const void *key, u32 key_size, const void *value, u32 value_size);
IMPORT(now) long long host_now(void);
IMPORT(random) int host_random(void *to, u32 size);
#ifdef WITH_UNKNOWN_IMPORT
__attribute__((import_module("env"), import_name("system"))) int host_system(const char *command);
#endif
#ifdef WITH_WRONG_TYPE
__attribute__((import_module("if"), import_name("now"))) int host_wrong_now(int);
#endif

extern u8 __heap_base;
static u32 heap;
static int no_memory, chatty;
static volatile u32 sink, zero;

EXPORT(if_alloc) void *if_alloc(u32 size)
{
    if (no_memory)
        return 0;
    if (chatty)
        host_log(0, "in alloc", 8);
    if (heap == 0)
        heap = ((u32)&__heap_base + 15) & ~15U;
    u32 at = heap, end = (at + size + 15) & ~15U;
    u32 have = __builtin_wasm_memory_size(0) * 65536U;
    if (end < at || (end > have && __builtin_wasm_memory_grow(0, (end - have + 65535U) / 65536U) == (u32)-1))
        return 0;
    heap = end;
    return (void *)at;
}
#ifdef WITH_WRONG_EXPORT
EXPORT(if_free) int if_free(void *at, u32 size) { return (int)(sink = (u32)at + size); }
#else
EXPORT(if_free) void if_free(void *at, u32 size) { sink = (u32)at + size; }
#endif

struct text {
    const u8 *at;
    u32 size;
};
static long long packed(const void *at, u32 size) { return (long long)((u64)(u32)at << 32 | size); }
static long long literal(const char *text)
{
    u32 size = 0;
    while (text[size] != 0)
        size++;
    return packed(text, size);
}
static long long decimal(long long value)
{
    char *to = if_alloc(24), digits[24];
    u32 n = 0, at = 0;
    u64 v = value < 0 ? (u64)-value : (u64)value;
    do
        digits[n++] = (char)('0' + v % 10);
    while ((v /= 10) != 0);
    if (value < 0)
        to[at++] = '-';
    while (n > 0)
        to[at++] = digits[--n];
    return packed(to, at);
}
static int word_is(struct text w, const char *expected)
{
    u32 i = 0;
    for (; i < w.size && expected[i] != 0; i++)
        if (w.at[i] != (u8)expected[i])
            return 0;
    return i == w.size && expected[i] == 0;
}
static u32 number_of(struct text t)
{
    u32 value = 0;
    for (u32 i = 0; i < t.size && t.at[i] >= '0' && t.at[i] <= '9'; i++)
        value = value * 10 + (u32)(t.at[i] - '0');
    return value;
}
static long long bytes_or_number(long long result) { return result < 0 ? decimal(result) : result; }

static long long put(struct text t)
{
    u32 key = 0;
    while (key < t.size && t.at[key] != ' ')
        key++;
    int status = host_kv_put(t.at, key, t.at + key + 1, key < t.size ? t.size - key - 1 : 0);
    return status == 0 ? 0 : decimal(status);
}
static long long random_bytes(u32 size)
{
    void *to = if_alloc(size < 65536 ? size : 65536);
    int status = host_random(to, size);
    return status == 0 ? packed(to, size) : decimal(status);
}
static long long time_now(void)
{
    long long *to = if_alloc(8);
    long long now = host_now();
    if (now < 0)
        return decimal(now);
    *to = now;
    return packed(to, 8);
}

/* Down the engine's stack: what each level needs lies in locals. */
__attribute__((noinline)) static u32 deep(u32 n)
{
    if (sink == 77) /* never */
        return n;
    u32 below = deep(n + sink);
    return below * n + sink;
}
/* Down the guest's own stack in memory, which lies first: below it is nothing. */
__attribute__((noinline)) static u32 recurse(volatile u32 *above)
{
    volatile u32 here[16];
    if (sink == 77) /* never */
        return 0;
    here[0] = above[0] + 1;
    return recurse(here) + here[0];
}
/* Grows by a page a time and writes into each, until there is no more. */
static long long bomb(void)
{
    u32 pages = 0;
    for (u32 at; (at = __builtin_wasm_memory_grow(0, 1)) != (u32)-1; pages++)
        for (u32 i = 0; i < 65536; i += 4096)
            *(volatile u8 *)(at * 65536U + i) = 1;
    return decimal(pages);
}
static long long ask(struct text w, struct text t, int *known)
{
    *known = 1;
    if (word_is(w, "log")) {
        host_log(0, t.at, t.size);
        return 0;
    }
    if (word_is(w, "http"))
        return bytes_or_number(host_http(t.at, t.size));
    if (word_is(w, "secret"))
        return bytes_or_number(host_secret_ref(t.at, t.size));
    if (word_is(w, "get"))
        return bytes_or_number(host_kv_get(t.at, t.size));
    if (word_is(w, "put"))
        return put(t);
    if (word_is(w, "now"))
        return time_now();
    if (word_is(w, "random"))
        return random_bytes(number_of(t));
    if (word_is(w, "flood"))
        for (;;)
            host_log(0, "flood", 5);
    *known = 0;
    return 0;
}
/* What is wrong with pointers, in every import and at the end. */
static long long wild(struct text w, int *known)
{
    *known = 1;
    if (word_is(w, "wild-log"))
        host_log(0, (void *)0xfffffff0, 8);
    else if (word_is(w, "wild-wrap"))
        host_log(0, (void *)0xfffffff0, 0x20);
    else if (word_is(w, "wild-edge"))
        host_log(0, (void *)(__builtin_wasm_memory_size(0) * 65536U - 4), 5);
    else if (word_is(w, "wild-http"))
        host_http((void *)16, 0xffffffff);
    else if (word_is(w, "wild-put"))
        host_kv_put("k", 1, (void *)0x7fffffff, 1);
    else if (word_is(w, "wild-random"))
        host_random((void *)0xffffff00, 512);
    else if (word_is(w, "wild-output"))
        return packed((void *)0xffff0000, 16);
    else if (word_is(w, "wild-negative"))
        return -1;
    else
        *known = 0;
    return 0;
}
static long long fail(struct text w, struct text t, int *known)
{
    *known = 1;
    if (word_is(w, "unreachable"))
        __builtin_trap();
    if (word_is(w, "divide"))
        return decimal(7 / (int)zero);
    if (word_is(w, "oob"))
        *(volatile u8 *)0xfffffff0 = 1;
    if (word_is(w, "stack"))
        return decimal(deep(1));
    if (word_is(w, "shadow-stack"))
        return decimal(recurse(&sink));
    if (word_is(w, "loop") || word_is(w, "spin"))
        for (;;)
            sink++;
    if (word_is(w, "memory")) {
        no_memory = 1;
        return bytes_or_number(host_kv_get("key", 3));
    }
    if (word_is(w, "reenter")) {
        chatty = 1;
        return bytes_or_number(host_kv_get("key", 3));
    }
    if (word_is(w, "grow"))
        return decimal((int)__builtin_wasm_memory_grow(0, number_of(t)));
    if (word_is(w, "bomb"))
        return bomb();
    if (word_is(w, "dirty")) { /* leaves a mark where the next call would look */
        u8 *at = if_alloc(65536);
        u32 found = 0;
        for (u32 i = 0; i < 65536; i++)
            found += at[i] != 0, at[i] = 0xa5;
        return decimal(found);
    }
    if (word_is(w, "mix")) { /* floats too: NaN and rounding are part of what must replay */
        double x = number_of(t), sum = 0;
        for (u32 i = 1; i < 500; i++)
            sum += x / i - sum * 0.25 + (sum - sum) / (double)(i & 7);
        u64 *to = if_alloc(8);
        __builtin_memcpy(to, &sum, 8);
        return packed(to, 8);
    }
    *known = 0;
    return 0;
}
static long long obey(const u8 *input, u32 size)
{
    struct text w = {input, 0}, t;
    int known;
    while (w.size < size && input[w.size] != ' ')
        w.size++;
    t.at = input + w.size + (w.size < size);
    t.size = size - w.size - (w.size < size);
    if (word_is(w, "echo"))
        return packed(t.at, t.size);
    long long result = ask(w, t, &known);
    if (!known)
        result = fail(w, t, &known);
    if (!known)
        result = wild(w, &known);
    return known ? result : literal("?");
}
EXPORT(if_plan) long long if_plan(const u8 *input, u32 size) { return obey(input, size); }
EXPORT(if_apply) long long if_apply(const u8 *input, u32 size) { return obey(input, size); }

/* Long enough for machine code to be planted over it (escape.c): a row of additions that nothing folds. */
#define FOUR(x) sink += x; sink ^= x + 1; sink *= x + 2; sink -= x + 3;
#define SIXTEEN(x) FOUR(x) FOUR(x * 3) FOUR(x * 5) FOUR(x * 7)
EXPORT(if_health) long long if_health(const u8 *input, u32 size)
{
    (void)input;
    SIXTEEN(size) SIXTEEN(size + 11) SIXTEEN(size + 13) SIXTEEN(size + 17)
#ifdef WITH_UNKNOWN_IMPORT
    sink += (u32)host_system("true");
#endif
#ifdef WITH_WRONG_TYPE
    sink += (u32)host_wrong_now(1);
#endif
    return packed("healthy", 7);
}
