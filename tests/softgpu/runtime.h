/* What a translated kernel stands on: memory with checks, arithmetic as the PTX manual has it. */
#include "softgpu.h"
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW (1ull << 62) /* generic addresses of shared memory begin here */
#define GARBAGE 0x7fd0dead  /* a NaN: what memory holds that nobody has written */

struct touch { uint32_t thread, epoch; }; /* thread + 1, or MANY; epochs count barriers */
#define MANY 0xffffffffu

struct shadow { struct touch writer, reader; uint32_t earlier; }; /* earlier: other blocks read it */

struct run {
    const struct softgpu_launch *launch;
    const char *kernel;
    jmp_buf fault;
    char *shared;
    size_t shared_size;
    struct shadow *shared_shadow;
    struct shadow **piece_shadows; /* of each piece, made when it is first written */
    size_t piece;                  /* that was found last */
    uint32_t epoch, block_epoch;
    uint32_t tid[3], ctaid[3], thread, block;
};

static void fail(struct run *run, int line, const char *what, uint64_t address) {
    snprintf(run->launch->message, run->launch->room,
             "%s: block (%u, %u, %u), thread (%u, %u, %u), line %d of the PTX, address 0x%llx: %s",
             run->kernel, run->ctaid[0], run->ctaid[1], run->ctaid[2], run->tid[0], run->tid[1],
             run->tid[2], line, (unsigned long long)address, what);
    longjmp(run->fault, 1);
}

/* Another thread of this block since the last barrier; blocks follow one another in epochs. */
static int clashes(const struct run *run, struct touch touch, uint32_t since) {
    return touch.thread && touch.epoch >= since && touch.thread != run->thread + 1;
}

static void note(struct run *run, struct shadow *word, int write, uint32_t since, int line,
                 uint64_t address) {
    if (clashes(run, word->writer, since))
        fail(run, line, write ? "two threads write with no barrier between"
                              : "reads what another thread writes, with no barrier between", address);
    if (write) {
        if (clashes(run, word->reader, since))
            fail(run, line, "writes what another thread reads, with no barrier between", address);
        word->writer = (struct touch){run->thread + 1, run->epoch};
    } else {
        int other = word->reader.thread && word->reader.epoch >= since
                    && word->reader.thread != run->thread + 1;
        word->reader = (struct touch){other ? MANY : run->thread + 1, run->epoch};
    }
}

static char *shared_at(struct run *run, uint64_t address, size_t size, int write, int line) {
    if (address + size > run->shared_size || address + size < address)
        fail(run, line, "outside of shared memory", address);
    if (address % size)
        fail(run, line, "shared memory, not aligned to the size of the access", address);
    for (size_t n = address / 4; n < (address + size + 3) / 4; n++) {
        struct shadow *word = run->shared_shadow + n;
        if (!write && word->writer.epoch < run->block_epoch)
            fail(run, line, "reads shared memory that nobody has written", address);
        note(run, word, write, run->epoch, line, address);
    }
    return run->shared + address;
}

static size_t piece_of(struct run *run, uint64_t address) {
    const struct softgpu_piece *pieces = run->launch->pieces;
    size_t low = 0, high = run->launch->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (pieces[middle].start + pieces[middle].size <= address) low = middle + 1;
        else high = middle;
    }
    return low;
}

static char *global_at(struct run *run, uint64_t address, size_t size, int write, int line) {
    const struct softgpu_piece *pieces = run->launch->pieces;
    size_t n = run->piece;
    if (n >= run->launch->count || address < pieces[n].start
        || address + size > pieces[n].start + pieces[n].size) {
        n = piece_of(run, address);
        if (n >= run->launch->count || address < pieces[n].start
            || address + size > pieces[n].start + pieces[n].size)
            fail(run, line, "outside of all memory of the device", address);
        run->piece = n;
    }
    if (address % size)
        fail(run, line, "global memory, not aligned to the size of the access", address);
    if (!run->piece_shadows[n])
        run->piece_shadows[n] = calloc(pieces[n].size / 4 + 1, sizeof(struct shadow));
    uint64_t at = address - pieces[n].start;
    for (size_t word = at / 4; word < (at + size + 3) / 4; word++) {
        struct shadow *shadow = run->piece_shadows[n] + word;
        /* Blocks of one launch may run in any order: what one writes no other may touch. */
        uint32_t since = run->epoch;
        if (shadow->writer.thread && shadow->writer.epoch < run->block_epoch)
            since = 0;
        if (shadow->reader.thread && shadow->reader.epoch < run->block_epoch)
            shadow->earlier = 1; /* for the rest of the launch, whoever reads it next */
        if (write && shadow->earlier) since = 0;
        if (since == 0)
            fail(run, line, "two blocks of threads touch what one of them writes", address);
        note(run, shadow, write, since, line, address);
    }
    return (char *)address;
}

static char *at(struct run *run, uint64_t address, size_t size, int write, int line) {
    return address >= WINDOW ? shared_at(run, address - WINDOW, size, write, line)
                             : global_at(run, address, size, write, line);
}

static inline uint32_t bits(float x) { uint32_t u; memcpy(&u, &x, 4); return u; }
static inline float number(uint32_t u) { float x; memcpy(&x, &u, 4); return x; }
static inline uint64_t bits64(double x) { uint64_t u; memcpy(&u, &x, 8); return u; }
static inline double number64(uint64_t u) { double x; memcpy(&x, &u, 8); return x; }

/* A double as the float below it, or nearer to zero. */
static inline float down(double x) {
    float y = (float)x;
    return y > x ? nextafterf(y, -INFINITY) : y;
}
static inline float inward(double x) {
    float y = (float)x;
    return fabs((double)y) > fabs(x) ? nextafterf(y, 0.0f) : y;
}
static inline float flush(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0.0f, x) : x; }
static inline float saturate(float x) { return x > 1.0f ? 1.0f : x > 0.0f ? x : 0.0f; }
static inline float larger(float x, float y) {
    return isnan(x) ? y : isnan(y) ? x : x > y ? x : y > x ? y : signbit(x) ? y : x;
}
static inline float smaller(float x, float y) {
    return isnan(x) ? y : isnan(y) ? x : x < y ? x : y < x ? y : signbit(x) ? x : y;
}
static inline float approximate_quotient(float x, float y) {
    return fabsf(y) > 0x1p126f && !isinf(y) ? x * 0.0f : x / y;
}
static inline uint64_t left64(uint64_t x, uint32_t n) { return n > 63 ? 0 : x << n; }
static inline uint32_t left32(uint32_t x, uint32_t n) { return n > 31 ? 0 : x << n; }
static inline uint64_t right64(uint64_t x, uint32_t n) { return n > 63 ? 0 : x >> n; }
static inline uint32_t right32(uint32_t x, uint32_t n) { return n > 31 ? 0 : x >> n; }
static inline int64_t arithmetic64(int64_t x, uint32_t n) { return x >> (n > 63 ? 63 : n); }
static inline int32_t arithmetic32(int32_t x, uint32_t n) { return x >> (n > 31 ? 31 : n); }
#define DIVIDE(name, type)                                                                        \
    static inline type quotient_##name(type x, type y) {                                          \
        return y == 0 ? (type)-1 : y == (type)-1 ? (type)(0 - x) : (type)(x / y);                 \
    }                                                                                             \
    static inline type remainder_##name(type x, type y) {                                         \
        return y == 0 ? x : y == (type)-1 ? (type)-1 > 0 ? x % y : 0 : (type)(x % y);             \
    }
#define DIVIDE_UNSIGNED(name, type)                                                               \
    static inline type quotient_##name(type x, type y) { return y ? x / y : (type)-1; }           \
    static inline type remainder_##name(type x, type y) { return y ? x % y : x; }
DIVIDE(s64, int64_t)
DIVIDE(s32, int32_t)
DIVIDE_UNSIGNED(u64, uint64_t)
DIVIDE_UNSIGNED(u32, uint32_t)

/* Conversions to integers saturate; of NaN there is 0, or the highest bit of 64. */
#define TO_INTEGER(name, type, least, most, none)                                                 \
    static inline type to_##name(double x) {                                                      \
        return isnan(x) ? none : x <= (double)least ? least : x >= (double)most ? most : (type)x;    \
    }
TO_INTEGER(s64, int64_t, INT64_MIN, INT64_MAX, INT64_MIN)
TO_INTEGER(s32, int32_t, INT32_MIN, INT32_MAX, 0)
TO_INTEGER(u64, uint64_t, 0, UINT64_MAX, 1ull << 63)
TO_INTEGER(u32, uint32_t, 0, UINT32_MAX, 0)
