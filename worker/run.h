/* run: `airlock-worker run`: everything of a running worker put together, and taken down in order
 * on SIGTERM. */
#ifndef WORKER_RUN_H
#define WORKER_RUN_H

#include <stdbool.h>

struct run_options {
	const char *config_path;
	bool allow_insecure; /* a tunnel without TLS to another machine */
};

/* The process's exit status. */
int worker_run(const struct run_options *options);

#endif
