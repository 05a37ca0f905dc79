/* cmd/version.h: what this build calls itself. */
#pragma once

#ifndef TITAN_VERSION
#define TITAN_VERSION "0.1.0"
#endif
#ifndef TITAN_REVISION
#define TITAN_REVISION "unknown"
#endif
#ifndef TITAN_BRANCH
#define TITAN_BRANCH "unknown"
#endif

#if defined(__x86_64__)
#define TITAN_ARCH "amd64"
#elif defined(__aarch64__)
#define TITAN_ARCH "arm64"
#else
#define TITAN_ARCH "unknown"
#endif

#if defined(__clang__)
#define TITAN_COMPILER "clang " __clang_version__
#else
#define TITAN_COMPILER "gcc " __VERSION__
#endif

void version_print(void); /* on stderr, as `titan --version`, where Thanos has it */
