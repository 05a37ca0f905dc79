#include "codec/snappy.h"

#include "codec/crc32c.h"
#include "support/test.h"

TEST(crc32c_has_the_known_values)
{
    CHECK_EQ(crc32c(0, "123456789", 9), 0xe3069283);
    CHECK_EQ(crc32c(0, "", 0), 0);
    uint8_t zeros[32] = {0};
    CHECK_EQ(crc32c(0, zeros, 32), 0x8a9136aa);
    CHECK_EQ(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

static void fill(struct buf *buf, uint64_t *seed, size_t len)
{
    bool plain = test_random_below(seed, 2);
    while (buf->len < len)
        buf_append_byte(buf, (uint8_t)(plain ? test_random(seed) : buf->len / 100));
}

TEST(content_comes_back)
{
    static const size_t sizes[] = {0, 1, 100, 65535, 65536, 65537, 300000};
    uint64_t seed = test_seed();
    for (size_t i = 0; i < countof(sizes); i++) {
        struct buf in = {0}, packed = {0}, out = {0};
        fill(&in, &seed, sizes[i]);
        snappy_encode(buf_bytes(&in), &packed);
        CHECK_OK(snappy_decode(buf_bytes(&packed), sizes[i], &out));
        CHECK(str_equal(buf_str(&in), buf_str(&out)));
        if (sizes[i])
            CHECK_ERROR(snappy_decode(buf_bytes(&packed), sizes[i] - 1, &out), ERROR_LIMIT);
        buf_clear(&packed);
        buf_clear(&out);
        snappy_frame_encode(buf_bytes(&in), &packed);
        CHECK_OK(snappy_frame_decode(buf_bytes(&packed), sizes[i], &out));
        CHECK(str_equal(buf_str(&in), buf_str(&out)));
        if (sizes[i]) {
            buf_clear(&out);
            CHECK_ERROR(snappy_frame_decode(buf_bytes(&packed), sizes[i] - 1, &out), ERROR_LIMIT);
            packed.data[packed.len - 1] ^= 1;
            buf_clear(&out);
            CHECK_ERROR(snappy_frame_decode(buf_bytes(&packed), sizes[i], &out), ERROR_CORRUPT);
        }
        buf_deinit(&in);
        buf_deinit(&packed);
        buf_deinit(&out);
    }
}

static const struct {
    const char *name;
    const char *bytes;
    size_t len;
    enum error_kind block, frame;
} bad_cases[] = {
    {"nothing", "", 0, ERROR_CORRUPT, ERROR_NONE},
    {"claims 4 GiB", "\xff\xff\xff\xff\x0f\x00", 6, ERROR_LIMIT, ERROR_CORRUPT},
    {"cut head", "\xff\x06\x00\x00sNaP", 8, ERROR_CORRUPT, ERROR_CORRUPT},
    {"no head", "\x01\x05\x00\x00....x", 9, ERROR_CORRUPT, ERROR_CORRUPT},
    {"wrong head", "\xff\x06\x00\x00sNaPpZ", 10, ERROR_CORRUPT, ERROR_CORRUPT},
    {"reserved chunk", "\xff\x06\x00\x00sNaPpY\x02\x00\x00\x00", 14, ERROR_CORRUPT, ERROR_CORRUPT},
    {"padding", "\xff\x06\x00\x00sNaPpY\xfe\x02\x00\x00xx", 16, ERROR_CORRUPT, ERROR_NONE},
    {"chunk without crc", "\xff\x06\x00\x00sNaPpY\x01\x02\x00\x00xx", 16, ERROR_CORRUPT,
     ERROR_CORRUPT},
};

TEST(broken_input_is_refused)
{
    for_each_case(c, bad_cases) {
        struct buf out = {0};
        struct bytes in = {(const uint8_t *)c->bytes, c->len};
        CHECK_ERROR(snappy_decode(in, 1000, &out), c->block);
        CHECK_ERROR(snappy_frame_decode(in, 1000, &out), c->frame);
        buf_deinit(&out);
    }
}

TEST_MAIN(TEST_ENTRY(crc32c_has_the_known_values), TEST_ENTRY(content_comes_back),
          TEST_ENTRY(broken_input_is_refused))
