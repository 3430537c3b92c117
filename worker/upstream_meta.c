#include "worker/upstream_meta.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A legacy client's own capabilities are known to the control plane alone, and only to the request
 * that said them: what it can't do, it refuses itself when asked. */
#define LEGACY_CLIENT                                                                        \
	"\"" META "protocolVersion\":\"" MODERN_VERSION "\",\"" META                         \
	"clientCapabilities\":{\"sampling\":{},\"elicitation\":{\"form\":{}},\"roots\":{}}," \
	"\"" META "clientInfo\":{\"name\":\"airlock-worker\",\"version\":\"" AIRLOCK_VERSION \
	"\"},\"" META "logLevel\":\"info\""

/* --- who calls -------------------------------------------------------------------------- */

static void put_text(struct buf *b, const char *name, const char *value)
{
	if (*value == '\0')
		return;
	buf_printf(b, "%s\"%s\":", b->len > 0 && b->data[b->len - 1] != '{' ? "," : "", name);
	buf_json(b, value);
}

char *upstream_meta_identity(const struct upstream_identity *who, struct jscan meta)
{
	struct jscan v;
	struct buf b;

	buf_init(&b, 16384);
	buf_str(&b, "\"" IDENTITY_KEY "\":{");
	put_text(&b, "tenant_id", who->tenant_id);
	put_text(&b, "key_id", who->key_id);
	put_text(&b, "key_name", who->key_name);
	put_text(&b, "request_id", who->request_id);
	buf_char(&b, '}');
	if (jscan_get(meta, "traceparent", &v) == RC_NOTFOUND && *who->traceparent != '\0') {
		put_text(&b, "traceparent", who->traceparent);
		if (jscan_get(meta, "tracestate", &v) == RC_NOTFOUND)
			put_text(&b, "tracestate", who->tracestate);
	}
	return buf_steal(&b);
}

/* --- _meta ------------------------------------------------------------------------------ */

static bool is_one_of(struct jscan key, const char *const *names)
{
	for (; *names != NULL; names++)
		if (jscan_is_str(key, *names))
			return true;
	return false;
}

static bool has_one_of(struct jscan object, const char *const *names)
{
	struct jscan key, value;

	for (struct jscan_iter it = jscan_iter(object); jscan_next(&it, &key, &value);)
		if (is_one_of(key, names))
			return true;
	return false;
}

/* What does not go on as the client wrote it. A legacy server gets no _meta of the newer era: one
 * that speaks both would take the request for one of those. And nobody says who calls but us. */
static const char *const *dropped(const struct upstream *u, const struct pending *p)
{
	static const char *const none[] = {NULL}, *const own[] = {IDENTITY_KEY, NULL};
	static const char *const newer[] = {META "protocolVersion", META "clientCapabilities",
		META "clientInfo", META "logLevel", NULL};
	static const char *const both[] = {META "protocolVersion", META "clientCapabilities",
		META "clientInfo", META "logLevel", IDENTITY_KEY, NULL};

	if (!u->modern && p->modern)
		return p->identity != NULL ? both : newer;
	return p->identity != NULL ? own : none;
}

/* The object anew, without those members. */
static void put_meta(struct upstream_meta *m, struct jscan meta, const char *const *without)
{
	struct jscan key, value;
	struct buf *b = &m->meta;

	buf_char(b, '{');
	buf_add(b, m->extra.data, m->extra.len);
	for (struct jscan_iter it = jscan_iter(meta); jscan_next(&it, &key, &value);) {
		if (is_one_of(key, without))
			continue;
		if (b->data != NULL && b->len > 1)
			buf_char(b, ',');
		buf_add(b, key.p, key.len);
		buf_char(b, ':');
		if (jscan_is_str(key, "progressToken"))
			buf_str(b, m->number);
		else
			buf_add(b, value.p, value.len);
	}
	buf_char(b, '}');
}

static void edit_meta(
	struct upstream_meta *m, struct jsplice *s, struct jscan meta, const char *const *without)
{
	struct jscan token;

	if (has_one_of(meta, without)) {
		put_meta(m, meta, without);
		jsplice_replace(s, meta, (const char *)m->meta.data, m->meta.len);
		return;
	}
	if (jscan_get(meta, "progressToken", &token) == RC_OK)
		jsplice_replace(s, token, m->number, strlen(m->number));
	if (m->extra.len > 0)
		jsplice_insert(s, meta, (const char *)m->extra.data, m->extra.len);
}

/* What params is to begin with, or root when there are none. */
static void put_members(struct upstream_meta *m, bool has_params, bool has_meta, const char *more)
{
	struct buf *b = &m->members;

	if (has_meta || m->extra.len == 0) {
		buf_str(b, more[0] == ',' ? more + 1 : more);
		return;
	}
	buf_str(b, has_params ? "\"_meta\":{" : "\"params\":{\"_meta\":{");
	buf_add(b, m->extra.data, m->extra.len);
	buf_printf(b, "}%s%s", more, has_params ? "" : "}");
}

enum rc upstream_meta_put(struct upstream_meta *m, struct jsplice *s, const struct upstream *u,
	const struct pending *p, struct jscan root, const char *more)
{
	struct jscan params, meta;
	enum rc has_params = jscan_get(root, "params", &params);
	enum rc has_meta = jscan_get(params, "_meta", &meta);
	bool crosses = u->modern && !p->modern;
	size_t extra = sizeof LEGACY_CLIENT + (p->identity != NULL ? strlen(p->identity) : 0) + 1;

	buf_init(&m->extra, extra);
	buf_init(&m->meta, extra + meta.len + sizeof m->number + 2);
	buf_init(&m->members, extra + strlen(more) + 64);
	(void)snprintf(m->number, sizeof m->number, "%" PRIu64, p->number);
	/* Who could write two, or something else in their place, could say who calls. */
	if (p->identity != NULL &&
		(has_params == RC_CONFLICT || has_meta == RC_CONFLICT ||
			(has_params == RC_OK && params.kind != JSCAN_OBJECT) ||
			(has_meta == RC_OK && meta.kind != JSCAN_OBJECT)))
		return RC_INVALID;
	if (crosses)
		buf_str(&m->extra, LEGACY_CLIENT);
	if (crosses && p->identity != NULL)
		buf_char(&m->extra, ',');
	if (p->identity != NULL)
		buf_str(&m->extra, p->identity);
	if (meta.kind == JSCAN_OBJECT)
		edit_meta(m, s, meta, dropped(u, p));
	put_members(m, params.kind == JSCAN_OBJECT, meta.kind == JSCAN_OBJECT, crosses ? more : "");
	if (m->members.len > 0)
		jsplice_insert(s, params.kind == JSCAN_OBJECT ? params : root,
			(const char *)m->members.data, m->members.len);
	return m->extra.failed || m->meta.failed || m->members.failed ? RC_LIMIT : RC_OK;
}

void upstream_meta_free(struct upstream_meta *m)
{
	buf_free(&m->extra);
	buf_free(&m->meta);
	buf_free(&m->members);
}
