/* What a translated kernel and the software driver say to each other. */
#ifndef SOFTGPU_H
#define SOFTGPU_H
#include <stddef.h>
#include <stdint.h>

/* Memory that a kernel may touch: sorted by address, pieces do not overlap. */
struct softgpu_piece { uintptr_t start; size_t size; };

struct softgpu_launch {
    unsigned grid[3], block[3];
    size_t shared;                      /* bytes of dynamic shared memory of a block */
    const struct softgpu_piece *pieces;
    size_t count;
    char *message; size_t room;         /* where a fault is described */
};

struct softgpu_kernel {
    const char *name;                   /* as in the PTX */
    size_t params; const size_t *sizes; /* bytes of each parameter */
    size_t static_shared;               /* bytes */
    /* 0, or 1 with a message: params[n] points at parameter n, as for cuLaunchKernel. */
    int (*run)(void **params, const struct softgpu_launch *launch);
};

/* Each translated module exports these. */
extern const struct softgpu_kernel softgpu_kernels[];
extern const size_t softgpu_kernel_count;
#endif
