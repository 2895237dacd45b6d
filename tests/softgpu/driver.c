/* A CUDA driver in software: devices, contexts, modules and launches; libcuda.so.1 for tests.

Its devices are the host's memory, and kernels run as C (translate.py). It refuses what hardware would
refuse, and says on standard error why. README.md has what it proves and what not. */
#include "driver.h"
#include <dlfcn.h>
#include <limits.h>
#include <unistd.h>

pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
struct context contexts[DEVICES] = {{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}};
int fault;
static __thread struct context *stack[64];
static __thread int depth;

static size_t number(const char *name, size_t usual) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : usual;
}
int device_count(void) { return (int)number("SOFTGPU_DEVICES", 1); }
size_t memory_size(void) { return number("SOFTGPU_MEMORY", (size_t)1 << 30); }
int current_device(void) { return depth && stack[depth - 1] ? stack[depth - 1]->device : -1; }

API cuInit(unsigned flags) { (void)flags; return device_count() ? OK : NO_DEVICE; }
API cuDriverGetVersion(int *version) { *version = (int)number("SOFTGPU_CUDA", 12090); return OK; }
API cuDeviceGetCount(int *count) { *count = device_count(); return OK; }
API cuDeviceGet(CUdevice *device, int n) { *device = n; return n >= 0 && n < device_count() ? OK : INVALID_DEVICE; }
API cuDeviceGetName(char *name, int size, CUdevice device) { snprintf(name, size, "software device %d", device); return OK; }
API cuDeviceGetUuid_v2(char *uuid, CUdevice device) { memset(uuid, 0, 16); uuid[0] = 'S'; uuid[15] = (char)device; return OK; }
API cuDeviceTotalMem_v2(size_t *size, CUdevice device) { (void)device; *size = memory_size(); return OK; }
API cuDeviceCanAccessPeer(int *can, CUdevice a, CUdevice b) { (void)a; (void)b; *can = 0; return OK; }

API cuDeviceGetAttribute(int *value, int attribute, CUdevice device) {
    (void)device;
    static const int known[][2] = { /* an H100's */
        {1, 1024}, {2, 1024}, {3, 1024}, {4, 64}, {5, INT_MAX}, {6, 65535}, {7, 65535},
        {8, USUAL_SHARED}, {9, 65536}, {10, 32}, {11, INT_MAX}, {12, 65536}, {13, 1980000}, {16, 132},
        {19, 1}, {31, 1}, {33, 1}, {40, 3}, {41, 1}, {75, 9}, {76, 0}, {81, 233472}, {82, 65536},
        {83, 1}, {89, 1}, {97, MOST_SHARED}, {106, 32}, {115, 1},
    };
    *value = 0;
    for (size_t n = 0; n < sizeof known / sizeof *known; n++)
        if (known[n][0] == attribute) *value = known[n][1];
    if (attribute == 34) *value = device;
    return OK;
}

API cuDevicePrimaryCtxRetain(void **context, CUdevice device) { *context = contexts + device; return OK; }
API cuDevicePrimaryCtxRelease_v2(CUdevice device) { (void)device; return OK; }
API cuDevicePrimaryCtxReset_v2(CUdevice device) { (void)device; return OK; }
API cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *active) { (void)device; *flags = 0; *active = 1; return OK; }
API cuCtxPushCurrent_v2(void *context) { stack[depth++] = context; return OK; }
API cuCtxPopCurrent_v2(void **context) {
    if (!depth) return INVALID_CONTEXT;
    depth--;
    if (context) *context = stack[depth];
    return OK;
}
API cuCtxGetCurrent(void **context) { *context = depth ? stack[depth - 1] : NULL; return OK; }
API cuCtxSetCurrent(void *context) {
    if (!depth) depth = 1;
    stack[depth - 1] = context;
    return OK;
}
API cuCtxGetDevice(CUdevice *device) { *device = current_device(); return *device < 0 ? INVALID_CONTEXT : OK; }
API cuCtxGetApiVersion(void *context, unsigned *version) { (void)context; *version = 3020; return OK; }
API cuCtxGetId(void *context, unsigned long long *id) { *id = context ? ((struct context *)context)->device + 1 : 1; return OK; }
API cuCtxGetStreamPriorityRange(int *least, int *most) { *least = *most = 0; return OK; }

API cuGetErrorName(CUresult error, const char **name) {
    static const struct { int code; const char *name; } names[] = {
        {OK, "CUDA_SUCCESS"}, {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"},
        {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"}, {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS"},
    };
    *name = "CUDA_ERROR_OF_SOFTGPU";
    for (size_t n = 0; n < sizeof names / sizeof *names; n++)
        if (names[n].code == error) *name = names[n].name;
    return OK;
}
API cuGetErrorString(CUresult error, const char **text) { return cuGetErrorName(error, text); }

/* Translate a module, once for each text, and load it. */
struct library *load(const char *ptx) {
    uint64_t hash = 14695981039346656037ull;
    for (const char *c = ptx; *c; c++) hash = (hash ^ (unsigned char)*c) * 1099511628211ull;
    const char *folder = getenv("SOFTGPU_CACHE"), *root = getenv("SOFTGPU_ROOT"), *python = getenv("SOFTGPU_PYTHON");
    if (!folder || !root || !python) { fprintf(stderr, "softgpu: start it with python -m tests.softgpu\n"); return NULL; }
    char made[PATH_MAX], fresh[PATH_MAX], source[PATH_MAX], command[4 * PATH_MAX];
    snprintf(made, sizeof made, "%s/%016llx.so", folder, (unsigned long long)hash);
    if (access(made, R_OK)) {
        snprintf(source, sizeof source, "%s/%016llx-%d.ptx", folder, (unsigned long long)hash, (int)getpid());
        snprintf(fresh, sizeof fresh, "%s/%016llx-%d.so", folder, (unsigned long long)hash, (int)getpid());
        FILE *file = fopen(source, "w");
        if (!file) { perror(source); return NULL; }
        fputs(ptx, file);
        fclose(file);
        snprintf(command, sizeof command, "cd '%s' && '%s' -m tests.softgpu.translate '%s' '%s'", root, python, source, fresh);
        if (system(command) || rename(fresh, made)) return NULL;
    }
    void *handle = dlopen(made, RTLD_NOW | RTLD_LOCAL);
    if (!handle) { fprintf(stderr, "softgpu: %s\n", dlerror()); return NULL; }
    struct library *library = malloc(sizeof *library);
    const struct softgpu_kernel *kernels = dlsym(handle, "softgpu_kernels");
    library->handle = handle;
    library->count = *(const size_t *)dlsym(handle, "softgpu_kernel_count");
    library->functions = calloc(library->count, sizeof *library->functions);
    for (size_t n = 0; n < library->count; n++)
        library->functions[n] = (struct function){kernels + n, USUAL_SHARED - (int)kernels[n].static_shared};
    return library;
}

API cuLibraryLoadData(void **library, const void *code, void *a, void *b, unsigned c, void *d, void *e, unsigned f) {
    (void)a; (void)b; (void)c; (void)d; (void)e; (void)f;
    ENTER;
    if (!memmem(code, strlen(code), ".version", 8)) REFUSE(INVALID_IMAGE, "only PTX can be loaded");
    *library = load(code);
    if (!*library) result = INVALID_IMAGE;
    LEAVE;
}
API cuModuleLoadDataEx(void **module, const void *code, unsigned a, void *b, void *c) {
    (void)b; (void)c;
    return cuLibraryLoadData(module, code, NULL, NULL, a, NULL, NULL, 0);
}
API cuLibraryUnload(void *library) { (void)library; return OK; }
API cuModuleUnload(void *module) { (void)module; return OK; }
API cuLibraryGetKernel(void **kernel, struct library *library, const char *name) {
    for (size_t n = 0; n < library->count; n++)
        if (!strcmp(library->functions[n].kernel->name, name)) { *kernel = library->functions + n; return OK; }
    return NOT_FOUND;
}
API cuModuleGetFunction(void **function, void *module, const char *name) { return cuLibraryGetKernel(function, module, name); }
API cuKernelGetFunction(void **function, void *kernel) { *function = kernel; return OK; }
API cuLibraryGetGlobal(CUdeviceptr *at, size_t *size, void *library, const char *name) { (void)at; (void)size; (void)library; (void)name; return NOT_FOUND; }

API cuFuncGetAttribute(int *value, int attribute, struct function *function) {
    const int values[] = {1024, (int)function->kernel->static_shared, 0, 0, 128, 90, 90, 0, function->dynamic, -1};
    if (attribute < 0 || attribute > 9) { *value = 0; return OK; }
    *value = values[attribute];
    return OK;
}
API cuKernelGetAttribute(int *value, int attribute, void *kernel, CUdevice device) { (void)device; return cuFuncGetAttribute(value, attribute, kernel); }
API cuFuncSetAttribute(struct function *function, int attribute, int value) {
    ENTER;
    if (attribute == 8) {
        if (value < 0 || value + function->kernel->static_shared > MOST_SHARED) REFUSE(INVALID_VALUE, "%d bytes of shared memory are more than a block can have", value);
        function->dynamic = value;
    }
    LEAVE;
}
API cuKernelSetAttribute(int attribute, int value, void *kernel, CUdevice device) { (void)device; return cuFuncSetAttribute(kernel, attribute, value); }
API cuKernelGetParamInfo(struct function *function, size_t n, size_t *offset, size_t *size) {
    if (n >= function->kernel->params) return INVALID_VALUE;
    size_t at = 0;
    for (size_t k = 0; k <= n; k++) {
        size_t bytes = function->kernel->sizes[k];
        at = (at + bytes - 1) / bytes * bytes;
        if (k == n) *offset = at; else at += bytes;
    }
    if (size) *size = function->kernel->sizes[n];
    return OK;
}
API cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, void *function, int threads, size_t shared) { (void)function; (void)threads; (void)shared; *blocks = 2; return OK; }

API cuLaunchKernel(struct function *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void *stream, void **params, void **extra) {
    ENTER;
    const struct softgpu_kernel *kernel = function->kernel;
    if (!gx || !gy || !gz || !bx || !by || !bz || gy > 65535 || gz > 65535 || (size_t)bx * by * bz > 1024 || bz > 64)
        REFUSE(INVALID_VALUE, "a grid of %u x %u x %u blocks of %u x %u x %u threads cannot be", gx, gy, gz, bx, by, bz);
    if ((int)shared > function->dynamic)
        REFUSE(INVALID_VALUE, "%u bytes of shared memory are more than the %d that %s may have", shared, function->dynamic, kernel->name);
    if (extra) REFUSE(NOT_SUPPORTED, "parameters are only taken one by one");
    size_t size = 0;
    for (size_t n = 0; n < kernel->params; n++) size += 16;
    char *copied = malloc(kernel->params * sizeof(void *) + size); /* a graph may need it again and again */
    void **places = (void **)copied;
    for (size_t n = 0; n < kernel->params; n++) {
        places[n] = copied + kernel->params * sizeof(void *) + 16 * n;
        memcpy(places[n], params[n], kernel->sizes[n]);
    }
    result = enqueue(stream, (struct operation){
        .kind = LAUNCH, .function = function, .grid = {gx, gy, gz}, .block = {bx, by, bz}, .shared = shared, .params = places});
    LEAVE;
}

struct configuration { unsigned gx, gy, gz, bx, by, bz, shared; void *stream; void *attributes; unsigned count; };
API cuLaunchKernelEx(const struct configuration *c, void *function, void **params, void **extra) {
    return cuLaunchKernel(function, c->gx, c->gy, c->gz, c->bx, c->by, c->bz, c->shared, c->stream, params, extra);
}

/* The linker, which gives back the PTX that it was given: numba's own numba.cuda goes this way. */
API cuLinkCreate_v2(unsigned count, void *options, void *values, char **state) {
    (void)count; (void)options; (void)values;
    *state = NULL;
    return (*(void **)state = calloc(1, sizeof(char *))) ? OK : OUT_OF_MEMORY;
}
API cuLinkAddData_v2(char **state, int kind, const char *data, size_t size, const char *name, unsigned count, void *options, void *values) {
    (void)name; (void)count; (void)options; (void)values;
    ENTER;
    if (kind != 1 || *state) REFUSE(NOT_SUPPORTED, "one module of PTX can be linked, nothing else");
    *state = strndup(data, size);
    LEAVE;
}
API cuLinkComplete(char **state, void **image, size_t *size) { *image = *state; *size = strlen(*state) + 1; return OK; }
API cuLinkDestroy(char **state) { free(*state); free(state); return OK; }

/* Looked for by numba at its start, and never called here. */
API cuIpcOpenMemHandle(void *address, void *handle, unsigned flags) { (void)address; (void)handle; (void)flags; return NOT_SUPPORTED; }

/* Find a function by the name without its version, the newest that is here. */
API cuGetProcAddress_v2(const char *name, void **found, int version, uint64_t flags, int *status) {
    (void)version; (void)flags;
    static const char *const endings[] = {"_v3", "_v2", "", "WithFlags"};
    static void *self;
    Dl_info own;
    if (!self && dladdr((void *)cuGetProcAddress_v2, &own)) self = dlopen(own.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    char full[256];
    *found = NULL;
    for (size_t n = 0; n < 4 && !*found; n++) {
        snprintf(full, sizeof full, "%s%s", name, endings[n]);
        *found = dlsym(self, full);
    }
    if (!*found && getenv("SOFTGPU_LOG")) fprintf(stderr, "softgpu: no %s\n", name);
    if (status) *status = *found ? 0 : 1;
    return *found ? OK : NOT_FOUND;
}
API cuGetProcAddress(const char *name, void **found, int version, uint64_t flags) { return cuGetProcAddress_v2(name, found, version, flags, NULL); }
