/* A server stream of 60,000-byte messages over loopback, each side a process of its own: CPU
 * seconds per GiB of both, wall time, peak memory.
 *
 *     grpc_bench [messages] [streams]
 *     grpc_bench serve ADDRESS        serves only, for other clients */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "net/grpc_client.h"
#include "net/grpc_server.h"
#include "runtime/context.h"
#include "runtime/event_loop.h"
#include "runtime/pool.h"
#include "runtime/time.h"

enum { MESSAGE = 60000 };

static uint8_t message[MESSAGE];

struct flow {
    size_t left;
};

static enum grpc_step flow_step(void *state, struct grpc_call *call, struct error **err UNUSED)
{
    struct flow *flow = state;
    grpc_call_send(call, (struct bytes){message, sizeof(message)});
    return --flow->left ? GRPC_STEP_MORE : GRPC_STEP_END;
}

static const struct grpc_stream_ops flow_ops = {.step = flow_step, .free = free};

static struct error *serve_flow(void *self UNUSED, struct grpc_call *call, struct bytes request)
{
    struct flow *flow = xmalloc(sizeof(*flow));
    uint64_t count = 1;
    (void)str_to_uint64(bytes_str(request), &count);
    flow->left = count ? count : 1;
    grpc_call_attach(call, &flow_ops, flow);
    return NULL;
}

static void print_usage(const char *who, double gib)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    printf("%s: %.3f CPU-s/GiB, peak %ld KiB\n", who, cpu / gib, usage.ru_maxrss);
    fflush(stdout);
}

static void die(struct error *err)
{
    fprintf(stderr, "%.*s\n", STR_ARG(error_text(err)));
    exit(1);
}

/* Serves until the pipe's other end is closed; writes the address to `out`. */
static void serve(struct str address, int in, int out, double gib)
{
    struct event_loops *loops = event_loops_create(EVENT_LOOP_COUNT);
    struct pool *pool = pool_create("series", 4, 1000);
    struct grpc_method method = {
        "/bench.B/Flow", GRPC_SERVER_STREAM, serve_flow, NULL, pool, 1024, NULL};
    struct grpc_server_config config = {
        .address = address, .methods = &method, .method_count = 1, .quick = pool};
    struct grpc_server *server;
    struct error *err = grpc_serve(loops, &config, &server);
    if (err)
        die(err);
    struct str at = grpc_server_address(server);
    char byte;
    if (write(out, at.data, at.len) != (ssize_t)at.len || read(in, &byte, 1) < 0)
        exit(1);
    grpc_server_stop(server, 1000);
    grpc_server_free(server);
    pool_free(pool);
    event_loops_free(loops);
    print_usage("server", gib);
}

struct reader {
    struct grpc_channel *channel;
    struct context *ctx;
    struct str count;
    size_t bytes;
};

static void *read_stream(void *arg)
{
    struct reader *reader = arg;
    struct grpc_stream *stream = grpc_stream_start(reader->channel, reader->ctx, "/bench.B/Flow",
                                                   str_bytes(reader->count), NULL, 0, 1024 * 1024);
    struct grpc_message *got;
    struct error *err;
    while (!(err = grpc_stream_next(stream, reader->ctx, &got)) && got) {
        reader->bytes += got->bytes.len;
        grpc_message_unref(got);
    }
    if (err)
        die(err);
    grpc_stream_free(stream);
    return NULL;
}

static void run_client(struct str address, size_t messages, size_t streams, double gib)
{
    struct event_loops *loops = event_loops_create(EVENT_LOOP_COUNT);
    struct grpc_channel *channel = grpc_channel_create(loops, address);
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    char count[32];
    int len = snprintf(count, sizeof(count), "%zu", messages / streams);
    struct reader *readers = xcalloc(streams, sizeof(*readers));
    pthread_t *threads = xcalloc(streams, sizeof(*threads));
    int64_t started = time_now_monotonic_ms();
    for (size_t i = 0; i < streams; i++) {
        readers[i] = (struct reader){channel, ctx, {count, (size_t)len}, 0};
        pthread_create(&threads[i], NULL, read_stream, &readers[i]);
    }
    for (size_t i = 0; i < streams; i++)
        pthread_join(threads[i], NULL);
    printf("%zu messages, %zu streams: %lld ms\n", messages, streams,
           (long long)(time_now_monotonic_ms() - started));
    free(readers);
    free(threads);
    grpc_channel_free(channel);
    context_unref(ctx);
    event_loops_free(loops);
    print_usage("client", gib);
}

int main(int argc, char **argv)
{
    if (argc > 2 && str_equal(str_from(argv[1]), STR("serve"))) {
        serve(str_from(argv[2]), STDIN_FILENO, STDOUT_FILENO, 1);
        return 0;
    }
    size_t messages = argc > 1 ? strtoul(argv[1], NULL, 10) : 20000;
    size_t streams = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
    double gib = (double)messages * MESSAGE / (1 << 30);
    int to_server[2], from_server[2];
    if (pipe(to_server) != 0 || pipe(from_server) != 0)
        return 1;
    pid_t child = fork();
    if (child == 0) {
        close(to_server[1]);
        serve(STR("127.0.0.1:0"), to_server[0], from_server[1], gib);
        return 0;
    }
    char address[64];
    ssize_t len = read(from_server[0], address, sizeof(address));
    if (len <= 0)
        return 1;
    run_client((struct str){address, (size_t)len}, messages, streams, gib);
    close(to_server[1]);
    waitpid(child, NULL, 0);
    return 0;
}
