/* cmd/store.h: the store gateway: serves the blocks of a bucket through the Store API. */
#pragma once

#define STORE_SUMMARY "Serves the blocks of an object storage bucket through the Store API."

int store_main(int argc, char **argv); /* argv[0] is "store"; gives the exit code */
