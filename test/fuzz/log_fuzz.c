/* Texts from outside in log lines and metrics: a line stays one line, JSON reads back as it was,
 * and a label's value can be told from its escapes. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/arena.h"
#include "codec/json.h"
#include "runtime/log.h"
#include "runtime/metrics.h"

#include "fuzz.h"

enum { LINE_MAX_BYTES = 256 * 1024 };

static struct str log_line(struct arena *arena, enum log_format format, struct str text)
{
    int fd = memfd_create("log", 0);
    struct log *log = log_create(fd, LOG_DEBUG, format, STR(""));
    log_info(log, "fuzz", KV("value", text), KV("last", 1));
    log_free(log);
    char *line = arena_alloc(arena, LINE_MAX_BYTES);
    ssize_t len = pread(fd, line, LINE_MAX_BYTES, 0);
    close(fd);
    FUZZ_CHECK(len > 0 && len < LINE_MAX_BYTES && line[len - 1] == '\n');
    struct str out = {line, (size_t)len - 1};
    for (size_t i = 0; i < out.len; i++)
        FUZZ_CHECK((uint8_t)out.data[i] >= ' ');
    return out;
}

static void check_json(struct arena *arena, struct str text)
{
    struct json_reader reader = json_read(log_line(arena, LOG_JSON, text), arena);
    struct str key, value = {0};
    if (json_object(&reader))
        while (json_key(&reader, &key)) {
            if (str_equal(key, STR("value")))
                value = json_str(&reader);
            else
                json_skip(&reader);
        }
    FUZZ_CHECK(json_finish(&reader, "log line") == NULL);
    FUZZ_CHECK(!str_is_utf8(text) || text.len > 16 * 1024 || str_equal(text, value));
}

/* The value between {text=" and "}. */
static void check_label(struct arena *arena, struct str text)
{
    static const char *const labels[] = {"text"};
    struct metrics *metrics = metrics_create();
    char *help = arena_cstr(arena, text);
    struct metric_family *family = metrics_gauge_family(metrics, "g", help, labels, 1);
    metric_set(metric_with(family, &text, 1), 1);
    struct buf out = {0}, value = {0};
    metrics_write(metrics, &out, false);
    struct str rest = buf_str(&out), sample = {0};
    int lines = 0;
    for (; rest.len; lines++)
        str_cut(rest, '\n', &sample, &rest);
    FUZZ_CHECK(lines == 3); /* HELP, TYPE, sample */
    FUZZ_CHECK(str_starts_with(sample, STR("g{text=\"")) && str_ends_with(sample, STR("\"} 1")));
    sample = str_slice(sample, 8, sample.len - 4);
    for (size_t i = 0; i < sample.len; i++) {
        char c = sample.data[i];
        FUZZ_CHECK(c != '"');
        if (c == '\\') {
            c = sample.data[++i];
            c = c == 'n' ? '\n' : c;
        }
        buf_append_byte(&value, (uint8_t)c);
    }
    FUZZ_CHECK(str_equal(buf_str(&value), text));
    buf_deinit(&value);
    buf_deinit(&out);
    metrics_free(metrics);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct arena *arena = arena_create(NULL);
    log_line(arena, LOG_LOGFMT, text);
    check_json(arena, text);
    check_label(arena, text);
    arena_unref(arena);
    return 0;
}
