#include "net/http_route.h"

/* "/a" "*" "/b": one segment that is not empty, or, at the pattern's end, all the rest. */
static bool pattern_fits(struct str pattern, struct str path, struct str *value)
{
    size_t star = str_find_char(pattern, '*');
    *value = STR("");
    if (star == pattern.len)
        return str_equal(pattern, path);
    struct str before = str_slice(pattern, 0, star),
               after = str_slice(pattern, star + 1, pattern.len);
    if (!str_starts_with(path, before))
        return false;
    struct str rest = str_slice(path, before.len, path.len);
    size_t len = after.len == 0 ? rest.len : str_find_char(rest, '/');
    *value = str_slice(rest, 0, len);
    return str_equal(str_slice(rest, len, rest.len), after) && (value->len > 0 || after.len == 0);
}

static bool method_fits(struct str methods, struct str method)
{
    struct str one;
    if (str_equal(methods, STR("*")))
        return true;
    while (methods.len) {
        str_cut(methods, ',', &one, &methods);
        if (str_equal(one, method))
            return true;
    }
    return false;
}

enum route_result http_route_find(const struct http_route *routes, size_t count, struct str method,
                                  struct str path, const struct http_route **route,
                                  struct str *value)
{
    enum route_result result = ROUTE_NOT_FOUND;
    for (size_t i = 0; i < count; i++) {
        if (!pattern_fits(str_from(routes[i].pattern), path, value))
            continue;
        struct str methods = str_from(routes[i].methods);
        if (!str_equal(methods, STR("OPTIONS"))) /* alone it answers for paths that may not exist */
            result = ROUTE_OTHER_METHOD;
        if (!method_fits(methods, method))
            continue;
        *route = &routes[i];
        return ROUTE_FOUND;
    }
    return result;
}

void http_route_methods(const struct http_route *routes, size_t count, struct str path,
                        struct buf *out)
{
    struct str value;
    for (size_t i = 0; i < count; i++)
        if (pattern_fits(str_from(routes[i].pattern), path, &value)) {
            struct str methods = str_from(routes[i].methods), one;
            while (methods.len) {
                str_cut(methods, ',', &one, &methods);
                buf_printf(out, "%s%.*s", out->len ? ", " : "", STR_ARG(one));
            }
        }
}
