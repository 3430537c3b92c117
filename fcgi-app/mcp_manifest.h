/* mcp_manifest: what a tenant's workers say they serve, as this process knows it: asked of tunneld,
 * which sends the text only when it changed; kept between requests, bounded, safe from any thread.
 */
#ifndef FCGI_APP_MCP_MANIFEST_H
#define FCGI_APP_MCP_MANIFEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fcgi-app/http.h"
#include "shared/manifest.h"
#include "shared/toolset.h"

/* Read only for its holders. */
struct mcp_manifest {
	atomic_int refs;
	char *text;
	size_t len;
	char digest[2 * CRYPTO_HASH_LEN + 1];
	char subject[MANIFEST_TOOL_MAX +
		1]; /* the name of the argument that says whom a call is about */
	struct toolset tools;
	bool marks_headers; /* some tool mirrors arguments into headers */
};

/* Of the workers connected now. What is known and at most max_age_ms old is not asked for again.
 * RC_NOTFOUND: none is connected; RC_UNAVAILABLE: tunneld can't be reached. The caller puts it
 * back. */
enum rc mcp_manifest_live(struct request *rq, const char *tenant_id, int64_t max_age_ms,
	struct mcp_manifest **out) MUST_CHECK;
/* The same, or else what the worker seen last said: lists can be read while it is away.
 * RC_NOTFOUND: no worker ever came. */
enum rc mcp_manifest_known(struct request *rq, const char *tenant_id, int64_t max_age_ms,
	struct mcp_manifest **out) MUST_CHECK;
/* What the worker seen last said, whoever is connected. RC_NOTFOUND: no worker ever came. */
enum rc mcp_manifest_stored(
	struct request *rq, const char *tenant_id, struct mcp_manifest **out) MUST_CHECK;
/* NULL is fine. */
void mcp_manifest_put(struct mcp_manifest *m);

#endif
