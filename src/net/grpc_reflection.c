#include <stdlib.h>

#include "base/memory.h"
#include "base/vec.h"
#include "codec/pb.h"
#include "net/grpc_builtin.h"

enum { NESTING_MAX = 32, REQUEST_MAX = 64 * 1024 };

struct proto_file {
    struct str name;
    struct bytes bytes;
};

struct proto_symbol {
    char *name; /* full: "thanos.Store.Series" */
    size_t file;
};

struct proto_extension {
    struct str extendee; /* without the dot in front */
    uint64_t number;
    size_t file;
};

/* All views point into the descriptor set. */
struct grpc_reflection {
    VEC(struct proto_file) files;
    VEC(struct proto_symbol) symbols;
    VEC(struct proto_extension) extensions;
    VEC(char *) services;
};

/* --- the index --- */

static void add_symbol(struct grpc_reflection *reflection, struct str scope, struct str name,
                       size_t file, struct buf *full)
{
    buf_append_str(full, scope);
    if (scope.len)
        buf_append_byte(full, '.');
    buf_append_str(full, name);
    vec_push(&reflection->symbols, (struct proto_symbol){str_dup(buf_str(full)), file});
}

/* The first field `number` of a message, as bytes; empty when absent. */
static struct str field_text(struct bytes message, uint32_t number)
{
    struct pb_reader reader = pb_read(message);
    struct str text = STR("");
    while (pb_next(&reader)) {
        if (reader.field == number && reader.wire == PB_LENGTH)
            text = pb_str(&reader);
        else
            pb_skip(&reader);
    }
    return text;
}

static void index_extension(struct grpc_reflection *reflection, struct bytes field, size_t file)
{
    struct proto_extension extension = {.file = file};
    struct pb_reader reader = pb_read(field);
    while (pb_next(&reader)) {
        if (reader.field == 2)
            extension.extendee = pb_str(&reader);
        else if (reader.field == 3)
            extension.number = pb_uint64(&reader);
        else
            pb_skip(&reader);
    }
    if (extension.extendee.len && extension.extendee.data[0] == '.')
        extension.extendee = str_slice(extension.extendee, 1, extension.extendee.len);
    vec_push(&reflection->extensions, extension);
}

/* Which fields of a descriptor hold named things, and which of those hold more of them. */
struct scope_fields {
    uint32_t messages, enums, services, methods, extensions; /* 0: none */
};
static const struct scope_fields in_file = {
    .messages = 4, .enums = 5, .services = 6, .extensions = 7};
static const struct scope_fields in_message = {.messages = 3, .enums = 4, .extensions = 6};
static const struct scope_fields in_service = {.methods = 2};

static void index_scope(struct grpc_reflection *reflection, struct bytes descriptor,
                        const struct scope_fields *fields, struct str scope, size_t file, int depth)
{
    struct pb_reader reader = pb_read(descriptor);
    while (depth < NESTING_MAX && pb_next(&reader)) {
        uint32_t field = reader.field;
        bool named = field == fields->messages || field == fields->enums ||
                     field == fields->services || field == fields->methods ||
                     field == fields->extensions;
        if (!named || reader.wire != PB_LENGTH) {
            pb_skip(&reader);
            continue;
        }
        struct bytes inner = pb_bytes(&reader);
        struct buf full = {0};
        add_symbol(reflection, scope, field_text(inner, 1), file, &full);
        if (field == fields->messages)
            index_scope(reflection, inner, &in_message, buf_str(&full), file, depth + 1);
        else if (field == fields->services)
            index_scope(reflection, inner, &in_service, buf_str(&full), file, depth + 1);
        else if (field == fields->extensions)
            index_extension(reflection, inner, file);
        buf_deinit(&full);
    }
}

static void add_service(struct grpc_reflection *reflection, const char *path)
{
    struct str service = str_from(path + 1), method;
    str_cut(service, '/', &service, &method);
    for (size_t i = 0; i < reflection->services.len; i++)
        if (str_equal(str_from(reflection->services.items[i]), service))
            return;
    vec_push(&reflection->services, str_dup(service));
}

struct grpc_reflection *grpc_reflection_create(struct bytes descriptor_set,
                                               const char *const *paths, size_t path_count)
{
    struct grpc_reflection *reflection = xcalloc(1, sizeof(*reflection));
    struct pb_reader reader = pb_read(descriptor_set);
    while (pb_next(&reader)) {
        if (reader.field != 1 || reader.wire != PB_LENGTH) {
            pb_skip(&reader);
            continue;
        }
        struct bytes bytes = pb_bytes(&reader);
        size_t file = reflection->files.len;
        vec_push(&reflection->files, (struct proto_file){field_text(bytes, 1), bytes});
        index_scope(reflection, bytes, &in_file, field_text(bytes, 2), file, 0);
    }
    for (size_t i = 0; i < path_count; i++)
        add_service(reflection, paths[i]);
    add_service(reflection, "/grpc.reflection.v1.ServerReflection/");
    add_service(reflection, "/grpc.reflection.v1alpha.ServerReflection/");
    return reflection;
}

void grpc_reflection_free(struct grpc_reflection *reflection)
{
    if (!reflection)
        return;
    for (size_t i = 0; i < reflection->symbols.len; i++)
        free(reflection->symbols.items[i].name);
    for (size_t i = 0; i < reflection->services.len; i++)
        free(reflection->services.items[i]);
    vec_deinit(&reflection->files);
    vec_deinit(&reflection->symbols);
    vec_deinit(&reflection->extensions);
    vec_deinit(&reflection->services);
    free(reflection);
}

/* --- answers --- */

enum { NOT_THERE = -1 };

static int64_t file_by_name(const struct grpc_reflection *reflection, struct str name)
{
    for (size_t i = 0; i < reflection->files.len; i++)
        if (str_equal(reflection->files.items[i].name, name))
            return (int64_t)i;
    return NOT_THERE;
}

static int64_t file_by_symbol(const struct grpc_reflection *reflection, struct str name)
{
    for (size_t i = 0; i < reflection->symbols.len; i++)
        if (str_equal(str_from(reflection->symbols.items[i].name), name))
            return (int64_t)reflection->symbols.items[i].file;
    return NOT_THERE;
}

static int64_t file_by_extension(const struct grpc_reflection *reflection, struct bytes request)
{
    struct str type = field_text(request, 1);
    uint64_t number = 0;
    struct pb_reader reader = pb_read(request);
    while (pb_next(&reader)) {
        if (reader.field == 2 && reader.wire == PB_VARINT)
            number = pb_uint64(&reader);
        else
            pb_skip(&reader);
    }
    for (size_t i = 0; i < reflection->extensions.len; i++)
        if (reflection->extensions.items[i].number == number &&
            str_equal(reflection->extensions.items[i].extendee, type))
            return (int64_t)reflection->extensions.items[i].file;
    return NOT_THERE;
}

/* The file and, after it, what it imports; each once. */
static void put_files(const struct grpc_reflection *reflection, size_t first, struct buf *out)
{
    bool *seen = xcalloc(reflection->files.len, sizeof(*seen));
    VEC(size_t) todo = VEC_INIT(NULL);
    vec_push(&todo, first);
    seen[first] = true;
    for (size_t i = 0; i < todo.len; i++) {
        struct bytes bytes = reflection->files.items[todo.items[i]].bytes;
        pb_put_bytes_always(out, 1, bytes);
        struct pb_reader reader = pb_read(bytes);
        while (pb_next(&reader)) {
            if (reader.field != 3 || reader.wire != PB_LENGTH) {
                pb_skip(&reader);
                continue;
            }
            int64_t file = file_by_name(reflection, pb_str(&reader));
            if (file != NOT_THERE && !seen[file]) {
                seen[file] = true;
                vec_push(&todo, (size_t)file);
            }
        }
    }
    vec_deinit(&todo);
    free(seen);
}

static void answer_file(const struct grpc_reflection *reflection, int64_t file, struct str what,
                        struct buf *out)
{
    size_t mark = pb_begin(out, file == NOT_THERE ? 7 : 4, 4096);
    if (file == NOT_THERE) {
        struct buf text = {0};
        buf_printf(&text, "not found: %.*s", STR_ARG(what));
        pb_put_uint64(out, 1, GRPC_NOT_FOUND);
        pb_put_str(out, 2, buf_str(&text));
        buf_deinit(&text);
    } else {
        put_files(reflection, (size_t)file, out);
    }
    pb_end(out, mark);
}

static void answer_numbers(const struct grpc_reflection *reflection, struct str type,
                           struct buf *out)
{
    if (file_by_symbol(reflection, type) == NOT_THERE) {
        answer_file(reflection, NOT_THERE, type, out);
        return;
    }
    size_t mark = pb_begin(out, 5, 64);
    pb_put_str(out, 1, type);
    for (size_t i = 0; i < reflection->extensions.len; i++)
        if (str_equal(reflection->extensions.items[i].extendee, type))
            pb_put_uint64_always(out, 2, reflection->extensions.items[i].number);
    pb_end(out, mark);
}

static void answer_services(const struct grpc_reflection *reflection, struct buf *out)
{
    size_t mark = pb_begin(out, 6, 200);
    for (size_t i = 0; i < reflection->services.len; i++) {
        size_t service = pb_begin(out, 1, 40);
        pb_put_str(out, 1, str_from(reflection->services.items[i]));
        pb_end(out, service);
    }
    pb_end(out, mark);
}

struct error *grpc_reflection_answer(const struct grpc_reflection *reflection, struct bytes request,
                                     struct buf *out)
{
    struct str host = STR(""), text = STR("");
    uint32_t question = 0;
    struct pb_reader reader = pb_read(request);
    while (pb_next(&reader)) {
        uint32_t field = reader.field;
        if (field == 1) {
            host = pb_str(&reader);
        } else if (field >= 3 && field <= 7) { /* one of; the last counts */
            question = field;
            text = pb_str(&reader);
        } else {
            pb_skip(&reader);
        }
    }
    struct error *err = error_as(pb_error(&reader, "reflection request"), ERROR_INVALID);
    if (err)
        return err;
    pb_put_str(out, 1, host);
    pb_put_bytes(out, 2, request);
    if (question == 3)
        answer_file(reflection, file_by_name(reflection, text), text, out);
    else if (question == 4)
        answer_file(reflection, file_by_symbol(reflection, text), text, out);
    else if (question == 5)
        answer_file(reflection, file_by_extension(reflection, str_bytes(text)), STR("extension"),
                    out);
    else if (question == 6)
        answer_numbers(reflection, text, out);
    else if (question == 7)
        answer_services(reflection, out);
    else
        return error_create(ERROR_INVALID, "invalid reflection request: no question");
    return NULL;
}

static struct error *serve_reflection(void *self, struct grpc_call *call, struct bytes request)
{
    return grpc_reflection_answer(self, request, grpc_call_response(call));
}

void grpc_reflection_methods(struct grpc_reflection *reflection, struct pool *pool,
                             struct grpc_method out[GRPC_REFLECTION_METHODS])
{
    static const char *const paths[GRPC_REFLECTION_METHODS] = {
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"};
    for (size_t i = 0; i < GRPC_REFLECTION_METHODS; i++)
        out[i] = (struct grpc_method){.path = paths[i],
                                      .kind = GRPC_BIDI_EXCHANGE,
                                      .handler = serve_reflection,
                                      .self = reflection,
                                      .pool = pool,
                                      .request_max = REQUEST_MAX};
}
