#include "codec/xml.h"

#include <expat.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/memory.h"

struct parsing {
    XML_Parser parser;
    const struct xml_reader *reader;
    struct buf texts[XML_DEPTH_MAX]; /* of the open elements */
    size_t depth;
    struct error *failure;
};

static void fail(struct parsing *parsing, struct error *err)
{
    error_keep_first(&parsing->failure, err);
    XML_StopParser(parsing->parser, XML_FALSE);
}

static struct str local_name(const char *name)
{
    const char *colon = strrchr(name, ':');
    return str_from(colon ? colon + 1 : name);
}

static void on_begin(void *data, const XML_Char *name, const XML_Char **attributes UNUSED)
{
    struct parsing *parsing = data;
    if (parsing->failure)
        return;
    if (parsing->depth == XML_DEPTH_MAX) {
        fail(parsing, error_create(ERROR_LIMIT, "deeper than %d elements", XML_DEPTH_MAX));
        return;
    }
    buf_clear(&parsing->texts[parsing->depth++]);
    struct error *err = parsing->reader->begin(parsing->reader->self, local_name(name));
    if (err)
        fail(parsing, err);
}

static void on_end(void *data, const XML_Char *name)
{
    struct parsing *parsing = data;
    if (parsing->failure || parsing->depth == 0)
        return;
    parsing->depth--;
    struct error *err = parsing->reader->end(parsing->reader->self, local_name(name),
                                             buf_str(&parsing->texts[parsing->depth]));
    if (err)
        fail(parsing, err);
}

static void on_text(void *data, const XML_Char *text, int len)
{
    struct parsing *parsing = data;
    if (parsing->failure || parsing->depth == 0)
        return;
    struct buf *into = &parsing->texts[parsing->depth - 1];
    if (into->len + (size_t)len > XML_VALUE_MAX)
        fail(parsing, error_create(ERROR_LIMIT, "a text is longer than %d bytes", XML_VALUE_MAX));
    else
        buf_append(into, text, (size_t)len);
}

static void on_doctype(void *data, const XML_Char *name UNUSED, const XML_Char *system UNUSED,
                       const XML_Char *public UNUSED, int internal UNUSED)
{
    fail(data, error_create(ERROR_CORRUPT, "document types are not allowed"));
}

struct error *xml_read(struct str xml, const struct xml_reader *reader, const char *what)
{
    if (xml.len > XML_TEXT_MAX)
        return error_create(ERROR_LIMIT, "%s: longer than %d bytes", what, XML_TEXT_MAX);
    struct parsing parsing = {.parser = XML_ParserCreate(NULL), .reader = reader};
    if (!parsing.parser)
        bug("expat gives no parser");
    XML_SetUserData(parsing.parser, &parsing);
    XML_SetElementHandler(parsing.parser, on_begin, on_end);
    XML_SetCharacterDataHandler(parsing.parser, on_text);
    XML_SetStartDoctypeDeclHandler(parsing.parser, on_doctype);
    enum XML_Status status = XML_Parse(parsing.parser, xml.data, (int)xml.len, XML_TRUE);
    struct error *err = parsing.failure;
    if (!err && status != XML_STATUS_OK)
        err = error_create(ERROR_CORRUPT, "%s", XML_ErrorString(XML_GetErrorCode(parsing.parser)));
    err = error_wrap(err, "%s: line %lu", what,
                     (unsigned long)XML_GetCurrentLineNumber(parsing.parser));
    for (size_t i = 0; i < XML_DEPTH_MAX; i++)
        buf_deinit(&parsing.texts[i]);
    XML_ParserFree(parsing.parser);
    return err;
}

void xml_append_text(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        switch (text.data[i]) {
        case '<':
            buf_append_cstr(out, "&lt;");
            break;
        case '>':
            buf_append_cstr(out, "&gt;");
            break;
        case '&':
            buf_append_cstr(out, "&amp;");
            break;
        case '"':
            buf_append_cstr(out, "&quot;");
            break;
        case '\'':
            buf_append_cstr(out, "&apos;");
            break;
        default:
            buf_append_byte(out, (uint8_t)text.data[i]);
        }
    }
}
