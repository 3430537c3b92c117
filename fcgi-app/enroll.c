#include "fcgi-app/enroll.h"

#include <stdio.h>
#include <string.h>

#include "fcgi-app/admin_common.h"
#include "fcgi-app/auth.h"
#include "shared/apikey.h"
#include "shared/mem.h"
#include "shared/text.h"

struct wanted {
	const char *token, *name;
	uint8_t public_key[CRYPTO_PUBLIC_LEN];
};

static bool read_wanted(struct request *rq, const json_t *body, struct wanted *w)
{
	const char *key;
	size_t len;

	if (!admin_string(rq, body, "token", true, 256, &w->token) ||
		!admin_string(rq, body, "public_key", true, 64, &key) ||
		!admin_name(rq, body, "name", false, &w->name))
		return false;
	if (text_unb64(key, strlen(key), w->public_key, sizeof(w->public_key), &len) == RC_OK &&
		len == CRYPTO_PUBLIC_LEN)
		return true;
	admin_field_problem(
		rq, "public_key", "must be the base64 of a 32-byte Ed25519 public key.");
	return false;
}

/* The tunnel is where the public URL is, over WebSocket. */
static json_t *tunnel_url(const char *public_url)
{
	const char *rest = strstr(public_url, "://");

	return json_sprintf("%s%s/v1/tunnel", strncmp(public_url, "https:", 6) == 0 ? "wss" : "ws",
		rest ? rest : "");
}

static json_t *answer_json(const struct request *rq, const struct worker *w, const struct tenant *t)
{
	char key[TEXT_B64_LEN(CRYPTO_PUBLIC_LEN) + 1];
	json_t *j = json_object();

	text_b64(rq->app->cp_public_key, CRYPTO_PUBLIC_LEN, key);
	json_object_set_new(j, "worker_id", json_string(w->id));
	json_object_set_new(j, "name", json_string(w->name));
	json_object_set_new(j, "tenant_id", json_string(t->id));
	json_object_set_new(j, "tenant_slug", json_string(t->slug));
	json_object_set_new(j, "cp_public_key", json_string(key));
	json_object_set_new(j, "tunnel_url", tunnel_url(rq->config->public_url));
	return j;
}

static enum rc spend(
	struct request *rq, const struct wanted *wanted, struct worker *w, struct tenant *t)
{
	uint8_t digest[CRYPTO_HASH_LEN];
	char id[65];
	const char *secret;
	struct db *db;
	enum rc rc;

	if (apikey_split("ale", wanted->token, id, &secret) != RC_OK)
		return RC_DENIED;
	rc = db_pool_get(rq->app->db, &db);
	if (rc != RC_OK)
		return rc;
	apikey_digest(secret, digest);
	rc = worker_enroll(db, id, digest, wanted->public_key, wanted->name, &rq->who, w);
	if (rc == RC_OK)
		rc = tenant_get(db, w->tenant_id, t);
	db_pool_put(rq->app->db, db);
	mem_wipe(digest, sizeof(digest));
	return rc;
}

static void enroll(struct request *rq, const struct wanted *wanted)
{
	struct tenant t;
	struct worker w;
	enum rc rc = spend(rq, wanted, &w, &t);

	switch (rc) {
	case RC_OK:
		admin_flush(rq, t.id);
		http_reply_json(rq, 201, answer_json(rq, &w, &t));
		break;
	case RC_DENIED:
		auth_refuse(rq, PROBLEM_ENROLLMENT_INVALID, NULL,
			"Ask the operator for a new enrollment token.");
		break;
	case RC_CONFLICT:
		http_problem(rq, PROBLEM_CONFLICT,
			"A worker with this public key is enrolled already: make a new key pair.");
		break;
	default:
		admin_store_problem(rq, rc, NULL);
	}
}

void enroll_post(struct request *rq)
{
	static const char *const fields[] = {"token", "public_key", "name", NULL};
	struct wanted wanted;
	json_t *body;

	(void)str_copy(rq->who.actor_kind, sizeof(rq->who.actor_kind), "worker");
	if (!admin_body(rq, fields, &body))
		return;
	if (read_wanted(rq, body, &wanted))
		enroll(rq, &wanted);
	admin_wipe(body, "token");
	json_decref(body);
}
