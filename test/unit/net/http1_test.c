#include "support/test.h"

#include "base/compiler.h"
#include "net/http1.h"

static const struct {
    const char *name, *head;
    enum http1_result want;
    int status; /* of HTTP1_BAD */
} head_cases[] = {
    {"plain", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP1_DONE, 0},
    {"no headers", "GET / HTTP/1.0\r\n\r\n", HTTP1_DONE, 0},
    {"not whole", "GET / HTTP/1.1\r\nHost: a\r\n", HTTP1_MORE, 0},
    {"first line not whole", "GET / HTT", HTTP1_MORE, 0},
    {"bare line feed", "GET / HTTP/1.1\nHost: a\n\n", HTTP1_BAD, 400},
    {"carriage return inside", "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", HTTP1_BAD, 400},
    {"other version", "GET / HTTP/2.0\r\n\r\n", HTTP1_BAD, 505},
    {"no version", "GET /\r\n\r\n", HTTP1_BAD, 400},
    {"space in target", "GET /a b HTTP/1.1\r\n\r\n", HTTP1_BAD, 400},
    {"space before colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", HTTP1_BAD, 400},
    {"folded header", "GET / HTTP/1.1\r\nA: b\r\n c: d\r\n\r\n", HTTP1_BAD, 400},
    {"control in value", "GET / HTTP/1.1\r\nA: b\x01\r\n\r\n", HTTP1_BAD, 400},
    {"two lengths", "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", HTTP1_BAD,
     400},
    {"signed length", "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", HTTP1_BAD, 400},
    {"huge length", "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", HTTP1_BAD,
     400},
    {"length and chunks",
     "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP1_BAD, 400},
    {"other coding", "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", HTTP1_BAD, 501},
    {"other expectation", "POST / HTTP/1.1\r\nExpect: wonders\r\n\r\n", HTTP1_BAD, 417},
};

TEST(heads_are_read_strictly)
{
    for_each_case(c, head_cases) {
        struct http1_head head;
        size_t used = 0;
        int status = 0;
        struct str text = str_from(c->head);
        CHECK_EQ(http1_parse_head(str_bytes(text), &head, &used, &status), c->want);
        if (c->want == HTTP1_BAD)
            CHECK_EQ(status, c->status);
        if (c->want == HTTP1_DONE)
            CHECK_EQ(used, text.len);
    }
}

TEST(a_head_says_how_to_go_on)
{
    struct http1_head head;
    size_t used;
    int status;
    struct str text = STR("POST /a?b=c HTTP/1.1\r\nConnection: Upgrade, Close\r\nexpect: "
                          "100-Continue\r\nContent-Length: 12\r\n\r\nrest");
    CHECK_EQ(http1_parse_head(str_bytes(text), &head, &used, &status), HTTP1_DONE);
    CHECK_EQ(used, text.len - 4);
    CHECK_STR(head.method, "POST");
    CHECK_STR(head.target, "/a?b=c");
    CHECK(!head.keep_alive && head.expects_continue && !head.chunked);
    CHECK_EQ(head.content_length, 12);
    CHECK_EQ(head.header_count, 3);
    text = STR("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    CHECK_EQ(http1_parse_head(str_bytes(text), &head, &used, &status), HTTP1_DONE);
    CHECK(head.keep_alive && head.is_http10);
}

TEST(heads_without_end_and_too_many_headers_are_refused)
{
    struct buf text = {0};
    struct http1_head head;
    size_t used;
    int status;
    buf_append_cstr(&text, "GET / HTTP/1.1\r\n");
    for (int i = 0; i <= HTTP1_HEADERS_MAX; i++)
        buf_printf(&text, "A%d: b\r\n", i);
    buf_append_cstr(&text, "\r\n");
    CHECK_EQ(http1_parse_head(buf_bytes(&text), &head, &used, &status), HTTP1_BAD);
    CHECK_EQ(status, 431);
    buf_clear(&text);
    while (text.len < HTTP1_HEAD_MAX)
        buf_append_cstr(&text, "GET / HTTP/1.1 aaaaaaaaaaaaa");
    CHECK_EQ(http1_parse_head(buf_bytes(&text), &head, &used, &status), HTTP1_BAD);
    CHECK_EQ(status, 431);
    buf_deinit(&text);
}

static const struct {
    const char *name, *in, *body;
    enum http1_result want;
    int status;
} chunk_cases[] = {
    {"two chunks", "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", "abcde", HTTP1_DONE, 0},
    {"trailer", "1\r\na\r\n0\r\nA: b\r\n\r\n", "a", HTTP1_DONE, 0},
    {"not whole", "5\r\nabc", "abc", HTTP1_MORE, 0},
    {"no digits", ";\r\n", "", HTTP1_BAD, 400},
    {"bad digits", "1g\r\na\r\n", "", HTTP1_BAD, 400},
    {"minus", "-1\r\na\r\n", "", HTTP1_BAD, 400},
    {"data too long", "1\r\nab\r\n", "a", HTTP1_BAD, 400},
    {"over the limit", "ffffffff\r\nab\r\n", "", HTTP1_BAD, 413},
    {"sum over the limit", "3\r\nabc\r\n8\r\nabcdefgh\r\n", "abc", HTTP1_BAD, 413},
    {"overflow", "fffffffffffffffffffff\r\nab\r\n", "", HTTP1_BAD, 400},
};

/* Fed whole, and byte by byte as a slow peer does. */
TEST(chunks_come_in_any_pieces)
{
    for_each_case(c, chunk_cases)
        for (size_t piece = 1; piece < 40; piece += 19) {
            struct http1_chunks chunks = {0};
            struct buf body = {0}, in = {0};
            enum http1_result result = HTTP1_MORE;
            struct str text = str_from(c->in);
            int status = 0;
            for (size_t at = 0; at < text.len && result == HTTP1_MORE; at += piece) {
                size_t used;
                buf_append_str(&in, str_slice(text, at, at + piece));
                result = http1_take_chunks(&chunks, buf_bytes(&in), 10, &body, &used, &status);
                buf_consume(&in, used);
            }
            CHECK_EQ(result, c->want);
            CHECK_STR(buf_str(&body), c->body);
            if (result == HTTP1_BAD)
                CHECK_EQ(status, c->status);
            buf_deinit(&body);
            buf_deinit(&in);
        }
}

TEST_MAIN(TEST_ENTRY(heads_are_read_strictly), TEST_ENTRY(a_head_says_how_to_go_on),
          TEST_ENTRY(heads_without_end_and_too_many_headers_are_refused),
          TEST_ENTRY(chunks_come_in_any_pieces))
