#include "cmd/version.h"

#include <stdio.h>

void version_print(void)
{
    fprintf(
        stderr,
        "titan, version %s (branch: %s, revision: %s)\n  build compiler:   %s\n  platform:      "
        "   linux/%s\n",
        TITAN_VERSION, TITAN_BRANCH, TITAN_REVISION, TITAN_COMPILER, TITAN_ARCH);
}
