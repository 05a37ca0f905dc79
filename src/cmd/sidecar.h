/* cmd/sidecar.h: beside one Prometheus: serves its recent data through the Store API. */
#pragma once

#define SIDECAR_SUMMARY "Serves the recent data of one Prometheus through the Store API."

int sidecar_main(int argc, char **argv); /* argv[0] is "sidecar"; gives the exit code */
