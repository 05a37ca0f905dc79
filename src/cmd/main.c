#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "cmd/query.h"
#include "cmd/sidecar.h"
#include "cmd/version.h"
#include "runtime/fault.h"

static const struct command {
    const char *name, *summary;
    int (*run)(int argc, char **argv); /* argv[0] is the name */
} commands[] = {
    {"sidecar", "Serves the recent data of one Prometheus through the Store API.", sidecar_main},
    {"query", "Answers PromQL over Store APIs.", query_main},
};

static void print_usage(void)
{
    fprintf(stderr, "usage: titan [<flags>] <command> [<args> ...]\n\n"
                    "Highly available Prometheus with long-term storage.\n\n\n"
                    "Flags:\n"
                    "  -h, --[no-]help     Show this help.\n"
                    "      --[no-]version  Show the version.\n\n"
                    "Commands:\n");
    for (size_t i = 0; i < countof(commands); i++)
        fprintf(stderr, "%s [<flags>]\n    %s\n\n", commands[i].name, commands[i].summary);
}

/* Flags of the whole program may stand before the command: they belong to its table, so they are
 * moved behind it. */
static int find_command(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (argv[i][0] != '-')
            return i;
    return 0;
}

static int run_command(const struct command *command, int argc, char **argv, int at)
{
    for (; at > 1; at--)
        argv[at] = argv[at - 1];
    argv[1] = (char *)(uintptr_t)command->name;
    return command->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    int at = find_command(argc, argv);
    mallopt(
        M_ARENA_MAX,
        2); /* arenas of malloc keep what threads have freed; big memory comes from the page pool */
    fault_init_from_environment();
    for (int i = 1; i < argc && at == 0; i++)
        if (strcmp(argv[i], "--version") == 0) {
            version_print();
            return 0;
        }
    if (at == 0 || strcmp(argv[at], "help") == 0) {
        print_usage();
        return 0;
    }
    for (size_t i = 0; i < countof(commands); i++)
        if (strcmp(argv[at], commands[i].name) == 0)
            return run_command(&commands[i], argc, argv, at);
    fprintf(stderr, "titan: error: expected command but got \"%s\"\n", argv[at]);
    return 1;
}
