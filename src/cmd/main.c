#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/memory.h"
#include "cmd/component_flags.h"
#include "cmd/query.h"
#include "cmd/sidecar.h"
#include "cmd/store.h"
#include "cmd/version.h"
#include "runtime/fault.h"

static const struct command {
    const char *name, *summary;
    int (*run)(int argc, char **argv); /* argv[0] is the name */
} commands[] = {
    {"sidecar", SIDECAR_SUMMARY, sidecar_main},
    {"store", STORE_SUMMARY, store_main},
    {"query", QUERY_SUMMARY, query_main},
};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < countof(commands); i++)
        if (strcmp(name, commands[i].name) == 0)
            return &commands[i];
    return NULL;
}

static int print_program_help(void)
{
    struct buf list = {0};
    buf_append_cstr(&list, "help [<command>...]\n    Show help.\n\n");
    for (size_t i = 0; i < countof(commands); i++)
        buf_printf(&list, "%s [<flags>]\n    %s\n\n", commands[i].name, commands[i].summary);
    buf_append_byte(&list, '\0');
    program_print_help(list.data);
    buf_deinit(&list);
    return 0;
}

static int refuse(struct error *err)
{
    fprintf(stderr, "titan: error: %.*s\n", STR_ARG(error_text(err)));
    error_free(err);
    return 1;
}

static int unknown_command(const char *name)
{
    return refuse(error_create(ERROR_NOT_FOUND, "expected command but got \"%s\"", name));
}

/* `titan help`, `titan help sidecar`. */
static int run_help(int argc, char **argv)
{
    static char help[] = "--help";
    char *question[] = {argv[0], help, NULL};
    if (argc < 2)
        return print_program_help();
    const struct command *command = find_command(argv[1]);
    return command ? command->run(2, question) : unknown_command(argv[1]);
}

/* Without a command: what is asked of the program itself. */
static int run_nothing(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--version") == 0) {
            version_print();
            return 0;
        }
    return print_program_help();
}

/* argv: the words behind --completion-bash. The first command among them decides. */
static int run_completion(int argc, char **argv)
{
    static char completion[] = COMPLETION_FLAG;
    for (int i = 0; i < argc; i++) {
        const struct command *command = find_command(argv[i]);
        if (!command)
            continue;
        char **words = xcalloc((size_t)(argc - i) + 2, sizeof(*words));
        words[0] = argv[i];
        words[1] = completion;
        memcpy(words + 2, argv + i + 1, (size_t)(argc - i - 1) * sizeof(*words));
        int code = command->run(argc - i + 1, words);
        free(words);
        return code;
    }
    if (argc > 0 && argv[argc - 1][0] == '-') {
        program_print_completion(argc, argv);
        return 0;
    }
    puts("help");
    for (size_t i = 0; i < countof(commands); i++)
        puts(commands[i].name);
    return 0;
}

static int run(int argc, char **argv)
{
    int at;
    if (argc > 1 && strcmp(argv[1], COMPLETION_FLAG) == 0)
        return run_completion(argc - 2, argv + 2);
    if (argc > 1 && program_print_completion_script(argv[1]))
        return 0;
    struct error *err = program_find_command(argc, argv, &at);
    if (err)
        return refuse(err);
    if (at == 0)
        return run_nothing(argc, argv);
    char *name = argv[at];
    if (strcmp(name, "help") == 0)
        return run_help(argc - at, argv + at);
    const struct command *command = find_command(name);
    if (!command)
        return unknown_command(name);
    for (; at > 1; at--) /* flags before the command belong to its tables, too */
        argv[at] = argv[at - 1];
    argv[1] = name;
    return command->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    /* Arenas of malloc keep what threads have freed; big memory comes from the page pool. */
    mallopt(M_ARENA_MAX, 2);
    fault_init_from_environment();
    struct arena *arena = arena_create(NULL);
    int words = 0;
    char **list = NULL;
    struct error *err = flags_open_files(argc, argv, arena, &words, &list);
    int code = err ? refuse(err) : run(words, list);
    arena_unref(arena);
    return code;
}
