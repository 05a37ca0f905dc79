/* runtime/log.h: structured log lines on stderr, logfmt or json, with Thanos's keys.
 *
 *     log_info(log, "uploaded block", KV("block", name), KV("bytes", size), KV_ERR(err));
 *
 * The message is constant and lower-case; what varies goes into pairs. A line is written with one
 * write(2). Values are cut at 16 KiB; a line has 48 pairs at most. logfmt keeps the order ts,
 * caller, level, name, the pairs of log_with(), msg, the call's; json sorts by key. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

struct log;
enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };

struct log_value {
    const char *key;
    enum {
        LOG_VALUE_STR,
        LOG_VALUE_INT,
        LOG_VALUE_UINT,
        LOG_VALUE_DOUBLE,
        LOG_VALUE_BOOL,
        LOG_VALUE_DURATION
    } type;
    union {
        struct str str;
        int64_t integer; /* LOG_VALUE_DURATION: milliseconds */
        uint64_t uinteger;
        double real;
        bool boolean;
    };
};

struct log_value log_value_str(const char *key, struct str value);
struct log_value log_value_cstr(const char *key, const char *value);
struct log_value log_value_int(const char *key, int64_t value);
struct log_value log_value_uint(const char *key, uint64_t value);
struct log_value log_value_double(const char *key, double value);
struct log_value log_value_bool(const char *key, bool value);
struct log_value log_value_duration(const char *key, int64_t ms);

#define KV(key, value)                                                                             \
    _Generic((value),                    \
        struct str: log_value_str,       \
        const char *: log_value_cstr,    \
        char *: log_value_cstr,          \
        bool: log_value_bool,            \
        float: log_value_double,         \
        double: log_value_double,        \
        unsigned: log_value_uint,        \
        unsigned long: log_value_uint,   \
        unsigned long long: log_value_uint, \
        default: log_value_int)(key, value)
#define KV_ERR(err) log_value_str("err", error_text(err))
#define KV_MS(key, ms) log_value_duration(key, ms)

/* One log for the process; name may be empty (Thanos's --debug.name). Thread-safe. */
struct log *log_create(int fd, enum log_level least, enum log_format format, struct str name);
/* A log that adds a pair (component, ...) to each line; shares the parent, which must outlive it.
 */
struct log *log_with(struct log *parent, const char *key, struct str value);
void log_free(struct log *log);
bool log_enabled(const struct log *log, enum log_level level);

void log_write(struct log *log, enum log_level level, const char *file, int line,
               const char *message, const struct log_value *values, size_t count);

#define LOG_AT(log, level, message, ...)                                                           \
    do {                                                                                           \
        if (log_enabled((log), (level))) {                                                         \
            const struct log_value log_values_[] = {{.key = NULL}, ##__VA_ARGS__};                 \
            log_write((log), (level), __FILE__, __LINE__, (message), log_values_ + 1,              \
                      sizeof(log_values_) / sizeof(log_values_[0]) - 1);                           \
        }                                                                                          \
    } while (0)
#define log_debug(log, message, ...) LOG_AT(log, LOG_DEBUG, message, ##__VA_ARGS__)
#define log_info(log, message, ...) LOG_AT(log, LOG_INFO, message, ##__VA_ARGS__)
#define log_warn(log, message, ...) LOG_AT(log, LOG_WARN, message, ##__VA_ARGS__)
#define log_error(log, message, ...) LOG_AT(log, LOG_ERROR, message, ##__VA_ARGS__)
