/* The head of an HTTP/1 request and, after it, a chunked body. Heads that are cut off are never
 * taken for whole ones, and pieces decode to what the whole does. */
#include "fuzz.h"
#include "net/http1.h"

enum { BODY_MAX = 4096 };

static void check_view(struct str view, struct bytes whole)
{
    FUZZ_CHECK(view.len == 0 || (view.data >= (const char *)whole.data &&
                                 view.data + view.len <= (const char *)whole.data + whole.len));
}

static enum http1_result take_all(struct bytes in, size_t piece, struct buf *body)
{
    struct http1_chunks chunks = {0};
    enum http1_result result = HTTP1_MORE;
    while (in.len && result == HTTP1_MORE) {
        size_t used = 0;
        int status = 0;
        struct bytes part = {in.data, size_min(piece, in.len)};
        result = http1_take_chunks(&chunks, part, BODY_MAX, body, &used, &status);
        FUZZ_CHECK(used <= part.len && body->len <= BODY_MAX);
        FUZZ_CHECK(result != HTTP1_BAD || status == 400 || status == 413);
        if (used == 0 && piece >= in.len)
            break;
        piece = used == 0 ? piece + 1 : piece; /* it wants to see more at once */
        in = (struct bytes){in.data + used, in.len - used};
    }
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http1_head head;
    struct bytes in = {data, size};
    size_t used = 0;
    int status = 0;
    head = (struct http1_head){0};
    enum http1_result result = http1_parse_head(in, &head, &used, &status);
    if (result == HTTP1_BAD)
        FUZZ_CHECK(status >= 400 && status < 600);
    if (result == HTTP1_DONE) {
        FUZZ_CHECK(used <= size && head.header_count <= HTTP1_HEADERS_MAX);
        check_view(head.method, in);
        check_view(head.target, in);
        for (size_t i = 0; i < head.header_count; i++) {
            check_view(head.headers[i].name, in);
            check_view(head.headers[i].value, in);
        }
        in = (struct bytes){data + used, size - used};
    }
    struct buf whole = {0}, pieces = {0};
    enum http1_result at_once = take_all(in, SIZE_MAX, &whole);
    enum http1_result by_piece = take_all(in, 1, &pieces);
    FUZZ_CHECK(at_once == by_piece);
    FUZZ_CHECK(at_once == HTTP1_BAD || str_equal(buf_str(&whole), buf_str(&pieces)));
    buf_deinit(&whole);
    buf_deinit(&pieces);
    return 0;
}
