/* sidecar: the snapshot meta sidecars under <snapshot dir>/<tenant_id>/<snapshot_id>.json. Only
 * known, bounded members are kept of what a worker sends, so a sidecar can never hold a row. */
#ifndef SHARED_SIDECAR_H
#define SHARED_SIDECAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "shared/rc.h"

#define SIDECAR_MAX 65536
#define SIDECAR_ID_MAX 79

/* snap_ and base32: the only names we make files of. */
bool sidecar_id_ok(const char *snapshot_id);
/* Reads what a worker sent and appends the clean sidecar: snapshot_id, tenant_id, worker_id,
 * session_id, engine, subject_digest, created_at, expires_at (UTC ms), bytes, tables [{name, rows,
 * masked_columns[], excluded_columns[]}]. RC_INVALID when a member is mistyped or too long; id gets
 * the snapshot's id. Pure. */
enum rc sidecar_clean(const char *text, size_t len, const char *tenant_id, const char *worker_id,
	const char *session_id, struct buf *out, char id[SIDECAR_ID_MAX + 1],
	int64_t *expires_at_ms) MUST_CHECK;
enum rc sidecar_write(const char *dir, const char *tenant_id, const char *id, const void *json,
	size_t len) MUST_CHECK;
enum rc sidecar_remove(const char *dir, const char *tenant_id, const char *id) MUST_CHECK;
/* Appends a JSON array of a tenant's sidecars, newest first, keyset by id; those past their expiry
 * are left out. */
enum rc sidecar_list(const char *dir, const char *tenant_id, const char *after, size_t limit,
	int64_t now_ms, struct buf *out, char next[SIDECAR_ID_MAX + 1]) MUST_CHECK;
/* Removes every sidecar whose expiry has passed (a worker that died could not say so). Returns how
 * many. */
int sidecar_sweep(const char *dir, int64_t now_ms);

#endif
