#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi-app/admin_common.h"
#include "fcgi-app/admin_handlers.h"
#include "fcgi-app/admin_live.h"
#include "fcgi-app/mcp_manifest.h"
#include "shared/mem.h"

/* What a tenant's workers list beside what is pinned of it. */
struct view {
	struct mcp_manifest *manifest; /* NULL: no worker ever came */
	bool live; /* a worker is connected: it is the newest one's */
	struct tool_pin *pins; /* by name */
	size_t pin_count;
	struct admin_live sessions;
};

static void view_free(struct view *v)
{
	mcp_manifest_put(v->manifest);
	free(v->pins);
}

/* False: answered. */
static bool load_manifest(struct request *rq, const char *tenant_id, struct view *v)
{
	enum rc rc = mcp_manifest_live(rq, tenant_id, 0, &v->manifest);

	v->live = rc == RC_OK;
	if (rc != RC_OK)
		rc = mcp_manifest_stored(rq, tenant_id, &v->manifest);
	if (rc != RC_OK)
		v->manifest = NULL;
	if (rc == RC_OK || rc == RC_NOTFOUND)
		return true;
	http_problem(rq, PROBLEM_STATE_DOWN, NULL);
	return false;
}

/* False: answered; view_free() in either case. */
static bool view_load(struct request *rq, const char *tenant_id, struct view *v)
{
	struct db *db;
	enum rc rc;

	*v = (struct view){0};
	if (!load_manifest(rq, tenant_id, v) || !admin_db(rq, &db))
		return false;
	rc = tool_pin_list(db, tenant_id, &v->pins, &v->pin_count);
	admin_db_done(rq, db);
	if (rc != RC_OK) {
		admin_store_problem(rq, rc, NULL);
		return false;
	}
	admin_live_load(rq, tenant_id, &v->sessions);
	return true;
}

/* One tool as it is listed, as it was pinned, or both. */
struct pair {
	const struct toolset_tool *now;
	const struct tool_pin *pin;
	char fingerprint[TOOLSET_FINGERPRINT_LEN + 1]; /* of now */
};

static struct pair pair_of(const struct toolset_tool *now, const struct tool_pin *pin)
{
	struct pair p = {.now = now, .pin = pin};

	if (now)
		toolset_fingerprint_text(now->fingerprint, p.fingerprint);
	return p;
}

static const char *name_of(const struct pair *p)
{
	return p->now ? p->now->name : p->pin->tool;
}

static bool is_changed(const struct pair *p)
{
	return p->now && p->pin && strcmp(p->fingerprint, p->pin->fingerprint) != 0;
}

static const char *state_of(const struct pair *p)
{
	if (!p->pin)
		return "new";
	if (!p->now)
		return "gone";
	return is_changed(p) ? "changed" : "pinned";
}

/* The next of both lists, by name; false at the end. */
static bool next_pair(const struct view *v, size_t *i, size_t *j, struct pair *out)
{
	const struct toolset none = {0}, *tools = v->manifest ? &v->manifest->tools : &none;
	const struct toolset_tool *now = *i < tools->count ? &tools->tools[*i] : NULL;
	const struct tool_pin *pin = *j < v->pin_count ? &v->pins[*j] : NULL;
	int order = !now ? 1 : !pin ? -1 : strcmp(now->name, pin->tool);

	if (!now && !pin)
		return false;
	*out = pair_of(order <= 0 ? now : NULL, order >= 0 ? pin : NULL);
	*i += order <= 0;
	*j += order >= 0;
	return true;
}

/* --- what is shown of one ----------------------------------------------------------------- */

static struct jscan listed(const struct view *v, const struct pair *p)
{
	if (!p->now)
		return (struct jscan){NULL, 0, JSCAN_NONE};
	return manifest_tool(v->manifest->text, v->manifest->len, p->now->name);
}

static json_t *member(struct jscan tool, const char *name)
{
	json_t *value = NULL;
	struct jscan v;

	if (jscan_get(tool, name, &v) == RC_OK)
		value = json_loadb(v.p, v.len, JSON_DECODE_ANY, NULL);
	return value ? value : json_null();
}

/* The workers, of those connected, whose tool of that name is another one than the newest's. */
static json_t *differs_on(const struct view *v, const char *name)
{
	struct jscan_iter it = jscan_iter(v->sessions.list), names;
	struct jscan key, session, changed, value, id;
	json_t *list = json_array();
	char worker[STORE_ID_MAX + 1];

	if (!v->sessions.known || v->sessions.list.kind != JSCAN_ARRAY)
		return list;
	while (jscan_next(&it, &key, &session)) {
		if (jscan_path(session, &changed, "differs", "changed", NULL) != RC_OK)
			continue;
		names = jscan_iter(changed);
		while (jscan_next(&names, &key, &value))
			if (jscan_is_str(value, name) &&
				jscan_get(session, "worker_id", &id) == RC_OK &&
				jscan_str(id, worker, sizeof(worker)) == RC_OK)
				json_array_append_new(list, json_string(worker));
	}
	return list;
}

static json_t *pair_json(const struct request *rq, const struct view *v, const struct pair *p)
{
	struct jscan tool = listed(v, p);
	json_t *j = json_object();

	json_object_set_new(j, "name", json_string(name_of(p)));
	json_object_set_new(j, "state", json_string(state_of(p)));
	json_object_set_new(j, "withheld",
		json_boolean(is_changed(p) && rq->config->tool_pinning == CONFIG_PINNING_ENFORCE));
	json_object_set_new(j, "title", member(tool, "title"));
	json_object_set_new(j, "description", member(tool, "description"));
	admin_set_text(j, "fingerprint", p->fingerprint);
	admin_set_text(j, "pinned_fingerprint", p->pin ? p->pin->fingerprint : "");
	admin_set_time(j, "pinned_at", p->pin ? p->pin->pinned_at : 0);
	admin_set_text(j, "pinned_by", p->pin ? p->pin->pinned_by : "");
	json_object_set_new(j, "differs_on", differs_on(v, name_of(p)));
	return j;
}

static const char *pinning_text(const struct request *rq)
{
	switch (rq->config->tool_pinning) {
	case CONFIG_PINNING_OFF:
		return "off";
	case CONFIG_PINNING_WARN:
		return "warn";
	default:
		return "enforce";
	}
}

void admin_tools_list(struct request *rq)
{
	struct admin_page page;
	struct tenant t;
	struct view v;
	struct pair p;
	size_t i = 0, j = 0, n = 0;
	const char *last = NULL;
	json_t *answer, *list;
	bool more = false;

	if (!admin_page(rq, 50, &page) || !admin_tenant(rq, &t))
		return;
	if (!view_load(rq, t.id, &v)) {
		view_free(&v);
		return;
	}
	list = json_array();
	while (!more && next_pair(&v, &i, &j, &p)) {
		if (*page.after && strcmp(name_of(&p), page.after) <= 0)
			continue;
		more = n == page.limit;
		if (more)
			break;
		json_array_append_new(list, pair_json(rq, &v, &p));
		last = name_of(&p);
		n++;
	}
	answer = json_object();
	json_object_set_new(answer, "tools", list);
	if (more)
		json_object_set_new(answer, "next_cursor", json_string(last));
	json_object_set_new(answer, "pinning", json_string(pinning_text(rq)));
	json_object_set_new(answer, "live", json_boolean(v.live));
	http_reply_json(rq, 200, answer);
	view_free(&v);
}

/* --- one tool, closely ---------------------------------------------------------------------- */

/* The tool that the query names. False: answered. */
static bool tool_parameter(struct request *rq, char name[MANIFEST_TOOL_MAX + 1])
{
	if (http_query(rq, "tool", name, MANIFEST_TOOL_MAX + 1) == RC_OK && manifest_tool_ok(name))
		return true;
	admin_field_problem(rq, "tool", "must be the name of a tool, once.");
	return false;
}

/* The members in which two definitions differ. */
static json_t *changes(const char *now, size_t now_len, const char *pinned)
{
	json_t *list = json_array();
	struct jscan a, b;

	if (jscan_parse(now, now_len, &a) != RC_OK ||
		jscan_parse(pinned, strlen(pinned), &b) != RC_OK)
		return list;
	for (size_t i = 0; toolset_members[i]; i++) {
		struct jscan x, y;

		(void)jscan_get(a, toolset_members[i], &x);
		(void)jscan_get(b, toolset_members[i], &y);
		if (x.len != y.len || (x.len > 0 && memcmp(x.p, y.p, x.len) != 0))
			json_array_append_new(list, json_string(toolset_members[i]));
	}
	return list;
}

static void show(struct request *rq, const struct view *v, const struct pair *p,
	const struct tool_pin *pinned)
{
	struct jscan tool = listed(v, p);
	json_t *j = pair_json(rq, v, p);
	struct buf now;

	buf_init(&now, 6 * tool.len + 256);
	if (p->now)
		toolset_definition(tool, &now);
	json_object_set_new(j, "definition",
		p->now ? json_stringn((const char *)now.data, now.len) : json_null());
	json_object_set_new(
		j, "pinned_definition", pinned ? json_string(pinned->definition) : json_null());
	json_object_set_new(j, "changes",
		is_changed(p) ? changes((const char *)now.data, now.len, pinned->definition)
			      : json_array());
	buf_free(&now);
	http_reply_json(rq, 200, j);
}

void admin_tools_show(struct request *rq)
{
	char name[MANIFEST_TOOL_MAX + 1];
	struct tool_pin pinned = {0};
	enum rc rc = RC_NOTFOUND;
	struct tenant t;
	struct view v;
	struct pair p;
	struct db *db;

	if (!tool_parameter(rq, name) || !admin_tenant(rq, &t))
		return;
	if (!view_load(rq, t.id, &v) || !admin_db(rq, &db)) {
		view_free(&v);
		return;
	}
	rc = tool_pin_get(db, t.id, name, &pinned);
	admin_db_done(rq, db);
	p = pair_of(v.manifest ? toolset_find(&v.manifest->tools, name) : NULL,
		rc == RC_OK ? &pinned : NULL);
	if (rc != RC_OK && rc != RC_NOTFOUND)
		admin_store_problem(rq, rc, NULL);
	else if (!p.now && !p.pin)
		http_problem(rq, PROBLEM_NOT_FOUND, "No worker of this tenant lists such a tool.");
	else
		show(rq, &v, &p, p.pin);
	tool_pin_clear(&pinned);
	view_free(&v);
}

/* --- pinning -------------------------------------------------------------------------------- */

struct wish {
	const char *tool; /* NULL: all that are listed */
	const char *fingerprint; /* which the operator has seen it to have, or NULL */
};

static bool read_wish(struct request *rq, const json_t *body, struct wish *w)
{
	const json_t *all = json_object_get(body, "all");
	uint8_t hash[CRYPTO_HASH_LEN];

	if (!admin_string(rq, body, "tool", false, MANIFEST_TOOL_MAX, &w->tool) ||
		!admin_string(
			rq, body, "fingerprint", false, TOOLSET_FINGERPRINT_LEN, &w->fingerprint))
		return false;
	if (all && !json_is_true(all)) {
		admin_field_problem(rq, "all", "must be true, or left out.");
		return false;
	}
	if (!w->tool == !all) {
		admin_field_problem(rq, "tool", "is needed, or \"all\": true in its place.");
		return false;
	}
	if (w->fingerprint &&
		(!w->tool || toolset_fingerprint_read(w->fingerprint, hash) != RC_OK)) {
		admin_field_problem(rq, "fingerprint",
			"must be that of the one tool: sha256: and 64 hex digits.");
		return false;
	}
	return true;
}

/* Is what the operator has seen what there is? False: answered. */
static bool is_wanted(struct request *rq, const struct view *v, const struct wish *w)
{
	char detail[160], fingerprint[TOOLSET_FINGERPRINT_LEN + 1];
	const struct toolset_tool *now;

	if (!w->tool)
		return true;
	now = v->manifest ? toolset_find(&v->manifest->tools, w->tool) : NULL;
	if (!now) {
		http_problem(rq, PROBLEM_NOT_FOUND, "No worker of this tenant lists such a tool.");
		return false;
	}
	toolset_fingerprint_text(now->fingerprint, fingerprint);
	if (!w->fingerprint || !strcmp(w->fingerprint, fingerprint))
		return true;
	(void)snprintf(detail, sizeof(detail),
		"The tool is another one by now: its fingerprint is %s. Look at it again.",
		fingerprint);
	http_problem(rq, PROBLEM_CONFLICT, detail);
	return false;
}

static enum rc pin_one(struct request *rq, struct db *db, const char *tenant_id, struct jscan tool,
	const char *name, bool *changed)
{
	struct audit_record who = rq->who;
	struct buf definition;
	enum rc rc = RC_INTERNAL;

	buf_init(&definition, 6 * tool.len + 256);
	toolset_definition(tool, &definition);
	if (!definition.failed)
		rc = tool_pin_put(
			db, tenant_id, name, definition.data, definition.len, &who, changed);
	buf_free(&definition);
	return rc;
}

/* {"pinned": [names], "unchanged": n} */
static enum rc pin_wanted(struct request *rq, struct db *db, const char *tenant_id,
	const struct view *v, const struct wish *w, json_t *answer)
{
	const struct toolset none = {0}, *tools = v->manifest ? &v->manifest->tools : &none;
	json_t *names = json_array();
	json_int_t unchanged = 0;
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < tools->count; i++) {
		const char *name = tools->tools[i].name;
		bool changed = false;

		if (w->tool && strcmp(w->tool, name) != 0)
			continue;
		rc = pin_one(rq, db, tenant_id,
			manifest_tool(v->manifest->text, v->manifest->len, name), name, &changed);
		if (changed)
			json_array_append_new(names, json_string(name));
		else
			unchanged++;
	}
	json_object_set_new(answer, "pinned", names);
	json_object_set_new(answer, "unchanged", json_integer(unchanged));
	return rc;
}

static enum rc pin(struct request *rq, struct db *db, const struct admin_once *once,
	const char *tenant_id, const struct view *v, const struct wish *w, json_t *answer)
{
	enum rc rc = db_begin(db);

	if (rc != RC_OK)
		return rc;
	rc = admin_once_first(rq, db, once) ? RC_OK : RC_CONFLICT;
	if (rc == RC_OK && !is_wanted(rq, v, w))
		rc = RC_CONFLICT;
	if (rc == RC_OK)
		rc = pin_wanted(rq, db, tenant_id, v, w, answer);
	if (rc == RC_OK)
		rc = admin_once_keep(rq, db, once, 200, answer, NULL);
	if (rc == RC_OK)
		rc = db_commit(db);
	if (rc != RC_OK)
		db_rollback(db);
	return rc;
}

static void pin_and_answer(struct request *rq, const struct admin_once *once,
	const struct tenant *t, const struct wish *w)
{
	json_t *answer = json_object();
	struct db *db = NULL;
	struct view v;
	enum rc rc;

	if (!view_load(rq, t->id, &v) || !admin_db(rq, &db))
		goto out;
	rc = pin(rq, db, once, t->id, &v, w, answer);
	admin_db_done(rq, db);
	if (rc == RC_OK) {
		admin_flush(rq, t->id);
		http_reply_json(rq, 200, json_incref(answer));
	} else if (rc == RC_LIMIT) {
		http_problem(rq, PROBLEM_CONFLICT,
			"This tenant has as many pinned tools as there may be: unpin those that "
			"are gone.");
	} else if (!rq->answered) {
		admin_store_problem(rq, rc, "The tenant was deleted meanwhile.");
	}
out:
	view_free(&v);
	json_decref(answer);
}

void admin_tools_pin(struct request *rq)
{
	static const char *const fields[] = {"tool", "fingerprint", "all", NULL};
	struct admin_once once = {0};
	struct wish w = {0};
	struct tenant t;
	json_t *body;

	if (!admin_body(rq, fields, &body))
		return;
	if (read_wish(rq, body, &w) && admin_once_init(rq, &once) && admin_tenant(rq, &t))
		pin_and_answer(rq, &once, &t, &w);
	json_decref(body);
}

void admin_tools_unpin(struct request *rq)
{
	char name[MANIFEST_TOOL_MAX + 1] = "", all[8] = "";
	struct tenant t;
	struct db *db;
	enum rc rc;

	rc = http_query(rq, "all", all, sizeof(all));
	if (rc != RC_NOTFOUND && (rc != RC_OK || strcmp(all, "true") != 0)) {
		admin_field_problem(rq, "all", "must be true, or left out.");
		return;
	}
	if ((!*all && !tool_parameter(rq, name)) || !admin_tenant(rq, &t) || !admin_db(rq, &db))
		return;
	rc = *name ? tool_pin_remove(db, t.id, name, &rq->who)
		   : tool_pin_remove_all(db, t.id, &rq->who);
	admin_db_done(rq, db);
	admin_gone(rq, t.id, rc, "This tool is not pinned.");
}
