#include "fcgi-app/admin_common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi-app/auth.h"
#include "fcgi-app/http_parse.h"
#include "shared/clock.h"
#include "shared/crypto.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/text.h"

#define PAGE_MAX 200

/* --- fields ------------------------------------------------------------------------------ */

void admin_field_problem(struct request *rq, const char *name, const char *rule)
{
	char detail[300];

	(void)snprintf(detail, sizeof(detail), "%s %s", name, rule);
	http_problem(rq, PROBLEM_INVALID_FIELD, detail);
}

static bool known(const char *const *names, const char *name)
{
	while (*names && strcmp(*names, name) != 0)
		names++;
	return *names != NULL;
}

/* The field's name is the client's own text: shown when it is a name at all. */
static void unknown_field(struct request *rq, const char *const *names, const char *name)
{
	char shown[80];
	char rule[200];
	size_t count = 0;
	const char *nearest;

	while (names[count])
		count++;
	nearest = text_nearest(name, names, count);
	if (!text_name_ok(name, 64))
		name = "a field with a strange name";
	(void)snprintf(shown, sizeof(shown), "%s", name);
	if (nearest)
		(void)snprintf(rule, sizeof(rule), "is not known here: did you mean %s?", nearest);
	else
		(void)snprintf(rule, sizeof(rule), "is not known here.");
	admin_field_problem(rq, shown, rule);
}

bool admin_body(struct request *rq, const char *const *names, json_t **out)
{
	json_t *body;
	const char *name;
	json_t *value;

	if (http_body_json(rq, &body) != RC_OK)
		return false;
	json_object_foreach(body, name, value)
	{
		if (known(names, name))
			continue;
		unknown_field(rq, names, name);
		json_decref(body);
		return false;
	}
	*out = body;
	return true;
}

/* The member, NULL when absent or null. */
static const json_t *member(const json_t *body, const char *name)
{
	const json_t *value = json_object_get(body, name);

	return json_is_null(value) ? NULL : value;
}

bool admin_string(struct request *rq, const json_t *body, const char *name, bool required,
	size_t max, const char **out)
{
	const json_t *value = member(body, name);
	char rule[80];

	*out = NULL;
	if (!value && !required)
		return true;
	if (!value) {
		admin_field_problem(rq, name, "is missing.");
		return false;
	}
	if (!json_is_string(value) || json_string_length(value) == 0 ||
		json_string_length(value) > max) {
		(void)snprintf(rule, sizeof(rule), "must be a string of 1 to %zu bytes.", max);
		admin_field_problem(rq, name, rule);
		return false;
	}
	*out = json_string_value(value);
	return true;
}

bool admin_name(
	struct request *rq, const json_t *body, const char *name, bool required, const char **out)
{
	if (!admin_string(rq, body, name, required, STORE_NAME_MAX, out))
		return false;
	if (!*out || text_name_ok(*out, STORE_NAME_MAX))
		return true;
	admin_field_problem(rq, name, "must not hold control characters.");
	return false;
}

bool admin_int(struct request *rq, const json_t *body, const char *name, int64_t min, int64_t max,
	int64_t *out)
{
	const json_t *value = member(body, name);
	char rule[100];

	if (!value)
		return true;
	if (!json_is_integer(value) || json_integer_value(value) < min ||
		json_integer_value(value) > max) {
		(void)snprintf(rule, sizeof(rule), "must be a whole number from %lld to %lld.",
			(long long)min, (long long)max);
		admin_field_problem(rq, name, rule);
		return false;
	}
	*out = json_integer_value(value);
	return true;
}

void admin_wipe(const json_t *body, const char *name)
{
	const json_t *value = json_object_get(body, name);

	/* jansson gives its own buffer, which it will free as it is. */
	if (json_is_string(value))
		mem_wipe((char *)json_string_value(value), json_string_length(value));
}

/* --- answers ----------------------------------------------------------------------------- */

void admin_set_time(json_t *object, const char *name, int64_t utc_s)
{
	char text[CLOCK_TEXT_LEN + 1];

	if (utc_s > 0)
		clock_text(utc_s * 1000, text);
	json_object_set_new(object, name, utc_s > 0 ? json_string(text) : json_null());
}

void admin_set_text(json_t *object, const char *name, const char *text)
{
	json_object_set_new(object, name, *text ? json_string(text) : json_null());
}

static bool page_limit(struct request *rq, size_t default_limit, size_t *out)
{
	char text[8];
	int64_t n;

	switch (http_query(rq, "limit", text, sizeof(text))) {
	case RC_OK:
		break;
	case RC_NOTFOUND:
		*out = default_limit;
		return true;
	default:
		text[0] = '\0';
	}
	if (!*text || http_parse_length(text, &n) != RC_OK || n < 1 || n > PAGE_MAX) {
		admin_field_problem(rq, "limit", "must be a whole number from 1 to 200.");
		return false;
	}
	*out = (size_t)n;
	return true;
}

bool admin_page(struct request *rq, size_t default_limit, struct admin_page *out)
{
	enum rc rc;

	if (!page_limit(rq, default_limit, &out->limit))
		return false;
	rc = http_query(rq, "cursor", out->after, sizeof(out->after));
	if (rc == RC_OK || rc == RC_NOTFOUND)
		return true;
	http_problem(rq, PROBLEM_INVALID_FIELD, ADMIN_BAD_CURSOR);
	return false;
}

void admin_reply_list(struct request *rq, const char *name, json_t *list, const char *next)
{
	json_t *answer = json_object();

	json_object_set_new(answer, name, list);
	if (*next)
		json_object_set_new(answer, "next_cursor", json_string(next));
	http_reply_json(rq, 200, answer);
}

void admin_store_problem(struct request *rq, enum rc rc, const char *detail)
{
	bool theirs = rc == RC_CONFLICT || rc == RC_NOTFOUND || rc == RC_INVALID;

	http_problem_rc(rq, rc, theirs ? detail : NULL);
}

/* --- state ------------------------------------------------------------------------------- */

bool admin_db(struct request *rq, struct db **out)
{
	enum rc rc = db_pool_get(rq->app->db, out);

	if (rc == RC_OK)
		return true;
	*out = NULL;
	http_problem(rq, PROBLEM_STATE_DOWN, NULL);
	return false;
}

void admin_db_done(struct request *rq, struct db *db)
{
	if (db)
		db_pool_put(rq->app->db, db);
}

bool admin_tenant(struct request *rq, struct tenant *out)
{
	struct db *db;
	enum rc rc;

	if (!admin_db(rq, &db))
		return false;
	rc = tenant_get(db, rq->arg[0], out);
	admin_db_done(rq, db);
	if (rc == RC_OK && *rq->org_id && strcmp(rq->org_id, out->org_id) != 0)
		rc = RC_NOTFOUND;
	if (rc == RC_OK)
		return true;
	/* Somebody bound to one org asked for what is not theirs, or not there: both look and cost
	 * the same. */
	if (rc == RC_NOTFOUND && *rq->org_id)
		auth_refuse(rq, PROBLEM_NOT_FOUND, rq->arg[0], "There is no such tenant.");
	else
		admin_store_problem(rq, rc, "There is no such tenant.");
	return false;
}

static enum rc ask_flush(struct dispatch *d, void *ctx)
{
	return dispatch_flush(d, ctx);
}

void admin_flush(struct request *rq, const char *tenant_id)
{
	char id[STORE_ID_MAX + 1];

	(void)str_copy(id, sizeof(id), tenant_id ? tenant_id : "");
	if (http_dispatch(rq, ask_flush, id) != RC_OK)
		log_warn(
			"a change is made, but its audit row still waits in the outbox: the tunnel "
			"daemon could not be told");
}

void admin_gone(struct request *rq, const char *tenant_id, enum rc rc, const char *not_found)
{
	if (rc != RC_OK) {
		admin_store_problem(rq, rc, not_found);
		return;
	}
	admin_flush(rq, tenant_id);
	http_reply(rq, 204, NULL, NULL, 0);
}

/* --- creating once ----------------------------------------------------------------------- */

bool admin_once_init(struct request *rq, struct admin_once *once)
{
	enum rc rc = http_header_once(rq, "Idempotency-Key", &once->key);

	if (rc == RC_NOTFOUND)
		return true;
	if (rc == RC_CONFLICT) {
		http_problem(rq, PROBLEM_AMBIGUOUS_HEADER,
			"Send Idempotency-Key once, without a comma.");
		return false;
	}
	if (rc != RC_OK || !http_parse_idempotency_key_ok(once->key)) {
		http_problem(rq, PROBLEM_BAD_REQUEST,
			"Idempotency-Key must be 1 to 128 visible ASCII characters.");
		return false;
	}
	(void)snprintf(once->scope, sizeof(once->scope), "%s:%s:%s:%s %s", rq->who.actor_kind,
		rq->org_id, rq->who.actor_id, rq->method, rq->path);
	crypto_blake2b(NULL, 0, rq->body.data, rq->body.len, once->hash);
	return true;
}

static void replay(struct request *rq, int status, const char *body)
{
	http_add_header(rq, "Idempotency-Replayed", "true");
	http_reply(rq, status, "application/json", body, strlen(body));
}

bool admin_once_first(struct request *rq, struct db *db, const struct admin_once *once)
{
	char *body = NULL;
	int status = 0;

	if (!once->key)
		return true;
	switch (idempotency_find(db, once->scope, once->key, once->hash, &status, &body)) {
	case RC_NOTFOUND:
		return true;
	case RC_OK:
		replay(rq, status, body);
		free(body);
		return false;
	case RC_CONFLICT:
		http_problem(rq, PROBLEM_IDEMPOTENCY_MISMATCH, "Use a new key for a new request.");
		return false;
	default:
		http_problem(rq, PROBLEM_STATE_DOWN, NULL);
		return false;
	}
}

enum rc admin_once_keep(struct request *rq, struct db *db, const struct admin_once *once,
	int status, const json_t *answer, const char *secret)
{
	json_t *kept;
	char *text;
	enum rc rc;

	if (!once->key)
		return RC_OK;
	kept = json_copy((json_t *)answer);
	if (secret) {
		json_object_del(kept, secret);
		json_object_set_new(kept, "secret_shown", json_false());
	}
	text = json_dumps(kept, 0);
	json_decref(kept);
	if (!text)
		return RC_INTERNAL;
	rc = idempotency_keep(db, once->scope, once->key, once->hash, status, text,
		clock_wall_s() + rq->config->idempotency_ttl_s);
	free(text);
	return rc;
}
