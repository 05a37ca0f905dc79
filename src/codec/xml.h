/* codec/xml.h: reads XML as object stores answer it; expat. No entities beyond the five of XML, no
 * document types, depth and size bounded. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/str.h"

enum { XML_DEPTH_MAX = 16, XML_TEXT_MAX = 64 << 20, XML_VALUE_MAX = 1 << 20 };

/* What is called for each element: once when it begins (text empty), once when it ends, with the
 * text directly within it. Names are without their namespace. An error ends the reading. */
struct xml_reader {
    struct error *(*begin)(void *self, struct str name);
    struct error *(*end)(void *self, struct str name, struct str text);
    void *self;
};

/* ERROR_CORRUPT "<what>: line 3: ..."; ERROR_LIMIT; or that of a callback. */
MUST_CHECK struct error *xml_read(struct str xml, const struct xml_reader *reader,
                                  const char *what);
/* Appends text with the five entities where they are needed. */
struct buf;
void xml_append_text(struct buf *out, struct str text);
