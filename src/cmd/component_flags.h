/* cmd/component_flags.h: the flags that all components have, or several of them. */
#pragma once

#include "cmd/component.h"
#include "runtime/flags.h"

struct common_flags {
    int log_level; /* from LOG_ERROR down */
    int log_format;
    struct flag_content tracing;
    bool limit_memory; /* --enable-auto-gomemlimit: memory_ratio of what there is becomes the
                          process's budget */
    double memory_ratio;
    struct str http_address, http_config;
    int64_t http_grace_ms;
    struct str grpc_address;
    struct str tls_cert, tls_key, tls_client_ca;
    int tls_min_version;
    struct flag_strings tls_ciphers, tls_curves;
    int64_t max_connection_age_ms, grpc_grace_ms, series_concurrency;
    struct flag_content request_logging;
    struct str debug_name;
};

extern const struct flag program_flags[]; /* may stand before the command */
extern const struct flag server_flags[];
/* The first two groups of every component. */
#define COMMON_FLAG_GROUPS(common)                                                                 \
    {program_flags, (common), .program = true},                                                    \
    {                                                                                              \
        server_flags, (common)                                                                     \
    }

/* Fills what the common flags decide; ERROR_INVALID for values that cannot be. */
MUST_CHECK struct error *component_config_from_flags(const struct common_flags *flags,
                                                     struct component_config *out);

/* What a component's main does with its command line: parse, help, version, errors in the words and
 * with the exit codes of Thanos. True when the component is to run; else *exit_code is that of the
 * process. */
bool component_parse_flags(const char *name, const char *summary, const struct flag_group *groups,
                           size_t count, int argc, char *const *argv, struct flags **flags,
                           int *exit_code);

/* Answers of `titan --completion-bash ...`, which component_parse_flags() understands as well. */
#define COMPLETION_FLAG "--completion-bash"
void program_print_completion(int argc, char *const *argv);
/* --completion-script-bash, --completion-script-zsh: false when it is neither. */
bool program_print_completion_script(const char *flag);

/* The same for the program itself. `commands` is the list that closes its help. */
void program_print_help(const char *commands);
/* Where the command stands in argv, behind flags of the program and their values; 0: there is none.
 */
MUST_CHECK struct error *program_find_command(int argc, char *const *argv, int *at);
