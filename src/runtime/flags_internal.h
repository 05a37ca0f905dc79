/* runtime/flags_internal.h: what flags.c reads and flags_print.c prints. For those two only. */
#pragma once

#include "base/vec.h"
#include "runtime/flags.h"

struct flag_value { /* one flag of one table */
    const struct flag *flag;
    void *field;           /* NULL: only to be printed */
    VEC(struct str) given; /* in order */
    bool is_file;          /* the --x-file half of a content flag */
    bool program;
    char *name;
};

struct flags {
    struct arena *arena;
    VEC(struct flag_value) values;
};

struct flags *flags_of_groups(const struct flag_group *groups, size_t count);
bool flag_is_list(const struct flag *flag);
/* Takes the next of "a|b"; false at the end. */
bool flag_next_choice(struct str *choices, struct str *choice);
