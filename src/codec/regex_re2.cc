extern "C" {
#include "codec/regex_re2.h"
}

#include <re2/re2.h>

#include <algorithm>
#include <new>

namespace
{

constexpr int64_t memory_max = 16 << 20; // of a program and its automata
constexpr size_t groups_max = 101;

re2::StringPiece piece(struct str s)
{
    return re2::StringPiece(s.len ? s.data : "", s.len);
}

} // namespace

struct regex_re2 {
    RE2 re;
    explicit regex_re2(struct str text, const RE2::Options &options) : re(piece(text), options)
    {
    }
};

/* Go's words for what is wrong with an expression, which clients of Prometheus know. */
static const struct {
    RE2::ErrorCode code;
    const char *text;
    bool quotes_all; /* the whole expression instead of the part RE2 names */
} go_errors[] = {
    {RE2::ErrorBadEscape, "invalid escape sequence", false},
    {RE2::ErrorBadCharClass, "invalid character class", false},
    {RE2::ErrorBadCharRange, "invalid character class range", false},
    {RE2::ErrorMissingBracket, "missing closing ]", false},
    {RE2::ErrorMissingParen, "missing closing )", true},
    {RE2::ErrorUnexpectedParen, "unexpected )", true},
    {RE2::ErrorTrailingBackslash, "trailing backslash at end of expression", false},
    {RE2::ErrorRepeatArgument, "missing argument to repetition operator", false},
    {RE2::ErrorRepeatSize, "invalid repeat count", false},
    {RE2::ErrorRepeatOp, "invalid nested repetition operator", false},
    {RE2::ErrorBadPerlOp, "invalid or unsupported Perl syntax", false},
    {RE2::ErrorBadUTF8, "invalid UTF-8", true},
    {RE2::ErrorBadNamedCapture, "invalid named capture", false},
};

static struct error *go_error(const RE2 &re)
{
    for (const auto &row : go_errors)
        if (row.code == re.error_code())
            return error_create(ERROR_INVALID, "error parsing regexp: %s: `%s`", row.text,
                                row.quotes_all ? re.pattern().c_str() : re.error_arg().c_str());
    return error_create(ERROR_INVALID, "error parsing regexp: %s", re.error().c_str());
}

struct error *regex_re2_compile(struct str text, struct regex_re2 **out)
{
    RE2::Options options;
    options.set_dot_nl(true);
    options.set_log_errors(false);
    options.set_max_mem(memory_max);
    auto *regex = new regex_re2(text, options);
    if (!regex->re.ok()) {
        struct error *err = go_error(regex->re);
        delete regex;
        return err;
    }
    *out = regex;
    return nullptr;
}

void regex_re2_free(struct regex_re2 *regex)
{
    delete regex;
}

bool regex_re2_match(const struct regex_re2 *regex, struct str text, bool whole, struct str *groups,
                     size_t count)
{
    re2::StringPiece found[groups_max];
    auto anchor = whole ? RE2::ANCHOR_BOTH : RE2::UNANCHORED;
    size_t wanted = std::min(std::min(count, groups_max),
                             static_cast<size_t>(regex->re.NumberOfCapturingGroups()) + 1);
    if (count == 0)
        return regex->re.Match(piece(text), 0, text.len, anchor, nullptr, 0);
    if (!regex->re.Match(piece(text), 0, text.len, anchor, found, static_cast<int>(wanted)))
        return false;
    for (size_t i = 0; i < count; i++)
        groups[i] = i < wanted ? str{found[i].data(), found[i].size()} : str{nullptr, 0};
    return true;
}

size_t regex_re2_group_count(const struct regex_re2 *regex)
{
    return static_cast<size_t>(regex->re.NumberOfCapturingGroups());
}

size_t regex_re2_group_named(const struct regex_re2 *regex, struct str name)
{
    const auto &names = regex->re.NamedCapturingGroups();
    auto found = names.find(std::string(name.len ? name.data : "", name.len));
    return found == names.end() ? 0 : static_cast<size_t>(found->second);
}
