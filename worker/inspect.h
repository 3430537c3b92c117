/* inspect: `airlock-worker init` and `airlock-worker check`: what an operator asks of a database
 * and an airlock.yaml before the worker runs. Answers go to standard output, without a value of a
 * row. */
#ifndef WORKER_INSPECT_H
#define WORKER_INSPECT_H

struct inspect_options {
	const char *config_path; /* check */
	const char *subject; /* check: whose rows are counted; or NULL */
	const char *root; /* init: the root table; NULL: guessed */
	const char *output; /* init: a file that does not exist yet; NULL: standard output */
};

/* The process's exit status. Both take DATABASE_URL out of the environment; check without it looks
 * at the file alone. */
int inspect_check(const struct inspect_options *options);
int inspect_init(const struct inspect_options *options);

#endif
