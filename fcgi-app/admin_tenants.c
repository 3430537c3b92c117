#include <stdlib.h>
#include <string.h>

#include "fcgi-app/admin_common.h"
#include "fcgi-app/admin_handlers.h"
#include "fcgi-app/auth.h"
#include "shared/text.h"

static json_t *tenant_json(const struct tenant *t)
{
	json_t *j = json_object();

	json_object_set_new(j, "id", json_string(t->id));
	json_object_set_new(j, "slug", json_string(t->slug));
	json_object_set_new(j, "name", json_string(t->name));
	json_object_set_new(j, "org_id", json_string(t->org_id));
	json_object_set_new(j, "suspended", json_boolean(t->suspended));
	json_object_set_new(j, "audit_keep_days",
		t->audit_keep_days == TENANT_KEEP_DEFAULT ? json_null()
							  : json_integer(t->audit_keep_days));
	admin_set_time(j, "created_at", t->created_at);
	return j;
}

void admin_tenants_list(struct request *rq)
{
	char next[STORE_CURSOR_MAX + 1] = "";
	struct tenant *tenants = NULL;
	struct admin_page page;
	size_t count = 0;
	struct db *db;
	json_t *list;
	enum rc rc;

	if (!admin_page(rq, 50, &page) || !admin_db(rq, &db))
		return;
	rc = tenant_list(db, *rq->org_id ? rq->org_id : NULL, page.after, page.limit, &tenants,
		&count, next);
	admin_db_done(rq, db);
	if (rc != RC_OK) {
		admin_store_problem(rq, rc, ADMIN_BAD_CURSOR);
		return;
	}
	list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, tenant_json(&tenants[i]));
	free(tenants);
	admin_reply_list(rq, "tenants", list, next);
}

void admin_tenants_get(struct request *rq)
{
	struct tenant t;

	if (admin_tenant(rq, &t))
		http_reply_json(rq, 200, tenant_json(&t));
}

struct wanted {
	const char *slug, *name, *org_id;
};

static bool org_id_ok(const char *id)
{
	return !id[text_span(id, "_-")];
}

static bool read_wanted(struct request *rq, const json_t *body, struct wanted *w)
{
	if (!admin_string(rq, body, "slug", true, 63, &w->slug) ||
		!admin_name(rq, body, "name", false, &w->name) ||
		!admin_string(rq, body, "org_id", false, STORE_ID_MAX, &w->org_id))
		return false;
	if (!text_slug_ok(w->slug)) {
		admin_field_problem(rq, "slug",
			"must be 1 to 63 characters of a-z, 0-9 and '-', beginning and ending with "
			"a letter "
			"or digit.");
		return false;
	}
	if (w->org_id && !org_id_ok(w->org_id)) {
		admin_field_problem(rq, "org_id", "may hold letters, digits, '_' and '-' only.");
		return false;
	}
	if (*rq->org_id && w->org_id && strcmp(rq->org_id, w->org_id) != 0) {
		auth_refuse(rq, PROBLEM_FORBIDDEN, NULL,
			"This session may make tenants of its own org only.");
		return false;
	}
	if (!w->name)
		w->name = w->slug;
	if (*rq->org_id)
		w->org_id = rq->org_id;
	return true;
}

/* In one transaction. RC_OK: *answer is what to say. Otherwise, unless answered already, the caller
 * says why. */
static enum rc create(struct request *rq, struct db *db, const struct admin_once *once,
	const struct wanted *w, json_t **answer)
{
	struct tenant t;
	enum rc rc = db_begin(db);

	if (rc != RC_OK)
		return rc;
	if (!admin_once_first(rq, db, once))
		rc = RC_CONFLICT;
	else
		rc = tenant_create(db, w->slug, w->name, w->org_id, &rq->who, &t);
	/* The one other thing that can be in conflict is an org that is not there. */
	if (rc == RC_CONFLICT && !rq->answered && tenant_by_slug(db, w->slug, &t) == RC_NOTFOUND)
		rc = RC_INVALID;
	if (rc == RC_OK) {
		*answer = tenant_json(&t);
		rc = admin_once_keep(rq, db, once, 201, *answer, NULL);
	}
	if (rc == RC_OK)
		rc = db_commit(db);
	if (rc != RC_OK)
		db_rollback(db);
	return rc;
}

void admin_tenants_create(struct request *rq)
{
	static const char *const fields[] = {"slug", "name", "org_id", NULL};
	struct admin_once once = {0};
	struct db *db = NULL;
	json_t *answer = NULL;
	json_t *body;
	struct wanted w;
	enum rc rc;

	if (!admin_body(rq, fields, &body))
		return;
	if (!read_wanted(rq, body, &w) || !admin_once_init(rq, &once) || !admin_db(rq, &db))
		goto out;
	rc = create(rq, db, &once, &w, &answer);
	admin_db_done(rq, db);
	if (rc == RC_OK) {
		admin_flush(rq, json_string_value(json_object_get(answer, "id")));
		http_reply_json(rq, 201, json_incref(answer));
	} else if (!rq->answered) {
		admin_store_problem(rq, rc,
			rc == RC_CONFLICT ? "This slug is taken."
					  : "org_id names an org that does not exist.");
	}
out:
	json_decref(answer);
	json_decref(body);
}

static enum rc change(struct request *rq, struct db *db, const char *name, const json_t *suspended,
	const json_t *keep, struct tenant *t)
{
	enum rc rc = db_begin(db);

	if (rc != RC_OK)
		return rc;
	/* Each has its own audit row: the store fills in the rest of the record that it gets. */
	if (name) {
		struct audit_record who = rq->who;

		rc = tenant_rename(db, t->id, name, &who, t);
	}
	if (rc == RC_OK && keep) {
		struct audit_record who = rq->who;

		rc = tenant_keep(db, t->id,
			json_is_null(keep) ? TENANT_KEEP_DEFAULT : json_integer_value(keep), &who,
			t);
	}
	if (rc == RC_OK && suspended)
		rc = tenant_suspend(db, t->id, json_is_true(suspended), &rq->who, t);
	if (rc == RC_OK)
		rc = db_commit(db);
	if (rc != RC_OK)
		db_rollback(db);
	return rc;
}

void admin_tenants_change(struct request *rq)
{
	static const char *const fields[] = {"name", "suspended", "audit_keep_days", NULL};
	const json_t *suspended, *keep;
	const char *name;
	struct db *db;
	struct tenant t;
	json_t *body;
	enum rc rc;

	if (!admin_body(rq, fields, &body))
		return;
	suspended = json_object_get(body, "suspended");
	keep = json_object_get(body, "audit_keep_days");
	if (!admin_name(rq, body, "name", false, &name))
		goto out;
	if (suspended && !json_is_boolean(suspended)) {
		admin_field_problem(rq, "suspended", "must be true or false.");
		goto out;
	}
	if (keep && !json_is_null(keep) &&
		(!json_is_integer(keep) || json_integer_value(keep) < 0 ||
			json_integer_value(keep) > TENANT_KEEP_MAX)) {
		admin_field_problem(rq, "audit_keep_days",
			"must be 0 (for ever) to 36500 days, or null for the configured default.");
		goto out;
	}
	if (!name && !suspended && !keep) {
		admin_field_problem(rq, "name, suspended or audit_keep_days",
			"is needed: there is nothing to change.");
		goto out;
	}
	if (!admin_tenant(rq, &t) || !admin_db(rq, &db))
		goto out;
	rc = change(rq, db, name, suspended, keep, &t);
	admin_db_done(rq, db);
	if (rc != RC_OK) {
		admin_store_problem(rq, rc, "The tenant was deleted meanwhile.");
		goto out;
	}
	admin_flush(rq, t.id);
	http_reply_json(rq, 200, tenant_json(&t));
out:
	json_decref(body);
}

void admin_tenants_delete(struct request *rq)
{
	struct tenant t;
	struct db *db;
	enum rc rc;

	if (!admin_tenant(rq, &t) || !admin_db(rq, &db))
		return;
	rc = tenant_delete(db, t.id, &rq->who);
	admin_db_done(rq, db);
	admin_gone(rq, t.id, rc, "There is no such tenant.");
}
