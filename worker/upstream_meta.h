/* upstream_meta: what is put into a request's _meta on its way to an upstream: what its era asks
 * for, and, where the upstream is to know it, who calls. Everything else stays as it is. Pure. */
#ifndef WORKER_UPSTREAM_META_H
#define WORKER_UPSTREAM_META_H

#include "worker/upstream_internal.h"

#define IDENTITY_KEY "airlock-cp/identity"

/* Members for _meta, to be freed: the identity, and the trace context unless the client's own _meta
 * has one. */
char *upstream_meta_identity(const struct upstream_identity *who, struct jscan meta);

/* Buffers that the edits point into: until they are applied. */
struct upstream_meta {
	char number[24];
	struct buf extra, meta, members;
};
/* Notes the edits. more: members for params, each with a comma in front. RC_INVALID: the request is
 * such that two readers could find different things in it. upstream_meta_free() in any case. */
enum rc upstream_meta_put(struct upstream_meta *m, struct jsplice *s, const struct upstream *u,
	const struct pending *p, struct jscan root, const char *more) MUST_CHECK;
void upstream_meta_free(struct upstream_meta *m);

#endif
