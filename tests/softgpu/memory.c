/* Memory of the devices and pinned memory of the host, and copies. */
#include "driver.h"

static struct allocation *all;
static size_t count, room;
size_t in_use[DEVICES];

/* Return the allocation that holds so many bytes from an address on, or null. */
struct allocation *allocation_of(uintptr_t address, size_t size) {
    for (size_t n = 0; n < count; n++)
        if (address >= all[n].start && address + size <= all[n].start + all[n].size) return all + n;
    return NULL;
}

static void spoil(char *start, size_t size) {
    const uint32_t garbage = 0x7fd0dead; /* a NaN */
    for (size_t n = 0; n + 4 <= size; n += 4) memcpy(start + n, &garbage, 4);
}

CUresult allocate(size_t size, int device, uintptr_t *address) {
    if (size == 0) return INVALID_VALUE;
    if (device >= 0 && in_use[device] + size > memory_size()) return OUT_OF_MEMORY;
    char *start = aligned_alloc(256, (size + 255) / 256 * 256);
    if (!start) return OUT_OF_MEMORY;
    spoil(start, size);
    if (count == room) all = realloc(all, (room = 2 * room + 16) * sizeof *all);
    size_t n = count++;
    for (; n && all[n - 1].start > (uintptr_t)start; n--) all[n] = all[n - 1];
    all[n] = (struct allocation){(uintptr_t)start, size, device};
    if (device >= 0) in_use[device] += size;
    *address = (uintptr_t)start;
    return OK;
}

CUresult release(uintptr_t address) {
    for (size_t n = 0; n < count; n++) {
        if (all[n].start != address) continue;
        if (all[n].device >= 0) in_use[all[n].device] -= all[n].size;
        spoil((char *)address, all[n].size);
        free((void *)address);
        memmove(all + n, all + n + 1, (--count - n) * sizeof *all);
        return OK;
    }
    return INVALID_VALUE;
}

/* Memory of a device, for its kernels; the caller frees it. */
struct softgpu_piece *pieces_of(int device, size_t *found) {
    struct softgpu_piece *pieces = malloc((count + 1) * sizeof *pieces);
    *found = 0;
    for (size_t n = 0; n < count; n++)
        if (all[n].device == device)
            pieces[(*found)++] = (struct softgpu_piece){all[n].start, all[n].size};
    return pieces;
}

API cuMemAlloc_v2(CUdeviceptr *address, size_t size) {
    ENTER;
    if (current_device() < 0) { result = INVALID_CONTEXT; goto end; }
    if (somebody_captures(0)) REFUSE(CAPTURE_UNSUPPORTED, "memory is allocated while a stream is captured");
    result = allocate(size, current_device(), (uintptr_t *)address);
    LEAVE;
}

API cuMemFree_v2(CUdeviceptr address) {
    ENTER;
    if (somebody_captures(0)) REFUSE(CAPTURE_UNSUPPORTED, "memory is freed while a stream is captured");
    struct allocation *found = allocation_of(address, 1);
    if (!found || found->start != address) REFUSE(INVALID_VALUE, "what is freed was not allocated");
    if ((result = drain_all(found->device))) goto end;
    result = release(address);
    LEAVE;
}

API cuMemHostAlloc(void **address, size_t size, unsigned flags) {
    (void)flags;
    ENTER;
    result = allocate(size, -1, (uintptr_t *)address);
    LEAVE;
}

API cuMemAllocHost_v2(void **address, size_t size) { return cuMemHostAlloc(address, size, 0); }

API cuMemFreeHost(void *address) {
    ENTER;
    for (int device = 0; device < device_count() && !result; device++) result = drain_all(device);
    if (!result) result = release((uintptr_t)address);
    LEAVE;
}

API cuMemHostGetDevicePointer_v2(CUdeviceptr *device, void *host, unsigned flags) {
    (void)flags;
    *device = (CUdeviceptr)(uintptr_t)host;
    return OK;
}

API cuMemGetInfo_v2(size_t *available, size_t *total) {
    ENTER;
    if (current_device() < 0) { result = INVALID_CONTEXT; goto end; }
    *total = memory_size();
    *available = *total - in_use[current_device()];
    LEAVE;
}

API cuMemGetAddressRange_v2(CUdeviceptr *start, size_t *size, CUdeviceptr address) {
    ENTER;
    struct allocation *found = allocation_of(address, 1);
    if (!found) { result = NOT_FOUND; goto end; }
    if (start) *start = found->start;
    if (size) *size = found->size;
    LEAVE;
}

API cuPointerGetAttribute(void *data, int attribute, CUdeviceptr address) {
    ENTER;
    struct allocation *found = allocation_of(address, 1);
    if (!found) { result = INVALID_VALUE; goto end; }
    int device = found->device < 0 ? 0 : found->device;
    switch (attribute) {
    case 1: *(void **)data = contexts + device; break;
    case 2: *(unsigned *)data = found->device < 0 ? 1 : 2; break;
    case 3: case 4: *(CUdeviceptr *)data = address; break;
    case 8: *(int *)data = 0; break;
    case 9: *(int *)data = device; break;
    default: result = NOT_SUPPORTED;
    }
    LEAVE;
}

static CUresult copy(void *stream, char *to, const char *from, size_t size, int up, int down) {
    ENTER;
    if (size == 0) goto end;
    struct allocation *target = allocation_of((uintptr_t)to, size);
    struct allocation *source = allocation_of((uintptr_t)from, size);
    if ((!down && (!target || target->device < 0)) || (!up && (!source || source->device < 0)))
        REFUSE(INVALID_VALUE, "a copy of %zu bytes reaches beyond what was allocated", size);
    struct operation operation = {.kind = COPY, .to = to, .from = from, .size = size};
    if (up && !source && stream) { /* pageable memory may be used again at once */
        operation.from = operation.staged = malloc(size);
        memcpy(operation.staged, from, size);
    }
    if ((result = enqueue(stream, operation))) goto end;
    if (down && !target && stream && is_stream(stream) && !((struct stream *)stream)->capturing)
        result = drain(stream); /* and pageable memory has its bytes on return */
    LEAVE;
}

API cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t size) { return copy(NULL, (char *)to, from, size, 1, 0); }
API cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t size) { return copy(NULL, to, (char *)from, size, 0, 1); }
API cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t size) { return copy(NULL, (char *)to, (char *)from, size, 0, 0); }
API cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t size, void *stream) { return copy(stream, (char *)to, from, size, 1, 0); }
API cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t size, void *stream) { return copy(stream, to, (char *)from, size, 0, 1); }
API cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t size, void *stream) { return copy(stream, (char *)to, (char *)from, size, 0, 0); }

API cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t size, void *stream) {
    ENTER;
    if (!allocation_of(to, size)) REFUSE(INVALID_VALUE, "a set of %zu bytes reaches beyond what was allocated", size);
    result = enqueue(stream, (struct operation){.kind = SET, .to = (char *)to, .size = size, .value = value});
    LEAVE;
}
API cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t size) { return cuMemsetD8Async(to, value, size, NULL); }
