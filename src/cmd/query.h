/* cmd/query.h: answers PromQL over Store APIs, and serves them as one Store API. */
#pragma once

#define QUERY_SUMMARY "Answers PromQL over Store APIs."

int query_main(int argc, char **argv); /* argv[0] is "query"; gives the exit code */
