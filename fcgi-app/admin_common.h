/* admin_common: what the operator's endpoints share: reading fields, pages, the tenant in the path,
 * creating once, flushing. A function that returns false has answered the request. */
#ifndef FCGI_APP_ADMIN_COMMON_H
#define FCGI_APP_ADMIN_COMMON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fcgi-app/http.h"
#include "shared/store.h"

/* --- the body's fields: 422 invalid_field names the field and the rule ------------------- */

/* The body as an object that has no members but names (NULL-terminated). Caller json_decref()s. */
bool admin_body(struct request *rq, const char *const *names, json_t **out);
void admin_field_problem(struct request *rq, const char *name, const char *rule);
/* A name for people, at most STORE_NAME_MAX bytes; borrowed. NULL when absent, which is refused
 * when required. */
bool admin_name(
	struct request *rq, const json_t *body, const char *name, bool required, const char **out);
/* Any string of at most max bytes; borrowed. */
bool admin_string(struct request *rq, const json_t *body, const char *name, bool required,
	size_t max, const char **out);
/* A whole number within bounds; *out stays as it is when absent or null. */
bool admin_int(struct request *rq, const json_t *body, const char *name, int64_t min, int64_t max,
	int64_t *out);
/* Overwrites a string member in memory: it was a credential. */
void admin_wipe(const json_t *body, const char *name);

/* --- answers ----------------------------------------------------------------------------- */

/* RFC 3339, or null for 0. */
void admin_set_time(json_t *object, const char *name, int64_t utc_s);
/* A string, or null for "". */
void admin_set_text(json_t *object, const char *name, const char *text);
struct admin_page {
	size_t limit;
	char after[STORE_CURSOR_MAX + 1];
};
/* ?limit= (1 to 200, default_limit) and ?cursor=. */
bool admin_page(struct request *rq, size_t default_limit, struct admin_page *out);
/* {"<name>": [...], "next_cursor": "..."}; takes list over. */
void admin_reply_list(struct request *rq, const char *name, json_t *list, const char *next);
/* The problem for what a store function returned; detail is said with RC_CONFLICT, RC_NOTFOUND and
 * RC_INVALID, and may be NULL. */
void admin_store_problem(struct request *rq, enum rc rc, const char *detail);
#define ADMIN_BAD_CURSOR "cursor must be a next_cursor as it was given."

/* --- state ------------------------------------------------------------------------------- */

bool admin_db(struct request *rq, struct db **out);
void admin_db_done(struct request *rq, struct db *db);
/* The tenant that the path names, when the caller's org may see it; else 404, the same for a tenant
 * that is not there and one of another org. */
bool admin_tenant(struct request *rq, struct tenant *out);
/* After a commit: the change's audit row goes into the journal, and sessions that it ends are told.
 * A failure is logged only: the row is safe in the outbox. */
void admin_flush(struct request *rq, const char *tenant_id);

/* Ends a request that revoked or deleted something of a tenant: 204, or the problem for rc. */
void admin_gone(struct request *rq, const char *tenant_id, enum rc rc, const char *not_found);

/* --- creating once: Idempotency-Key ------------------------------------------------------ */

struct admin_once {
	const char *key; /* NULL: the client gave none */
	char scope[1400]; /* who asked, and for what */
	uint8_t hash[CRYPTO_HASH_LEN];
};
/* Reads the header. Call before the transaction. */
bool admin_once_init(struct request *rq, struct admin_once *once);
/* Inside the transaction, before the change. False: it was done before and has been answered as
 * then (or refused); the caller rolls back. */
bool admin_once_first(struct request *rq, struct db *db, const struct admin_once *once);
/* Inside the transaction, after the change. secret names the member of answer that is not stored,
 * or NULL; a replay says "secret_shown": false in its place. */
enum rc admin_once_keep(struct request *rq, struct db *db, const struct admin_once *once,
	int status, const json_t *answer, const char *secret) MUST_CHECK;

#endif
