#include "cmd/component_flags.h"

#include <stdio.h>

#include "cmd/version.h"
#include "runtime/log.h"
#include "runtime/memory_limit.h"

#define COMMON struct common_flags

const struct flag program_flags[] = {
    FLAG_ENUM(COMMON, log_level, "log.level", "error|warn|info|debug", "info",
              "Least level that is logged: error, warn, info or debug."),
    FLAG_ENUM(COMMON, log_format, "log.format", "logfmt|json|journald", "logfmt",
              "Form of log lines: logfmt or json; journald is not supported yet."),
    FLAG_CONTENT(COMMON, tracing, "tracing.config",
                 "Tracing configuration (YAML); no effect: no spans are sent yet."),
    FLAG_BOOL(COMMON, limit_memory, "enable-auto-gomemlimit",
              "Bound the memory of queries and requests by a share of what the machine or "
              "container has."),
    FLAG_FLOAT(COMMON, memory_ratio, "auto-gomemlimit.ratio", "0.9",
               "The share for --enable-auto-gomemlimit, above 0 and at most 1."),
    FLAG_STRING(COMMON, debug_name, "debug.name", "", "Name put on every log line.",
                .hidden = true),
    FLAG_END,
};

const struct flag server_flags[] = {
    FLAG_STRING(COMMON, http_address, "http-address", "0.0.0.0:10902",
                "Listen host:port of the HTTP server."),
    FLAG_DURATION(COMMON, http_grace_ms, "http-grace-period", "2m",
                  "How long running HTTP requests may take to finish after an interrupt."),
    FLAG_STRING(COMMON, http_config, "http.config", "",
                "Path of the configuration of TLS and authentication for HTTP (YAML)."),
    FLAG_STRING(COMMON, grpc_address, "grpc-address", "0.0.0.0:10901",
                "Listen host:port of the gRPC server (Store API)."),
    FLAG_STRING(COMMON, tls_cert, "grpc-server-tls-cert", "",
                "Certificate of the gRPC server; empty: no TLS."),
    FLAG_STRING(COMMON, tls_key, "grpc-server-tls-key", "", "Key of the gRPC server."),
    FLAG_STRING(COMMON, tls_client_ca, "grpc-server-tls-client-ca", "",
                "CA that gRPC clients' certificates must be of; empty: none are asked for."),
    FLAG_ENUM(COMMON, tls_min_version, "grpc-server-tls-min-version", TLS_VERSION_CHOICES, "1.3",
              "Lowest TLS version of the gRPC server."),
    FLAG_STRINGS(COMMON, tls_ciphers, "grpc-server-tls-ciphers",
                 "Allowed cipher suites of the gRPC server, by Go's names (repeated)."),
    FLAG_STRINGS(COMMON, tls_curves, "grpc-server-tls-curves",
                 "Allowed curves of the gRPC server, by Go's names: CurveP256, X25519, ... "
                 "(repeated)."),
    FLAG_GO_DURATION(COMMON, max_connection_age_ms, "grpc-server-max-connection-age", "60m",
                     "Age at which gRPC connections are asked to leave; 0: never."),
    FLAG_GO_DURATION(COMMON, grpc_grace_ms, "grpc-grace-period", "2m",
                     "How long running gRPC calls may take to finish after an interrupt."),
    FLAG_UINT(
        COMMON, series_concurrency, "store.grpc.series-max-concurrency", "20",
        "Series calls that produce a batch at once; sending it does not count. Titan's own here."),
    FLAG_CONTENT(COMMON, request_logging, "request.logging-config",
                 "Which requests are logged (YAML); see docs/query.md."),
    FLAG_END,
};

struct error *component_config_from_flags(const struct common_flags *flags,
                                          struct component_config *out)
{
    if (!(flags->memory_ratio > 0 && flags->memory_ratio <= 1))
        return error_create(
            ERROR_INVALID,
            "--auto-gomemlimit.ratio must be greater than 0 and less than or equal to 1.");
    if (flags->log_format > LOG_JSON)
        return error_create(ERROR_INVALID, "failed to create logger: journald log format requested "
                                           "but systemd journal is not available");
    *out = (struct component_config){
        .log_level = LOG_ERROR - flags->log_level,
        .log_format = flags->log_format,
        .debug_name = flags->debug_name,
        .http_address = flags->http_address,
        .http_config = flags->http_config,
        .grpc_address = flags->grpc_address,
        .http_grace_ms = flags->http_grace_ms,
        .request_logging = flags->request_logging,
        .grpc_grace_ms = flags->grpc_grace_ms,
        .max_connection_age_ms = flags->max_connection_age_ms,
        .grpc_tls =
            {
                .certificate.file = flags->tls_cert,
                .key.file = flags->tls_key,
                .client_ca.file = flags->tls_client_ca,
                .client_auth = flags->tls_client_ca.len ? TLS_REQUIRE_AND_VERIFY_CLIENT_CERT
                                                        : TLS_NO_CLIENT_CERT,
                .min_version = (enum tls_version)flags->tls_min_version,
                .max_version = TLS_VERSION_1_3,
                .ciphers = flags->tls_ciphers.items,
                .cipher_count = flags->tls_ciphers.count,
                .curves = flags->tls_curves.items,
                .curve_count = flags->tls_curves.count,
            },
        .series_max = (size_t)flags->series_concurrency,
        .has_tracing = flags->tracing.text.len > 0 || flags->tracing.path.len > 0,
        .memory_max =
            flags->limit_memory ? (size_t)((double)memory_available() * flags->memory_ratio) : 0,
    };
    return NULL;
}

/* Flags that are questions, for help only. */
static const struct flag question_flags[] = {
    {.type = FLAG_TYPE_BOOL,
     .name = "help",
     .standard = "false",
     .help = "Show this help (also --help-long, --help-docs).",
     .letter = 'h'},
    {.type = FLAG_TYPE_BOOL, .name = "version", .standard = "false", .help = "Show the version."},
    FLAG_END,
};

enum { GROUPS_MAX = 8 };

/* The questions before the groups. */
static size_t all_groups(const struct flag_group *groups, size_t count, struct flag_group *all)
{
    all[0] = (struct flag_group){question_flags, NULL, .program = true};
    for (size_t i = 0; i < count && i + 1 < GROUPS_MAX; i++)
        all[i + 1] = groups[i];
    return size_min(count + 1, GROUPS_MAX);
}

static void write_all(FILE *file, struct buf *text)
{
    if (text->len)
        fwrite(text->data, 1, text->len, file);
    buf_deinit(text);
}

static void print_help(const char *name, const char *summary, const struct flag_group *groups,
                       size_t count)
{
    struct buf out = {0};
    struct flag_group all[GROUPS_MAX];
    buf_printf(&out, "usage: titan %s [<flags>]\n\n%s\n\n\nFlags:\n", name, summary);
    flags_print_help(all, all_groups(groups, count, all), &out);
    buf_append_byte(&out, '\n');
    write_all(stderr, &out);
}

static void print_docs(const char *name, const char *summary, const struct flag_group *groups,
                       size_t count)
{
    struct buf out = {0};
    struct flag_group all[GROUPS_MAX];
    buf_printf(
        &out,
        "# titan %s\n\n%s\n\nWritten by `scripts/docs` from the tables of flags; hidden flags "
        "are left out.\n\n",
        name, summary);
    flags_print_docs(all, all_groups(groups, count, all), &out);
    write_all(stdout, &out);
}

void program_print_help(const char *commands)
{
    struct buf out = {0};
    struct flag_group all[GROUPS_MAX];
    const struct flag_group program = {program_flags, NULL, .program = true};
    buf_append_cstr(&out, "usage: titan [<flags>] <command> [<args> ...]\n\n"
                          "Highly available Prometheus with long-term storage.\n\n\nFlags:\n");
    flags_print_help(all, all_groups(&program, 1, all), &out);
    buf_printf(&out, "\nCommands:\n%s\n", commands);
    write_all(stderr, &out);
}

struct error *program_find_command(int argc, char *const *argv, int *at)
{
    struct flag_group all[GROUPS_MAX];
    const struct flag_group program = {program_flags, NULL, .program = true};
    size_t count = all_groups(&program, 1, all);
    return flags_find_command(all, count, argc, argv, at);
}

/* Contents, which are configurations, may hold secrets, as may URLs. */
static bool is_content(const struct flag_group *groups, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++)
        for (const struct flag *flag = groups[i].flags; flag->type != FLAG_TYPE_END; flag++)
            if (flag->type == FLAG_TYPE_CONTENT && str_equal(name, str_from(flag->name)))
                return true;
    return false;
}

static void print_argument(const struct flag_group *groups, size_t count, struct str before,
                           struct str argument)
{
    struct str name, value, scheme_end;
    if (str_starts_with(before, STR("--")) &&
        is_content(groups, count, str_slice(before, 2, before.len)))
        fprintf(stderr, " <hidden>");
    else if (str_starts_with(argument, STR("--")) && str_cut(argument, '=', &name, &value) &&
             (is_content(groups, count, str_slice(name, 2, name.len)) ||
              (str_contains(value, STR("://")) && str_cut(value, '@', &value, &scheme_end))))
        fprintf(stderr, " %.*s=<hidden>", STR_ARG(name));
    else
        fprintf(stderr, " %.*s", STR_ARG(argument));
}

static void print_bad_value(const char *name, const char *summary, const struct flag_group *groups,
                            size_t count, int argc, char *const *argv, const struct error *err)
{
    print_help(name, summary, groups, count);
    fprintf(stderr, "error parsing commandline arguments: [titan %s", name);
    for (int i = 1; i < argc; i++)
        print_argument(groups, count, str_from(argv[i - 1]), str_from(argv[i]));
    fprintf(stderr, "]: %.*s\n", STR_ARG(error_text(err)));
}

/* argv: words, the last one being typed. */
static void print_completion(const struct flag_group *groups, size_t count, int argc,
                             char *const *argv)
{
    struct buf out = {0};
    flags_print_completion(groups, count, argc > 1 ? str_from(argv[argc - 2]) : STR(""),
                           argc > 0 ? str_from(argv[argc - 1]) : STR(""), &out);
    write_all(stdout, &out);
}

void program_print_completion(int argc, char *const *argv)
{
    struct flag_group all[GROUPS_MAX];
    const struct flag_group program = {program_flags, NULL, .program = true};
    print_completion(all, all_groups(&program, 1, all), argc, argv);
}

bool program_print_completion_script(const char *flag)
{
    static const char bash[] =
        "_titan_complete() {\n"
        "    local words=(\"${COMP_WORDS[@]:1:$COMP_CWORD}\")\n"
        "    local offers=$(\"${COMP_WORDS[0]}\" " COMPLETION_FLAG " \"${words[@]}\")\n"
        "    COMPREPLY=($(compgen -W \"$offers\" -- \"${words[-1]}\"))\n"
        "}\n"
        "complete -o default -F _titan_complete titan\n";
    static const char zsh[] =
        "#compdef titan\n"
        "_titan() {\n"
        "    local offers=($(${words[1]} " COMPLETION_FLAG " \"${(@)words[2,$CURRENT]}\"))\n"
        "    compadd -a offers || _files\n"
        "}\n"
        "compdef _titan titan\n";
    bool is_bash = strcmp(flag, "--completion-script-bash") == 0;
    bool is_zsh = strcmp(flag, "--completion-script-zsh") == 0;
    if (is_bash || is_zsh)
        fputs(is_bash ? bash : zsh, stdout);
    return is_bash || is_zsh;
}

bool component_parse_flags(const char *name, const char *summary, const struct flag_group *groups,
                           size_t count, int argc, char *const *argv, struct flags **flags,
                           int *exit_code)
{
    enum flags_outcome outcome;
    *exit_code = 0;
    if (argc > 1 && strcmp(argv[1], COMPLETION_FLAG) == 0) {
        struct flag_group all[GROUPS_MAX];
        print_completion(all, all_groups(groups, count, all), argc - 2, argv + 2);
        return false;
    }
    struct error *err = flags_parse(groups, count, argc, argv, &outcome, flags);
    if (err && error_kind(err) == ERROR_INVALID) {
        print_bad_value(name, summary, groups, count, argc, argv, err);
        *exit_code = 2;
    } else if (err) {
        fprintf(stderr, "titan: error: %.*s\n", STR_ARG(error_text(err)));
        *exit_code = 1;
    }
    if (err) {
        error_free(err);
        return false;
    }
    if (outcome == FLAGS_HELP)
        print_help(name, summary, groups, count);
    else if (outcome == FLAGS_DOCS)
        print_docs(name, summary, groups, count);
    else if (outcome == FLAGS_VERSION)
        version_print();
    if (outcome != FLAGS_RUN)
        flags_free(*flags);
    return outcome == FLAGS_RUN;
}
