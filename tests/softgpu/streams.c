/* Streams as queues, events and graphs.

What is enqueued is carried out as late as CUDA allows, when somebody waits for it, or, with
SOFTGPU_ORDER=early, at once: host code that is right is right with both. */
#include "driver.h"

struct softgpu_piece *pieces_of(int device, size_t *found);

static struct stream **streams;
static size_t stream_count;

static int early(void) {
    const char *order = getenv("SOFTGPU_ORDER");
    return order && !strcmp(order, "early");
}

int is_stream(void *stream) {
    for (size_t n = 0; n < stream_count; n++) if (streams[n] == stream) return 1;
    return 0;
}

/* Tell whether this thread may not do what is unsafe while a stream is captured. */
int somebody_captures(int relaxed_too) {
    for (size_t n = 0; n < stream_count; n++) {
        struct stream *s = streams[n];
        if (!s->capturing) continue;
        if (relaxed_too || s->mode == GLOBAL_MODE) return 1;
        if (s->mode == THREAD_MODE && pthread_equal(s->by, pthread_self())) return 1;
    }
    return 0;
}

void append(struct list *list, struct operation operation) {
    if (list->count == list->room)
        list->operations = realloc(list->operations, (list->room = 2 * list->room + 8) * sizeof operation);
    list->operations[list->count++] = operation;
}

CUresult run(struct operation *o, int device) {
    if (o->kind == COPY) memcpy(o->to, o->from, o->size);
    else if (o->kind == SET) memset(o->to, o->value, o->size);
    else if (o->kind == WAIT) return o->event->stream ? drain(o->event->stream) : OK;
    else if (o->kind == LAUNCH) {
        char message[4000] = "";
        size_t count;
        struct softgpu_piece *pieces = pieces_of(device, &count);
        struct softgpu_launch launch = {.shared = o->shared, .pieces = pieces, .count = count,
                                        .message = message, .room = sizeof message};
        memcpy(launch.grid, o->grid, sizeof launch.grid);
        memcpy(launch.block, o->block, sizeof launch.block);
        int failed = o->function->kernel->run(o->params, &launch);
        free(pieces);
        if (failed) {
            fprintf(stderr, "softgpu: %s\n", message);
            fault = 1;
            return ILLEGAL_ADDRESS;
        }
    }
    return OK;
}

CUresult drain(struct stream *stream) {
    struct list list = stream->queue;
    stream->queue = (struct list){0};
    CUresult result = OK;
    for (size_t n = 0; n < list.count && !result; n++) {
        result = run(list.operations + n, stream->device);
        free(list.operations[n].staged);
    }
    free(list.operations);
    return result;
}

CUresult drain_all(int device) {
    CUresult result = fault ? ILLEGAL_ADDRESS : OK;
    for (size_t n = 0; n < stream_count && !result; n++)
        if (streams[n]->device == device) result = drain(streams[n]);
    return result;
}

CUresult enqueue(void *handle, struct operation operation) {
    CUresult result = OK;
    if ((uintptr_t)handle < 3) { /* the default stream, which waits for all others and they for it */
        for (size_t n = 0; n < stream_count; n++)
            if (streams[n]->capturing && streams[n]->blocking) {
                streams[n]->invalid = 1;
                REFUSE(CAPTURE_IMPLICIT, "the default stream is used while another is captured");
            }
        for (size_t n = 0; n < stream_count && !result; n++)
            if (streams[n]->device == current_device() && streams[n]->blocking) result = drain(streams[n]);
        return result ? result : run(&operation, current_device());
    }
    if (!is_stream(handle)) REFUSE(INVALID_HANDLE, "there is no such stream");
    struct stream *stream = handle;
    append(stream->capturing ? &stream->captured : &stream->queue, operation);
    if (!stream->capturing && early()) return drain(stream);
end:
    return result;
}

API cuStreamCreateWithPriority(void **made, unsigned flags, int priority) {
    (void)priority;
    ENTER;
    if (current_device() < 0) { result = INVALID_CONTEXT; goto end; }
    struct stream *stream = calloc(1, sizeof *stream);
    stream->device = current_device();
    stream->blocking = !(flags & 1);
    streams = realloc(streams, (stream_count + 1) * sizeof *streams);
    streams[stream_count++] = *made = stream;
    LEAVE;
}
API cuStreamCreate(void **made, unsigned flags) { return cuStreamCreateWithPriority(made, flags, 0); }

API cuStreamDestroy_v2(void *handle) {
    ENTER;
    for (size_t n = 0; n < stream_count; n++) {
        if (streams[n] != handle) continue;
        result = drain(streams[n]);
        free(streams[n]);
        streams[n] = streams[--stream_count];
        goto end;
    }
    result = INVALID_HANDLE;
    LEAVE;
}

API cuStreamSynchronize(void *handle) {
    ENTER;
    if ((uintptr_t)handle < 3) { result = drain_all(current_device()); goto end; }
    if (!is_stream(handle)) REFUSE(INVALID_HANDLE, "there is no such stream");
    struct stream *stream = handle;
    if (stream->capturing) {
        stream->invalid = 1;
        REFUSE(CAPTURE_UNSUPPORTED, "a stream is waited for while it is captured");
    }
    result = drain(stream);
    LEAVE;
}
API cuStreamQuery(void *handle) { return cuStreamSynchronize(handle); }

API cuCtxSynchronize(void) {
    ENTER;
    if (current_device() < 0) { result = INVALID_CONTEXT; goto end; }
    if (somebody_captures(0)) REFUSE(CAPTURE_UNSUPPORTED, "a context is waited for while a stream is captured");
    result = drain_all(current_device());
    LEAVE;
}

API cuStreamGetCtx(void *handle, void **context) {
    *context = contexts + ((uintptr_t)handle < 3 ? current_device() : ((struct stream *)handle)->device);
    return OK;
}
API cuStreamGetFlags(void *handle, unsigned *flags) { *flags = (uintptr_t)handle < 3 ? 0 : !((struct stream *)handle)->blocking; return OK; }
API cuStreamGetPriority(void *handle, int *priority) { (void)handle; *priority = 0; return OK; }
API cuStreamIsCapturing(void *handle, int *status) {
    *status = (uintptr_t)handle < 3 ? 0 : ((struct stream *)handle)->capturing ? 1 + ((struct stream *)handle)->invalid : 0;
    return OK;
}

API cuEventCreate(void **made, unsigned flags) { (void)flags; *made = calloc(1, sizeof(struct event)); return OK; }
API cuEventDestroy_v2(void *event) { (void)event; return OK; /* operations may still name it */ }
API cuEventRecord(struct event *event, void *stream) {
    ENTER;
    event->recorded = 1;
    event->stream = (uintptr_t)stream < 3 ? NULL : stream;
    result = enqueue(stream, (struct operation){.kind = RECORD, .event = event});
    LEAVE;
}
API cuEventSynchronize(struct event *event) {
    ENTER;
    if (event->stream) result = drain(event->stream);
    LEAVE;
}
API cuEventQuery(struct event *event) { return cuEventSynchronize(event); }
API cuEventElapsedTime_v2(float *ms, void *a, void *b) { (void)a; (void)b; *ms = 0; return OK; }
API cuStreamWaitEvent(void *stream, struct event *event, unsigned flags) {
    (void)flags;
    ENTER;
    result = enqueue(stream, (struct operation){.kind = WAIT, .event = event});
    LEAVE;
}

API cuStreamBeginCapture_v2(void *handle, int mode) {
    ENTER;
    if ((uintptr_t)handle < 3) REFUSE(CAPTURE_UNSUPPORTED, "the default stream cannot be captured");
    if (!is_stream(handle)) REFUSE(INVALID_HANDLE, "there is no such stream");
    struct stream *stream = handle;
    if (stream->capturing) { result = INVALID_VALUE; goto end; }
    stream->capturing = 1; stream->invalid = 0; stream->mode = mode; stream->by = pthread_self();
    stream->captured = (struct list){0};
    LEAVE;
}

API cuStreamEndCapture(void *handle, struct graph **made) {
    ENTER;
    struct stream *stream = handle;
    *made = NULL;
    if (!is_stream(handle) || !stream->capturing) REFUSE(INVALID_VALUE, "a capture ends that has not begun");
    stream->capturing = 0;
    if (stream->invalid) { result = CAPTURE_INVALIDATED; goto end; }
    *made = malloc(sizeof **made);
    (*made)->list = stream->captured;
    LEAVE;
}

/* An executable graph is a copy of its own, so that the graph may be destroyed. */
API cuGraphInstantiateWithFlags(struct graph **made, struct graph *graph, unsigned long long flags) {
    (void)flags;
    ENTER;
    *made = calloc(1, sizeof **made);
    for (size_t n = 0; n < graph->list.count; n++) append(&(*made)->list, graph->list.operations[n]);
    LEAVE;
}
static CUresult destroy(struct graph *graph) { free(graph->list.operations); free(graph); return OK; }
API cuGraphDestroy(struct graph *graph) { return destroy(graph); }
API cuGraphExecDestroy(struct graph *graph) { return destroy(graph); }
API cuGraphUpload(struct graph *graph, void *stream) { (void)graph; (void)stream; return OK; }
API cuGraphLaunch(struct graph *graph, void *stream) {
    ENTER;
    for (size_t n = 0; n < graph->list.count && !result; n++) {
        struct operation operation = graph->list.operations[n];
        result = enqueue(stream, operation);
    }
    LEAVE;
}
