#include "net/http1.h"

#include "base/compiler.h"

static bool is_token_char(char c)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return alphanumeric || (c && strchr(others, c));
}

static bool is_token(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_token_char(s.data[i]))
            return false;
    return s.len > 0;
}

/* Visible ASCII and what lies above it; no controls but the tab. */
static bool is_field_value(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (((uint8_t)s.data[i] < 0x20 && s.data[i] != '\t') || s.data[i] == 0x7f)
            return false;
    return true;
}

static bool is_target(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((uint8_t)s.data[i] <= 0x20 || s.data[i] == 0x7f)
            return false;
    return s.len > 0;
}

/* The next line without its CRLF; false when there is none. A bare LF, or a CR elsewhere, makes
 * *bad true. */
static bool next_line(struct str *rest, struct str *line, bool *bad)
{
    size_t end = str_find_char(*rest, '\n');
    if (end == rest->len)
        return false;
    *bad = end == 0 || rest->data[end - 1] != '\r' ||
           str_find_char(str_slice(*rest, 0, end), '\r') != end - 1;
    *line = str_slice(*rest, 0, end ? end - 1 : 0);
    *rest = str_slice(*rest, end + 1, rest->len);
    return true;
}

static bool parse_request_line(struct str line, struct http1_head *head, int *status)
{
    struct str rest, version;
    *status = 400;
    if (!str_cut(line, ' ', &head->method, &rest) || !str_cut(rest, ' ', &head->target, &version))
        return false;
    if (!is_token(head->method) || !is_target(head->target))
        return false;
    head->is_http10 = str_equal(version, STR("HTTP/1.0"));
    if (head->is_http10 || str_equal(version, STR("HTTP/1.1")))
        return true;
    *status = str_starts_with(version, STR("HTTP/")) ? 505 : 400;
    return false;
}

static bool has_list_item(struct str list, struct str item)
{
    struct str part;
    while (list.len) {
        str_cut(list, ',', &part, &list);
        if (str_equal_nocase(str_trim(part), item))
            return true;
    }
    return false;
}

/* Headers that decide on framing; false when they cannot be honoured. */
static bool note_header(struct http1_head *head, struct http_header header, bool *has_length,
                        int *status)
{
    uint64_t length;
    if (str_equal_nocase(header.name, STR("content-length"))) {
        bool is_number = str_to_uint64(header.value, &length);
        if (!is_number || (*has_length && length != head->content_length))
            return false;
        head->content_length = length;
        *has_length = true;
    } else if (str_equal_nocase(header.name, STR("transfer-encoding"))) {
        *status = 501;
        if (head->chunked || head->is_http10 || !str_equal_nocase(header.value, STR("chunked")))
            return false;
        head->chunked = true;
    } else if (str_equal_nocase(header.name, STR("connection"))) {
        if (has_list_item(header.value, STR("close")))
            head->keep_alive = false;
        else if (head->is_http10 && has_list_item(header.value, STR("keep-alive")))
            head->keep_alive = true;
    } else if (str_equal_nocase(header.name, STR("expect"))) {
        *status = 417;
        if (!str_equal_nocase(header.value, STR("100-continue")))
            return false;
        head->expects_continue = true;
    }
    return true;
}

static bool parse_header(struct str line, struct http1_head *head, bool *has_length, int *status)
{
    struct http_header header;
    *status = 400;
    if (!str_cut(line, ':', &header.name, &header.value) || !is_token(header.name))
        return false;
    header.value = str_trim(header.value);
    if (!is_field_value(header.value))
        return false;
    if (head->header_count == HTTP1_HEADERS_MAX) {
        *status = 431;
        return false;
    }
    head->headers[head->header_count++] = header;
    return note_header(head, header, has_length, status);
}

static enum http1_result incomplete_head(size_t len, int *status)
{
    *status = 431;
    return len >= HTTP1_HEAD_MAX ? HTTP1_BAD : HTTP1_MORE;
}

enum http1_result http1_parse_head(struct bytes in, struct http1_head *head, size_t *used,
                                   int *status)
{
    struct str rest = bytes_str(in), line;
    bool bad = false, has_length = false;
    *status = 400;
    if (!next_line(&rest, &line, &bad))
        return incomplete_head(in.len, status);
    head->header_count = 0;
    head->content_length = 0;
    head->chunked = head->expects_continue = false;
    if (bad || !parse_request_line(line, head, status))
        return HTTP1_BAD;
    head->keep_alive = !head->is_http10;
    for (;;) {
        if (!next_line(&rest, &line, &bad))
            return incomplete_head(in.len, status);
        if (bad)
            return HTTP1_BAD;
        if (line.len == 0)
            break;
        if (!parse_header(line, head, &has_length, status))
            return HTTP1_BAD;
    }
    *used = in.len - rest.len;
    *status = 400;
    bool ambiguous = head->chunked && has_length;
    if (*used > HTTP1_HEAD_MAX)
        return incomplete_head(*used, status);
    return ambiguous ? HTTP1_BAD : HTTP1_DONE;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "1a;extension" */
static bool parse_chunk_size(struct str line, uint64_t *size)
{
    struct str digits, extension;
    str_cut(line, ';', &digits, &extension);
    digits = str_trim(digits);
    *size = 0;
    for (size_t i = 0; i < digits.len; i++) {
        int digit = hex_digit(digits.data[i]);
        if (digit < 0 || *size >> 56)
            return false;
        *size = *size << 4 | (uint64_t)digit;
    }
    return digits.len > 0;
}

/* Lines between the data: sizes, the line end behind data, trailers. */
static bool take_chunk_line(struct http1_chunks *chunks, struct str line)
{
    switch (chunks->state) {
    case CHUNK_SIZE:
        if (!parse_chunk_size(line, &chunks->left))
            return false;
        chunks->state = chunks->left ? CHUNK_DATA : CHUNK_TRAILER;
        return true;
    case CHUNK_DATA_END:
        chunks->state = CHUNK_SIZE;
        return line.len == 0;
    case CHUNK_TRAILER:
        if (line.len == 0)
            chunks->state = CHUNK_END;
        return true;
    case CHUNK_DATA:
    case CHUNK_END:
        break;
    }
    return false;
}

static size_t take_chunk_data(struct http1_chunks *chunks, struct str rest, struct buf *body)
{
    size_t len = rest.len < chunks->left ? rest.len : (size_t)chunks->left;
    buf_append(body, rest.data, len);
    chunks->left -= len;
    if (chunks->left == 0)
        chunks->state = CHUNK_DATA_END;
    return len;
}

enum http1_result http1_take_chunks(struct http1_chunks *chunks, struct bytes in, size_t body_max,
                                    struct buf *body, size_t *used, int *status)
{
    struct str rest = bytes_str(in), line;
    bool bad;
    enum http1_result result = HTTP1_MORE;
    while (chunks->state != CHUNK_END && rest.len) {
        if (chunks->state == CHUNK_DATA) {
            rest = str_slice(rest, take_chunk_data(chunks, rest, body), rest.len);
            continue;
        }
        size_t before = rest.len;
        *status = 400;
        if (!next_line(&rest, &line, &bad)) {
            if (rest.len > HTTP1_HEAD_MAX)
                result = HTTP1_BAD;
            break;
        }
        chunks->line_bytes += before - rest.len - (chunks->state == CHUNK_DATA_END ? 2 : 0);
        if (bad || chunks->line_bytes > HTTP1_HEAD_MAX + body_max / 16 ||
            !take_chunk_line(chunks, line)) {
            result = HTTP1_BAD;
            break;
        }
        *status = 413;
        if (chunks->state == CHUNK_DATA &&
            chunks->left > body_max - size_min(body->len, body_max)) {
            result = HTTP1_BAD;
            break;
        }
    }
    *used = in.len - rest.len;
    return chunks->state == CHUNK_END && result == HTTP1_MORE ? HTTP1_DONE : result;
}

const char *http1_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {100, "Continue"},
        {200, "OK"},
        {204, "No Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {307, "Temporary Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {413, "Request Entity Too Large"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Entity"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < countof(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}
