/* Running a grid of one kernel; included once for each, with its names defined. */

static int RUN(void **params, const struct softgpu_launch *launch) {
    struct run run = {.launch = launch, .kernel = NAME, .epoch = 1};
    size_t threads = (size_t)launch->block[0] * launch->block[1] * launch->block[2];
    REGISTERS *all = malloc(threads * sizeof *all);
    int *at = malloc(threads * sizeof *at), status = 1;
    run.shared_size = STATIC_SHARED + launch->shared;
    run.shared = aligned_alloc(64, run.shared_size / 64 * 64 + 64);
    run.shared_shadow = calloc(run.shared_size / 4 + 1, sizeof *run.shared_shadow);
    run.piece_shadows = calloc(launch->count + 1, sizeof *run.piece_shadows);
    memset(COUNTS, 0, sizeof COUNTS);
    if (setjmp(run.fault)) goto end;
    for (uint32_t z = 0; z < launch->grid[2]; z++)
    for (uint32_t y = 0; y < launch->grid[1]; y++)
    for (uint32_t x = 0; x < launch->grid[0]; x++) {
        run.ctaid[0] = x; run.ctaid[1] = y; run.ctaid[2] = z;
        run.block_epoch = ++run.epoch;
        for (size_t n = 0; n < run.shared_size / 4; n++) ((uint32_t *)run.shared)[n] = GARBAGE;
        for (size_t n = 0; n < threads; n++) all[n].at = 0;
        for (int living = 1; living; run.epoch++) {
            int barrier = 0, ended = 0;
            living = 0;
            for (size_t n = 0; n < threads; n++) {
                if (all[n].at < 0) continue;
                run.thread = n;
                run.tid[0] = n % launch->block[0];
                run.tid[1] = n / launch->block[0] % launch->block[1];
                run.tid[2] = n / launch->block[0] / launch->block[1];
                int stopped = THREAD(&run, all + n, params);
                if (stopped == 0) { all[n].at = -1; ended = 1; continue; }
                living = 1;
                if (barrier && barrier != stopped)
                    fail(&run, 0, "threads of a block wait at different barriers", stopped);
                barrier = stopped;
            }
            if (living && ended)
                fail(&run, 0, "some threads of a block have ended where others wait", barrier);
        }
    }
    status = 0;
    const char *file = getenv("SOFTGPU_COUNT");
    if (file) {
        FILE *out = fopen(file, "a");
        uint64_t totals[OPCODE_COUNT] = {0};
        for (int n = 0; n < USE_COUNT; n++) totals[USES[n][1]] += COUNTS[USES[n][0]] * USES[n][2];
        fprintf(out, "{\"kernel\": \"%s\", \"blocks\": %u, \"threads\": %zu, \"instructions\": {", NAME,
                launch->grid[0] * launch->grid[1] * launch->grid[2], threads);
        for (int n = 0; n < OPCODE_COUNT; n++)
            fprintf(out, "%s\"%s\": %llu", n ? ", " : "", OPCODES[n], (unsigned long long)totals[n]);
        fprintf(out, "}}\n");
        fclose(out);
    }
end:
    for (size_t n = 0; n < launch->count; n++) free(run.piece_shadows[n]);
    free(run.piece_shadows); free(run.shared_shadow); free(run.shared); free(all); free(at);
    return status;
}
#undef THREAD
#undef REGISTERS
#undef NAME
#undef STATIC_SHARED
#undef RUN
#undef COUNTS
#undef BLOCKS
#undef OPCODES
#undef OPCODE_COUNT
#undef USES
#undef USE_COUNT
