#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi-app/admin_common.h"
#include "fcgi-app/admin_handlers.h"
#include "shared/apikey.h"
#include "shared/clock.h"
#include "shared/mem.h"

#define TTL_DEFAULT_S 3600
#define TTL_MAX_S 604800LL /* a week */

static const char *status_of(const struct enrollment *e)
{
	if (e->used_at)
		return "used";
	if (e->revoked_at)
		return "revoked";
	return e->expires_at <= clock_wall_s() ? "expired" : "open";
}

static json_t *enrollment_json(const struct enrollment *e)
{
	json_t *j = json_object();

	json_object_set_new(j, "id", json_string(e->id));
	json_object_set_new(j, "name", json_string(e->name));
	json_object_set_new(j, "status", json_string(status_of(e)));
	admin_set_time(j, "created_at", e->created_at);
	admin_set_time(j, "expires_at", e->expires_at);
	admin_set_time(j, "used_at", e->used_at);
	admin_set_time(j, "revoked_at", e->revoked_at);
	admin_set_text(j, "worker_id", e->worker_id);
	return j;
}

void admin_enrollments_list(struct request *rq)
{
	char next[STORE_CURSOR_MAX + 1] = "";
	struct enrollment *enrollments = NULL;
	struct admin_page page;
	struct tenant t;
	size_t count = 0;
	struct db *db;
	json_t *list;
	enum rc rc;

	if (!admin_page(rq, 50, &page) || !admin_tenant(rq, &t) || !admin_db(rq, &db))
		return;
	rc = enrollment_list(db, t.id, page.after, page.limit, &enrollments, &count, next);
	admin_db_done(rq, db);
	if (rc != RC_OK) {
		admin_store_problem(rq, rc, ADMIN_BAD_CURSOR);
		return;
	}
	list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, enrollment_json(&enrollments[i]));
	free(enrollments);
	admin_reply_list(rq, "enrollments", list, next);
}

static bool read_wanted(struct request *rq, const json_t *body, struct enrollment *e)
{
	int64_t ttl = TTL_DEFAULT_S;
	const char *name;

	if (!admin_name(rq, body, "name", true, &name) ||
		!admin_int(rq, body, "ttl_s", 1, TTL_MAX_S, &ttl))
		return false;
	(void)str_copy(e->name, sizeof(e->name), name);
	e->created_at = clock_wall_s();
	e->expires_at = e->created_at + ttl;
	return true;
}

static json_t *answer_json(const struct request *rq, const struct enrollment *e, const char *token)
{
	json_t *j = enrollment_json(e);

	json_object_set_new(j, "token", json_string(token));
	/* The token itself comes from the environment: a command line is for everybody to see. */
	json_object_set_new(j, "command",
		json_sprintf("AIRLOCK_ENROLLMENT_TOKEN=... airlock-worker enroll --url %s",
			rq->config->public_url));
	return j;
}

/* In one transaction. RC_OK: *answer is what to say. Otherwise, unless answered already, the caller
 * says why. */
static enum rc create(struct request *rq, struct db *db, const struct admin_once *once,
	const struct enrollment *e, const struct apikey_text *text, json_t **answer)
{
	uint8_t digest[CRYPTO_HASH_LEN];
	char id[65];
	const char *secret;
	enum rc rc;

	if (apikey_split("ale", text->text, id, &secret) != RC_OK)
		return RC_INTERNAL;
	apikey_digest(secret, digest);
	rc = db_begin(db);
	if (rc != RC_OK)
		return rc;
	rc = admin_once_first(rq, db, once) ? enrollment_create(db, e, digest, &rq->who)
					    : RC_CONFLICT;
	if (rc == RC_OK) {
		*answer = answer_json(rq, e, text->text);
		rc = admin_once_keep(rq, db, once, 201, *answer, "token");
	}
	if (rc == RC_OK)
		rc = db_commit(db);
	if (rc != RC_OK)
		db_rollback(db);
	return rc;
}

static void mint(struct request *rq, const struct admin_once *once, struct enrollment *e)
{
	struct apikey_text text;
	json_t *answer = NULL;
	struct db *db;
	enum rc rc;

	if (!admin_db(rq, &db))
		return;
	apikey_new("ale", &text);
	(void)str_copy(e->id, sizeof(e->id), text.id);
	rc = create(rq, db, once, e, &text, &answer);
	admin_db_done(rq, db);
	mem_wipe(&text, sizeof(text));
	if (rc == RC_OK) {
		admin_flush(rq, e->tenant_id);
		http_reply_json(rq, 201, json_incref(answer));
	} else if (!rq->answered) {
		admin_store_problem(rq, rc, "The tenant was deleted meanwhile.");
	}
	admin_wipe(answer, "token");
	json_decref(answer);
}

void admin_enrollments_create(struct request *rq)
{
	static const char *const fields[] = {"name", "ttl_s", NULL};
	struct admin_once once = {0};
	struct enrollment e = {0};
	struct tenant t;
	json_t *body;

	if (!admin_body(rq, fields, &body))
		return;
	if (read_wanted(rq, body, &e) && admin_once_init(rq, &once) && admin_tenant(rq, &t)) {
		(void)str_copy(e.tenant_id, sizeof(e.tenant_id), t.id);
		mint(rq, &once, &e);
	}
	json_decref(body);
}

void admin_enrollments_revoke(struct request *rq)
{
	struct tenant t;
	struct db *db;
	enum rc rc;

	if (!admin_tenant(rq, &t) || !admin_db(rq, &db))
		return;
	rc = enrollment_revoke(db, t.id, rq->arg[1], &rq->who);
	admin_db_done(rq, db);
	admin_gone(rq, t.id, rc, "This tenant has no such enrollment token.");
}
