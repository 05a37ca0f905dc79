#include "codec/gzip.h"
#include "codec/zstd.h"
#include "support/test.h"

static void fill(struct buf *buf, uint64_t *seed, size_t len)
{
    bool plain = test_random_below(seed, 2);
    while (buf->len < len)
        buf_append_byte(buf, (uint8_t)(plain ? test_random(seed) : buf->len / 100));
}

static const size_t sizes[] = {0, 1, 100, 4096, 65535, 65536, 65537, 1000000};

static void encode(struct bytes in, bool zstd, struct buf *out)
{
    if (zstd)
        zstd_encode(in, 1, out);
    else
        gzip_encode(in, out);
}

static struct error *decode(struct bytes in, bool zstd, size_t max, struct buf *out)
{
    return zstd ? zstd_decode(in, max, out) : gzip_decode(in, max, out);
}

TEST(content_comes_back)
{
    uint64_t seed = test_seed();
    for (size_t i = 0; i < 2 * countof(sizes); i++) {
        bool zstd = i % 2;
        size_t size = sizes[i / 2];
        struct buf in = {0}, packed = {0}, out = {0};
        fill(&in, &seed, size);
        encode(buf_bytes(&in), zstd, &packed);
        CHECK_OK(decode(buf_bytes(&packed), zstd, size, &out));
        CHECK(str_equal(buf_str(&in), buf_str(&out)));
        buf_clear(&out);
        if (size)
            CHECK_ERROR(decode(buf_bytes(&packed), zstd, size - 1, &out), ERROR_LIMIT);
        struct bytes cut = {(const uint8_t *)packed.data, packed.len - 1};
        CHECK_ERROR(decode(cut, zstd, size, &out), ERROR_CORRUPT);
        buf_clear(&out);
        encode(buf_bytes(&in), zstd, &packed); /* a second member or frame */
        CHECK_OK(decode(buf_bytes(&packed), zstd, 2 * size, &out));
        CHECK_EQ(out.len, 2 * size);
        buf_deinit(&in);
        buf_deinit(&packed);
        buf_deinit(&out);
    }
}

TEST(streams_can_be_read_up_to_each_flush)
{
    struct gzip_writer *writer = gzip_writer_create();
    struct buf packed = {0}, out = {0};
    for (int round = 0; round < 2; round++) {
        buf_clear(&packed);
        for (int i = 0; i < 5; i++) {
            gzip_write(writer, str_bytes(STR("some text, ")), i % 2 ? GZIP_SYNC : GZIP_MORE,
                       &packed);
            buf_clear(&out);
            struct error *err = gzip_decode(buf_bytes(&packed), 1000, &out);
            CHECK_ERROR(err, ERROR_CORRUPT); /* it has not ended */
            if (i % 2)
                CHECK_EQ(out.len, 11 * (i + 1));
        }
        gzip_write(writer, (struct bytes){NULL, 0}, GZIP_END, &packed);
        buf_clear(&out);
        CHECK_OK(gzip_decode(buf_bytes(&packed), 1000, &out));
        CHECK_EQ(out.len, 55);
        gzip_writer_reset(writer);
    }
    buf_deinit(&packed);
    buf_deinit(&out);
    gzip_writer_free(writer);
}

static const struct {
    const char *name;
    struct str bytes;
} bad_cases[] = {
    {"text", STR_INIT("not compressed at all")},
    {"gzip head only", STR_INIT("\x1f\x8b\x08\0\0\0\0\0\0\xff")},
    {"zstd head only", STR_INIT("\x28\xb5\x2f\xfd")},
    {"zstd with a window of 2 GiB", STR_INIT("\x28\xb5\x2f\xfd\x00\xa8\x01\0\0")},
};

TEST(broken_input_is_refused)
{
    for_each_case(c, bad_cases) {
        struct buf out = {0};
        CHECK_ERROR(gzip_decode(str_bytes(c->bytes), 1000, &out), ERROR_CORRUPT);
        CHECK_ERROR(zstd_decode(str_bytes(c->bytes), 1000, &out), ERROR_CORRUPT);
        buf_deinit(&out);
    }
}

TEST(the_budget_is_kept)
{
    struct budget *budget = budget_create(NULL, "test", 100000);
    struct buf in = {0}, packed = {0}, out = BUF_INIT(budget);
    while (in.len < 1000000)
        buf_append_byte(&in, 0);
    for (int zstd = 0; zstd < 2; zstd++) {
        buf_clear(&packed);
        encode(buf_bytes(&in), zstd, &packed);
        CHECK_ERROR(decode(buf_bytes(&packed), zstd, SIZE_MAX / 8, &out), ERROR_LIMIT);
        buf_deinit(&out);
    }
    buf_deinit(&in);
    buf_deinit(&packed);
    budget_free(budget);
}

TEST_MAIN(TEST_ENTRY(content_comes_back), TEST_ENTRY(streams_can_be_read_up_to_each_flush),
          TEST_ENTRY(broken_input_is_refused), TEST_ENTRY(the_budget_is_kept))
