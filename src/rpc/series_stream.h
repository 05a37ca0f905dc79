/* rpc/series_stream.h: a select's answer as a gRPC stream that can stop anywhere and go on. */
#pragma once

#include "net/grpc_server.h"
#include "store/series_set.h"

struct context;
struct metric;

struct series_stream_config {
    struct context *ctx; /* of the select, a collector of warnings; a reference is taken */
    size_t batch_size;   /* series a frame; 0 and 1: single series */
    /* Seen at the end; NULL is fine. */
    struct metric *series_count, *chunk_count, *open_streams;
};

/* Takes the set and attaches a stream to the call that sends it. A step gives one batch of the set;
 * when the set is not ready it waits for its wake, holding no thread. After the first frame, series
 * are held back until a frame of batch_size is full; warnings of the context are sent as they come,
 * after what is held. */
void series_stream_attach(struct grpc_call *call, struct series_set *set,
                          const struct series_stream_config *config);
