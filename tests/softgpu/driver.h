/* What the parts of the software driver share: types of the CUDA driver API by value, and state. */
#ifndef SOFTGPU_DRIVER_H
#define SOFTGPU_DRIVER_H
#define _GNU_SOURCE
#include "softgpu.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int CUresult;
typedef int CUdevice;
typedef uint64_t CUdeviceptr;
enum {
    OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100,
    INVALID_DEVICE = 101, INVALID_IMAGE = 200, INVALID_CONTEXT = 201, INVALID_HANDLE = 400,
    NOT_FOUND = 500, NOT_READY = 600, ILLEGAL_ADDRESS = 700, CAPTURE_UNSUPPORTED = 900,
    CAPTURE_INVALIDATED = 901, CAPTURE_UNMATCHED = 903, CAPTURE_IMPLICIT = 906, NOT_SUPPORTED = 801,
};
enum { GLOBAL_MODE, THREAD_MODE, RELAXED_MODE };
enum { MOST_SHARED = 232448, USUAL_SHARED = 49152, DEVICES = 8 };

struct allocation { uintptr_t start; size_t size; int device; }; /* device -1: pinned host memory */
struct context { int device; };
struct function { const struct softgpu_kernel *kernel; int dynamic; };
struct library { void *handle; size_t count; struct function *functions; };

/* One thing for a stream to do. */
enum kind { COPY, SET, LAUNCH, RECORD, WAIT };
struct event;
struct operation {
    enum kind kind;
    char *to; const char *from; size_t size; int value; /* copies and sets */
    void *staged;                                       /* what a copy from pageable memory took */
    struct function *function; unsigned grid[3], block[3]; size_t shared; void **params;
    struct event *event;
};
struct list { struct operation *operations; size_t count, room; };
struct stream { int device, blocking, capturing, invalid, mode; pthread_t by; struct list queue, captured; };
struct event { int recorded; struct stream *stream; };
struct graph { struct list list; };

extern pthread_mutex_t lock;
extern struct context contexts[DEVICES];
extern int fault; /* of a kernel: sticks to everything that follows */
extern size_t in_use[DEVICES];

int device_count(void);
int current_device(void); /* -1 if the thread has no context */
size_t memory_size(void);

struct allocation *allocation_of(uintptr_t address, size_t size);
CUresult allocate(size_t size, int device, uintptr_t *address);
CUresult release(uintptr_t address);

CUresult enqueue(void *stream, struct operation operation);
CUresult drain(struct stream *stream);
CUresult drain_all(int device);
CUresult run(struct operation *operation, int device);
void append(struct list *list, struct operation operation);
int is_stream(void *stream);
int somebody_captures(int relaxed_too);

struct library *load(const char *ptx);

#define API __attribute__((visibility("default"))) CUresult
#define ENTER pthread_mutex_lock(&lock); CUresult result = fault ? ILLEGAL_ADDRESS : OK; if (result) goto end
#define LEAVE end: pthread_mutex_unlock(&lock); return result
#define REFUSE(code, ...) do { fprintf(stderr, "softgpu: " __VA_ARGS__); fprintf(stderr, "\n"); result = code; goto end; } while (0)
#endif
