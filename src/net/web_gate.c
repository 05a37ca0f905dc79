#include "net/web_gate.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/mutex.h"
#include "codec/base64.h"
#include "codec/digest.h"
#include "net/tls.h"
#include "net/web_password.h"
#include "runtime/file.h"
#include "runtime/log.h"
#include "runtime/pool.h"
#include "runtime/time.h"

enum {
    FILE_MAX = 4 << 20,
    WAITING_MAX = 64, /* passwords to be compared */
    OUTCOMES = 256,   /* remembered, of either kind */
};

/* Compared when a user is unknown, so that this takes as long: the hash of a random text. */
#define NOBODYS_HASH "$2b$10$AzQN9oLBlT0GYgLug3XE9Onf7UQGDoJnlvaTbVU.TftrmsQsflWuK"

struct file_state {
    bool exists;
    ino_t inode;
    off_t size;
    struct timespec modified;
};

struct web_gate {
    char *path;
    struct log *log;
    struct pool *pool; /* one thread; NULL until somebody needs it */
    uint8_t key[DIGEST_SHA256_SIZE];
    struct mutex lock;
    struct web_rules *rules GUARDED_BY(lock);
    struct file_state state GUARDED_BY(lock); /* at the last attempt to read it */
    int64_t limit_interval_ns, limit_burst;
    double tokens GUARDED_BY(lock);
    int64_t tokens_ns GUARDED_BY(lock);
    /* By their first byte, those that fit apart, so that guesses do not push them out. */
    uint8_t fitting[OUTCOMES][DIGEST_SHA256_SIZE] GUARDED_BY(lock);
    uint8_t failing[OUTCOMES][DIGEST_SHA256_SIZE] GUARDED_BY(lock);
};

/* --- rules --- */

struct web_rules *web_rules_ref(struct web_rules *rules)
{
    atomic_fetch_add_explicit(&rules->references, 1, memory_order_relaxed);
    return rules;
}

void web_rules_unref(struct web_rules *rules)
{
    if (!rules || atomic_fetch_sub_explicit(&rules->references, 1, memory_order_acq_rel) != 1)
        return;
    tls_server_unref(rules->tls);
    arena_unref(rules->arena);
    free(rules);
}

static struct str folder_of(struct str path)
{
    size_t len = path.len;
    while (len && path.data[len - 1] != '/')
        len--;
    return str_slice(path, 0, len > 1 ? len - 1 : len);
}

static struct error *rules_read(struct web_gate *gate, struct web_rules **out)
{
    struct buf text = {0};
    struct web_rules *rules = xcalloc(1, sizeof(*rules));
    struct str path = str_from(gate->path);
    atomic_init(&rules->references, 1);
    rules->arena = arena_create(NULL);
    struct error *err = file_read(path, FILE_MAX, &text);
    if (!err)
        err = error_wrap(
            web_config_parse(buf_str(&text), folder_of(path), rules->arena, &rules->config), "%s",
            gate->path);
    if (!err && rules->config.has_tls)
        err = error_wrap(tls_server_create(&rules->config.tls, TLS_HTTP1, gate->log, &rules->tls),
                         "%s", gate->path);
    digest_wipe(text.data, text.len); /* it may hold a key */
    buf_deinit(&text);
    if (err)
        web_rules_unref(rules);
    else
        *out = rules;
    return err;
}

static struct file_state state_of(const struct web_gate *gate)
{
    struct stat info;
    if (stat(gate->path, &info) != 0)
        return (struct file_state){0};
    return (struct file_state){true, info.st_ino, info.st_size, info.st_mtim};
}

static bool state_equal(const struct file_state *a, const struct file_state *b)
{
    return a->exists == b->exists && a->inode == b->inode && a->size == b->size &&
           a->modified.tv_sec == b->modified.tv_sec && a->modified.tv_nsec == b->modified.tv_nsec;
}

static void gate_read_again_locked(struct web_gate *gate) REQUIRES(gate->lock)
{
    struct web_rules *rules = NULL;
    struct error *err = rules_read(gate, &rules);
    if (!err && rules->config.has_tls != gate->rules->config.has_tls) {
        err = error_create(ERROR_INVALID, "%s: TLS is turned on and off by a restart only",
                           gate->path);
        web_rules_unref(rules);
    }
    if (err) {
        log_error(gate->log, "changed HTTP configuration cannot be used; the one before is",
                  KV_ERR(err));
        error_free(err);
        return;
    }
    web_rules_unref(gate->rules);
    gate->rules = rules;
    log_info(gate->log, "HTTP configuration was read again", KV("file", gate->path));
}

struct web_rules *web_gate_rules(struct web_gate *gate)
{
    struct file_state state = state_of(gate);
    mutex_lock(&gate->lock);
    if (!state_equal(&state, &gate->state)) {
        gate->state = state;
        gate_read_again_locked(gate);
    }
    struct web_rules *rules = web_rules_ref(gate->rules);
    mutex_unlock(&gate->lock);
    return rules;
}

struct error *web_gate_create(struct str path, struct log *log,
                              struct web_gate **out) NO_THREAD_SAFETY
{
    struct web_gate *gate = xcalloc(1, sizeof(*gate));
    gate->path = str_dup(path);
    gate->log = log;
    gate->state = state_of(gate);
    mutex_init(&gate->lock);
    digest_random(gate->key, sizeof(gate->key));
    gate->pool = pool_create("passwords", 1, WAITING_MAX);
    struct error *err = rules_read(gate, &gate->rules);
    if (err) {
        web_gate_free(gate);
        return err;
    }
    const struct web_config *config = &gate->rules->config;
    gate->limit_interval_ns = config->limit_interval_ns;
    gate->limit_burst = config->limit_burst;
    gate->tokens = (double)config->limit_burst;
    gate->tokens_ns = time_now_monotonic_ns();
    *out = gate;
    return NULL;
}

void web_gate_free(struct web_gate *gate) NO_THREAD_SAFETY /* nobody else is left */
{
    if (!gate)
        return;
    pool_free(gate->pool);
    web_rules_unref(gate->rules);
    mutex_deinit(&gate->lock);
    free(gate->path);
    free(gate);
}

/* --- the limit --- */

static bool gate_takes_one_more(struct web_gate *gate)
{
    if (gate->limit_interval_ns == 0)
        return true;
    mutex_lock(&gate->lock);
    int64_t now = time_now_monotonic_ns();
    gate->tokens += (double)(now - gate->tokens_ns) / (double)gate->limit_interval_ns;
    gate->tokens_ns = now;
    if (gate->tokens > (double)gate->limit_burst)
        gate->tokens = (double)gate->limit_burst;
    bool taken = gate->tokens >= 1;
    if (taken)
        gate->tokens -= 1;
    mutex_unlock(&gate->lock);
    return taken;
}

/* --- passwords --- */

struct password_job {
    struct web_gate *gate;
    struct buf password;
    char hash[64];
    bool is_known; /* the user */
    uint8_t outcome[DIGEST_SHA256_SIZE];
    void (*done)(void *arg, enum web_verdict verdict);
    void *arg;
};

static void wipe(struct buf *buf)
{
    digest_wipe(buf->data, buf->len);
    buf_deinit(buf);
}

static bool remembers_locked(uint8_t table[OUTCOMES][DIGEST_SHA256_SIZE], const uint8_t *outcome)
{
    return memcmp(table[outcome[0]], outcome, DIGEST_SHA256_SIZE) == 0;
}

/* WEB_WAIT: it has to be compared. */
static enum web_verdict remembered(struct web_gate *gate, const uint8_t *outcome)
{
    enum web_verdict verdict = WEB_WAIT;
    mutex_lock(&gate->lock);
    if (remembers_locked(gate->fitting, outcome))
        verdict = WEB_ADMIT;
    else if (remembers_locked(gate->failing, outcome))
        verdict = WEB_DENY;
    mutex_unlock(&gate->lock);
    return verdict;
}

static void compare_password(void *arg)
{
    struct password_job *job = arg;
    struct web_gate *gate = job->gate;
    enum web_verdict verdict = remembered(gate, job->outcome); /* by one that came before */
    if (verdict == WEB_WAIT) {
        bool fits = web_password_fits(buf_str(&job->password), str_from(job->hash));
        verdict = fits && job->is_known ? WEB_ADMIT : WEB_DENY;
        mutex_lock(&gate->lock);
        memcpy(verdict == WEB_ADMIT ? gate->fitting[job->outcome[0]]
                                    : gate->failing[job->outcome[0]],
               job->outcome, DIGEST_SHA256_SIZE);
        mutex_unlock(&gate->lock);
    }
    job->done(job->arg, verdict);
    wipe(&job->password);
    free(job);
}

/* "Basic" and base64 of "user:password"; both into `text`, the user up to *user_len. */
static bool read_credentials(const struct http1_head *head, struct buf *text, size_t *user_len)
{
    struct str value = {0}, scheme, rest;
    for (size_t i = 0; value.len == 0 && i < head->header_count; i++)
        if (str_equal_nocase(head->headers[i].name, STR("authorization")))
            value = head->headers[i].value;
    if (!str_cut(value, ' ', &scheme, &rest) || !str_equal_nocase(scheme, STR("basic")) ||
        !base64_decode(text, rest, BASE64_STANDARD))
        return false;
    *user_len = str_find_char(buf_str(text), ':');
    return *user_len < text->len;
}

static void take_outcome_key(struct web_gate *gate, struct str user, struct str hash,
                             struct str password, uint8_t out[DIGEST_SHA256_SIZE])
{
    struct buf text = {0};
    buf_printf(&text, "%zu:%zu:", user.len, hash.len);
    buf_append_str(&text, user);
    buf_append_str(&text, hash);
    buf_append_str(&text, password);
    digest_hmac_sha256((struct bytes){gate->key, sizeof(gate->key)}, buf_bytes(&text), out);
    wipe(&text);
}

static enum web_verdict check_password(struct web_gate *gate, const struct web_config *config,
                                       struct str user, struct str password,
                                       void (*done)(void *arg, enum web_verdict verdict), void *arg)
{
    struct str hash = STR(NOBODYS_HASH);
    struct password_job *job = xcalloc(1, sizeof(*job));
    for (size_t i = 0; i < config->user_count; i++)
        if (str_equal(config->users[i].name, user)) {
            hash = config->users[i].hash;
            job->is_known = true;
        }
    take_outcome_key(gate, user, hash, password, job->outcome);
    enum web_verdict verdict = remembered(gate, job->outcome);
    if (verdict != WEB_WAIT) {
        free(job);
        return verdict;
    }
    memcpy(job->hash, hash.data, hash.len); /* 60 characters, or it would not be in the list */
    buf_append_str(&job->password, password);
    job->gate = gate;
    job->done = done;
    job->arg = arg;
    struct error *err = pool_run(gate->pool, compare_password, job);
    if (!err)
        return WEB_WAIT;
    error_free(err);
    wipe(&job->password);
    free(job);
    return WEB_BUSY;
}

enum web_verdict web_gate_ask(struct web_gate *gate, struct web_rules *rules,
                              const struct http1_head *head,
                              void (*done)(void *arg, enum web_verdict verdict), void *arg)
{
    if (!gate_takes_one_more(gate))
        return WEB_LIMIT;
    if (rules->config.user_count == 0)
        return WEB_ADMIT;
    struct buf text = {0};
    size_t user_len;
    enum web_verdict verdict = WEB_DENY;
    if (read_credentials(head, &text, &user_len)) {
        struct str all = buf_str(&text);
        verdict = check_password(gate, &rules->config, str_slice(all, 0, user_len),
                                 str_slice(all, user_len + 1, all.len), done, arg);
    }
    wipe(&text);
    return verdict;
}
