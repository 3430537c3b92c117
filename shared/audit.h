/* audit: one row of the audit journal, and its text. The journal is written by tunneld alone;
 * everybody else makes a struct audit_record and hands it over (dispatch socket or outbox). Schema:
 * docs/audit-log.md. Never in a record: secrets, SQL, arguments, rows, error texts of a peer. */
#ifndef SHARED_AUDIT_H
#define SHARED_AUDIT_H

#include <stdint.h>

#include "shared/buf.h"
#include "shared/jscan.h"
#include "shared/rc.h"

#define AUDIT_VERSION 1
#define AUDIT_ID_MAX 95 /* ids: tenant, key, worker, session, snapshot, request */
#define AUDIT_NAME_MAX 127 /* names people gave; tool names; methods */
#define AUDIT_CHANGE_MAX 1023
#define AUDIT_HASH_LEN 64 /* hex SHA-256 */

/* Empty strings and -1 numbers are left out of the line. */
struct audit_record {
	char event[48]; /* tool.call, mcp.request, access.refused, tenant.create, key.revoke, ... */
	char tenant_id[AUDIT_ID_MAX + 1];
	char actor_kind[16]; /* agent, operator, session, worker, system */
	char actor_id[AUDIT_ID_MAX + 1];
	char actor_name[AUDIT_NAME_MAX + 1];
	char key_id[AUDIT_ID_MAX + 1];
	char method[AUDIT_NAME_MAX + 1];
	char tool[AUDIT_NAME_MAX + 1];
	char snapshot_id[AUDIT_ID_MAX + 1];
	char outcome[32]; /* product.md's outcomes for calls; ok or a problem code otherwise */
	char worker_outcome[32]; /* of a vouched call, where that is not its outcome */
	char request_id[AUDIT_ID_MAX + 1];
	char call_id[AUDIT_ID_MAX + 1]; /* of a call that went to a worker */
	char result_sha256[AUDIT_HASH_LEN + 1]; /* hex; as the worker says */
	char session_id[AUDIT_ID_MAX + 1];
	char worker_id[AUDIT_ID_MAX + 1];
	char remote_ip[48];
	char target[AUDIT_ID_MAX + 1]; /* what an administrative act was about */
	char change[AUDIT_CHANGE_MAX + 1]; /* a JSON object: what changed, or "" */
	int64_t latency_ms;
	int64_t bytes_in;
	int64_t bytes_out;
	int64_t vouch; /* which of its session's results this was, in the worker's count */
	int64_t outbox_id; /* set by the writer for rows that came through the outbox */
};

void audit_init(struct audit_record *r, const char *event);
/* Appends the set members as a JSON object in the fixed order of the schema. Used for transport and
 * storage. */
void audit_put(struct buf *b, const struct audit_record *r);
/* Reads such an object; unknown members are ignored, too long or mistyped ones are RC_INVALID. */
enum rc audit_get(struct jscan object, struct audit_record *r) MUST_CHECK;
/* Appends one journal line without its newline:
 * {"v":1,"seq":..,"ts":"..",<members>,"prev":"<hex sha256 of the preceding line's bytes without
 * newline>"} The first line of a journal has prev of 64 zeros. */
void audit_line(struct buf *b, const struct audit_record *r, int64_t seq, int64_t wall_ms,
	const char prev[AUDIT_HASH_LEN + 1]);

#endif
