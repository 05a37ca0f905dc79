#include "base/bytes_size.h"
#include "base/duration.h"
#include "base/time_text.h"
#include "base/ulid.h"

#include "fuzz.h"

static void durations(struct str text, struct buf *out)
{
    int64_t value, again;
    struct error *err = duration_parse(text, &value);
    if (!err) {
        buf_clear(out);
        duration_print(out, value);
        FUZZ_CHECK(duration_parse(buf_str(out), &again) == NULL && again == value);
    }
    error_free(err);
    err = duration_parse_go(text, &value);
    if (!err) {
        buf_clear(out);
        duration_print_go(out, value);
        FUZZ_CHECK(duration_parse_go(buf_str(out), &again) == NULL);
    }
    error_free(err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct buf out = {0};
    int64_t value, again;
    int32_t ns, ns_again;
    struct ulid id;
    durations(text, &out);
    struct error *err = bytes_size_parse(text, &value);
    if (!err) {
        buf_clear(&out);
        bytes_size_print(&out, value);
    }
    error_free(err);
    if (time_text_parse(text, &value, &ns)) {
        buf_clear(&out);
        time_text_print_ns(&out, value, ns);
        /* Offsets may lead out of the four-digit years. */
        if (value >= -62167219200 && value < 253402300800)
            FUZZ_CHECK(time_text_parse(buf_str(&out), &again, &ns_again) && again == value &&
                       ns_again == ns);
    }
    if (ulid_parse(text, &id)) {
        char letters[ULID_TEXT_LEN];
        struct ulid same;
        ulid_print(id, letters);
        FUZZ_CHECK(ulid_parse((struct str){letters, sizeof(letters)}, &same) &&
                   ulid_compare(id, same) == 0);
    }
    buf_deinit(&out);
    return 0;
}
