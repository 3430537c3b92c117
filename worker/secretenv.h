/* secretenv: takes a secret out of the environment so that it is gone from there: from getenv(),
 * from what children inherit and from /proc/<pid>/environ. */
#ifndef WORKER_SECRETENV_H
#define WORKER_SECRETENV_H

/* The value, owned by the caller (mem_free_secret()), or NULL when it is unset or empty. Before any
 * thread starts. */
char *secretenv_take(const char *name);

#endif
