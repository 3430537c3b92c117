/* propose: a first airlock.yaml for a database: the root, the tables that lead from it by foreign
 * keys, and masks for what looks personal, each with its reason. For people to read and change. */
#ifndef WORKER_PROPOSE_H
#define WORKER_PROPOSE_H

#include "shared/buf.h"
#include "worker/source.h"

/* root NULL: guessed. Appends to out. RC_INVALID with err: no such root, or none can be guessed; or
 * what reading samples came to. Nothing of a sampled value is in the result. */
enum rc propose(const struct source_ops *ops, struct source *source, const char *root,
	struct buf *out, struct source_error *err) MUST_CHECK;

#endif
