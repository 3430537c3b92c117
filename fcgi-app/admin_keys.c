#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi-app/admin_common.h"
#include "fcgi-app/admin_handlers.h"
#include "shared/apikey.h"
#include "shared/clock.h"
#include "shared/log.h"
#include "shared/manifest.h"
#include "shared/mem.h"

#define EXPIRES_MAX_S (10LL * 366 * 86400)
#define RATE_MAX 1000000

static json_t *key_json(const struct api_key *k)
{
	json_t *j = json_object();
	char prefix[STORE_ID_MAX + 6];

	(void)snprintf(prefix, sizeof(prefix), "alk_%s", k->id);
	json_object_set_new(j, "id", json_string(k->id));
	json_object_set_new(j, "name", json_string(k->name));
	json_object_set_new(j, "prefix", json_string(prefix));
	json_object_set_new(j, "tools", k->tools ? json_loads(k->tools, 0, NULL) : json_null());
	json_object_set_new(j, "rate_per_minute",
		k->rate_per_minute >= 0 ? json_integer(k->rate_per_minute) : json_null());
	admin_set_time(j, "created_at", k->created_at);
	admin_set_time(j, "expires_at", k->expires_at);
	admin_set_time(j, "last_used_at", k->last_used_at);
	admin_set_time(j, "revoked_at", k->revoked_at);
	return j;
}

void admin_keys_list(struct request *rq)
{
	char next[STORE_CURSOR_MAX + 1] = "";
	struct api_key *keys = NULL;
	struct admin_page page;
	struct tenant t;
	size_t count = 0;
	struct db *db;
	json_t *list;
	enum rc rc;

	if (!admin_page(rq, 50, &page) || !admin_tenant(rq, &t) || !admin_db(rq, &db))
		return;
	rc = api_key_list(db, t.id, page.after, page.limit, &keys, &count, next);
	admin_db_done(rq, db);
	if (rc != RC_OK) {
		admin_store_problem(rq, rc, ADMIN_BAD_CURSOR);
		return;
	}
	list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, key_json(&keys[i]));
	api_key_list_free(keys, count);
	admin_reply_list(rq, "keys", list, next);
}

static bool tools_ok(const json_t *tools)
{
	size_t count = json_array_size(tools);

	for (size_t i = 0; i < count; i++) {
		const char *name = json_string_value(json_array_get(tools, i));

		if (!name || !manifest_tool_ok(name))
			return false;
		for (size_t j = 0; j < i; j++) {
			if (!strcmp(name, json_string_value(json_array_get(tools, j))))
				return false;
		}
	}
	return json_is_array(tools) && count >= 1 && count <= 64;
}

/* Fills what the body says of a key; k->tools is freed by api_key_clear(). */
static bool read_wanted(struct request *rq, const json_t *body, struct api_key *k)
{
	const json_t *tools = json_object_get(body, "tools");
	int64_t expires_in = 0;
	const char *name;

	k->created_at = clock_wall_s();
	k->rate_per_minute = -1;
	if (!admin_name(rq, body, "name", true, &name) ||
		!admin_int(rq, body, "expires_in_s", 1, EXPIRES_MAX_S, &expires_in) ||
		!admin_int(rq, body, "rate_per_minute", 0, RATE_MAX, &k->rate_per_minute))
		return false;
	(void)str_copy(k->name, sizeof(k->name), name);
	if (expires_in)
		k->expires_at = k->created_at + expires_in;
	if (!tools || json_is_null(tools))
		return true;
	if (tools_ok(tools))
		k->tools = json_dumps(tools, JSON_COMPACT);
	if (k->tools && strlen(k->tools) <= STORE_TOOLS_MAX)
		return true;
	admin_field_problem(rq, "tools",
		"must be an array of 1 to 64 different tool names (letters, digits, \"_\", \".\", "
		"\"/\", \"-\"; "
		"4000 bytes in all). Leave it out to allow every tool.");
	return false;
}

/* Argon2 takes 19 MiB a time: one at a time in a process is plenty for an operator. */
static enum rc new_secret(struct apikey_text *text, struct api_key *k)
{
	static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
	char id[65];
	const char *secret;
	enum rc rc;

	apikey_new("alk", text);
	(void)str_copy(k->id, sizeof(k->id), text->id);
	rc = apikey_split("alk", text->text, id, &secret);
	if (rc != RC_OK)
		return RC_INTERNAL;
	(void)pthread_mutex_lock(&one);
	rc = apikey_hash(secret, k->hash, sizeof(k->hash));
	(void)pthread_mutex_unlock(&one);
	return rc == RC_OK ? RC_OK : RC_INTERNAL;
}

/* In one transaction. RC_OK: *answer is what to say. Otherwise, unless answered already, the caller
 * says why. */
static enum rc create(struct request *rq, struct db *db, const struct admin_once *once,
	const struct api_key *k, const char *secret, json_t **answer)
{
	enum rc rc = db_begin(db);

	if (rc != RC_OK)
		return rc;
	rc = admin_once_first(rq, db, once) ? api_key_create(db, k, &rq->who) : RC_CONFLICT;
	if (rc == RC_OK) {
		*answer = key_json(k);
		json_object_set_new(*answer, "key", json_string(secret));
		rc = admin_once_keep(rq, db, once, 201, *answer, "key");
	}
	if (rc == RC_OK)
		rc = db_commit(db);
	if (rc != RC_OK)
		db_rollback(db);
	return rc;
}

static void mint(struct request *rq, const struct admin_once *once, struct api_key *k)
{
	struct apikey_text text;
	json_t *answer = NULL;
	struct db *db;
	enum rc rc = new_secret(&text, k);

	if (rc != RC_OK) {
		log_err("an API key can't be hashed");
		http_problem(rq, PROBLEM_INTERNAL, NULL);
	} else if (admin_db(rq, &db)) {
		rc = create(rq, db, once, k, text.text, &answer);
		admin_db_done(rq, db);
		if (rc == RC_OK) {
			admin_flush(rq, k->tenant_id);
			http_reply_json(rq, 201, json_incref(answer));
		} else if (!rq->answered) {
			admin_store_problem(rq, rc, "The tenant was deleted meanwhile.");
		}
	}
	admin_wipe(answer, "key");
	json_decref(answer);
	mem_wipe(&text, sizeof(text));
}

void admin_keys_create(struct request *rq)
{
	static const char *const fields[] = {
		"name", "expires_in_s", "tools", "rate_per_minute", NULL};
	struct admin_once once = {0};
	struct api_key k = {0};
	struct tenant t;
	json_t *body;

	if (!admin_body(rq, fields, &body))
		return;
	if (read_wanted(rq, body, &k) && admin_once_init(rq, &once) && admin_tenant(rq, &t)) {
		(void)str_copy(k.tenant_id, sizeof(k.tenant_id), t.id);
		mint(rq, &once, &k);
	}
	api_key_clear(&k);
	json_decref(body);
}

void admin_keys_revoke(struct request *rq)
{
	struct tenant t;
	struct db *db;
	enum rc rc;

	if (!admin_tenant(rq, &t) || !admin_db(rq, &db))
		return;
	rc = api_key_revoke(db, t.id, rq->arg[1], &rq->who);
	admin_db_done(rq, db);
	admin_gone(rq, t.id, rc, "This tenant has no such key.");
}
