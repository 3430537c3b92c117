#include <stdlib.h>
#include <string.h>

#include "fcgi-app/admin_common.h"
#include "fcgi-app/admin_handlers.h"
#include "fcgi-app/admin_live.h"
#include "shared/jscan.h"
#include "shared/text.h"

static const char *status_of(const struct worker *w, const struct admin_live *live)
{
	if (w->revoked_at)
		return "revoked";
	if (!live->known)
		return "unknown";
	return admin_live_of_worker(live, w->id) > 0 ? "online" : "offline";
}

/* What it lists beside the newest manifest, which is what agents are listed. */
static void set_tools(json_t *j, struct jscan session)
{
	struct jscan count, newest, differs;
	json_t *difference = NULL;
	int64_t n = 0;

	json_object_set_new(j, "tools", json_null());
	json_object_set_new(j, "manifest", json_null());
	json_object_set_new(j, "differs", json_null());
	if (jscan_get(session, "tools", &count) != RC_OK || jscan_int(count, &n) != RC_OK ||
		jscan_get(session, "newest", &newest) != RC_OK)
		return;
	if (jscan_get(session, "differs", &differs) == RC_OK)
		difference = json_loadb(differs.p, differs.len, 0, NULL);
	json_object_set_new(j, "tools", json_integer(n));
	json_object_set_new(j, "manifest",
		json_string(newest.kind == JSCAN_TRUE ? "newest"
				: difference          ? "other"
						      : "same"));
	if (difference)
		json_object_set_new(j, "differs", difference);
}

static json_t *worker_json(const struct worker *w, const struct admin_live *live)
{
	char key[TEXT_B64_LEN(CRYPTO_PUBLIC_LEN) + 1];
	json_t *j = json_object();

	text_b64(w->public_key, CRYPTO_PUBLIC_LEN, key);
	json_object_set_new(j, "id", json_string(w->id));
	json_object_set_new(j, "name", json_string(w->name));
	json_object_set_new(j, "status", json_string(status_of(w, live)));
	json_object_set_new(j, "sessions",
		live->known ? json_integer(admin_live_of_worker(live, w->id)) : json_null());
	admin_set_text(j, "version", w->version);
	set_tools(j, admin_live_session(live, w->id));
	json_object_set_new(j, "public_key", json_string(key));
	admin_set_time(j, "enrolled_at", w->enrolled_at);
	admin_set_time(j, "last_seen_at", w->last_seen_at);
	admin_set_time(j, "revoked_at", w->revoked_at);
	return j;
}

void admin_workers_list(struct request *rq)
{
	char next[STORE_CURSOR_MAX + 1] = "";
	struct worker *workers = NULL;
	struct admin_page page;
	struct admin_live live;
	struct tenant t;
	size_t count = 0;
	struct db *db;
	json_t *list;
	enum rc rc;

	if (!admin_page(rq, 50, &page) || !admin_tenant(rq, &t) || !admin_db(rq, &db))
		return;
	rc = worker_list(db, t.id, page.after, page.limit, &workers, &count, next);
	admin_db_done(rq, db);
	if (rc != RC_OK) {
		admin_store_problem(rq, rc, ADMIN_BAD_CURSOR);
		return;
	}
	/* Without the tunnel daemon the list is still of use; it says that it does not know who is
	 * there. */
	admin_live_load(rq, t.id, &live);
	list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, worker_json(&workers[i], &live));
	free(workers);
	admin_reply_list(rq, "workers", list, next);
}

void admin_workers_revoke(struct request *rq)
{
	struct tenant t;
	struct db *db;
	enum rc rc;

	if (!admin_tenant(rq, &t) || !admin_db(rq, &db))
		return;
	rc = worker_revoke(db, t.id, rq->arg[1], &rq->who);
	admin_db_done(rq, db);
	admin_gone(rq, t.id, rc, "This tenant has no such worker.");
}
