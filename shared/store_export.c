/* The export of the state YAML: what state_import() reads. Its format is in docs/state.md. */
#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/jscan.h"
#include "shared/mem.h"
#include "shared/store.h"
#include "shared/store_sql.h"
#include "shared/text.h"

#define PAGE 100

static unsigned code_point(const unsigned char *s, size_t len)
{
	static const unsigned char first_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	unsigned code = s[0] & first_bits[len];

	for (size_t i = 1; i < len; i++)
		code = code << 6 | (s[i] & 0x3f);
	return code;
}

/* Characters that a YAML reader refuses, or takes for the end of a line. */
static bool needs_escape(unsigned code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 ||
		code == 0xfeff || (code & 0xfffe) == 0xfffe;
}

/* A double-quoted scalar. The text is UTF-8: it came out of the state. */
static void put_quoted(struct buf *b, const char *s)
{
	size_t len = strlen(s), step;

	buf_char(b, '"');
	for (size_t i = 0; i < len; i += step) {
		unsigned code;

		step = text_utf8_len(s + i, len - i);
		if (step == 0)
			step = 1;
		code = code_point((const unsigned char *)s + i, step);
		if (needs_escape(code)) {
			buf_printf(b, "\\U%08x", code);
			continue;
		}
		if (code == '"' || code == '\\')
			buf_char(b, '\\');
		buf_add(b, s + i, step);
	}
	buf_char(b, '"');
}

static void put_text(struct buf *b, const char *lead, const char *value)
{
	buf_str(b, lead);
	put_quoted(b, value);
	buf_char(b, '\n');
}

static void put_time(struct buf *b, const char *lead, int64_t seconds)
{
	char text[CLOCK_TEXT_LEN + 1];

	clock_text(seconds * 1000, text);
	put_text(b, lead, text);
}

static void put_tools(struct buf *b, const char *json)
{
	char name[STORE_TOOLS_MAX + 1];
	struct jscan list, key, value;
	struct jscan_iter it;
	const char *comma = "";

	/* What can't be read allows nothing. */
	buf_str(b, "        tools: [");
	if (jscan_parse(json, strlen(json), &list) == RC_OK) {
		it = jscan_iter(list);
		while (jscan_next(&it, &key, &value)) {
			if (jscan_str(value, name, sizeof(name)) != RC_OK)
				continue;
			buf_str(b, comma);
			put_quoted(b, name);
			comma = ", ";
		}
	}
	buf_str(b, "]\n");
}

static void put_key(struct buf *b, const struct api_key *k)
{
	put_text(b, "      - id: ", k->id);
	put_text(b, "        name: ", k->name);
	put_text(b, "        hash: ", k->hash);
	put_time(b, "        created_at: ", k->created_at);
	if (k->expires_at)
		put_time(b, "        expires_at: ", k->expires_at);
	if (k->rate_per_minute >= 0)
		buf_printf(b, "        rate_per_minute: %lld\n", (long long)k->rate_per_minute);
	if (k->tools)
		put_tools(b, k->tools);
}

/* Keys that work: a reader that knows nothing of revocation or expiry must not bring one back. */
static enum rc export_keys(struct db *db, struct buf *b, const char *tenant_id)
{
	char after[STORE_CURSOR_MAX + 1] = "", next[STORE_CURSOR_MAX + 1];
	int64_t now = clock_wall_s();
	struct api_key *list;
	size_t count, n = 0;
	enum rc rc;

	buf_str(b, "    api_keys:");
	do {
		rc = api_key_list(db, tenant_id, after, PAGE, &list, &count, next);
		if (rc != RC_OK)
			return rc;
		for (size_t i = 0; i < count; i++) {
			if (list[i].revoked_at || (list[i].expires_at && list[i].expires_at <= now))
				continue;
			buf_str(b, n++ ? "" : "\n");
			put_key(b, &list[i]);
		}
		api_key_list_free(list, count);
		memcpy(after, next, sizeof(after));
	} while (*after);
	buf_str(b, n ? "" : " []\n");
	return RC_OK;
}

static void put_worker(struct buf *b, const struct worker *w)
{
	char b64[TEXT_B64_LEN(CRYPTO_PUBLIC_LEN) + 1];

	text_b64(w->public_key, sizeof(w->public_key), b64);
	put_text(b, "      - id: ", w->id);
	put_text(b, "        name: ", w->name);
	put_text(b, "        public_key: ", b64);
	put_time(b, "        enrolled_at: ", w->enrolled_at);
}

static enum rc export_workers(struct db *db, struct buf *b, const char *tenant_id)
{
	char after[STORE_CURSOR_MAX + 1] = "", next[STORE_CURSOR_MAX + 1];
	struct worker *list;
	size_t count, n = 0;
	enum rc rc;

	buf_str(b, "    workers:");
	do {
		rc = worker_list(db, tenant_id, after, PAGE, &list, &count, next);
		if (rc != RC_OK)
			return rc;
		for (size_t i = 0; i < count; i++) {
			if (list[i].revoked_at)
				continue;
			buf_str(b, n++ ? "" : "\n");
			put_worker(b, &list[i]);
		}
		free(list);
		memcpy(after, next, sizeof(after));
	} while (*after);
	buf_str(b, n ? "" : " []\n");
	return RC_OK;
}

static void put_pin(struct buf *b, const struct tool_pin *p)
{
	put_text(b, "      - definition: ", p->definition);
	put_text(b, "        fingerprint: ", p->fingerprint);
	put_time(b, "        pinned_at: ", p->pinned_at);
	put_text(b, "        pinned_by: ", p->pinned_by);
}

static enum rc export_pins(struct db *db, struct buf *b, const char *tenant_id)
{
	struct tool_pin *list = NULL, one = {0};
	size_t count = 0;
	enum rc rc = tool_pin_list(db, tenant_id, &list, &count);

	for (size_t i = 0; rc == RC_OK && i < count; i++) {
		rc = tool_pin_get(db, tenant_id, list[i].tool, &one);
		if (rc != RC_OK)
			break;
		buf_str(b, i == 0 ? "    tool_pins:\n" : "");
		put_pin(b, &one);
		tool_pin_clear(&one);
	}
	free(list);
	return rc;
}

static enum rc export_tenant(struct db *db, struct buf *b, const struct tenant *t)
{
	enum rc rc;

	put_text(b, "  - id: ", t->id);
	put_text(b, "    slug: ", t->slug);
	put_text(b, "    name: ", t->name);
	if (strcmp(t->org_id, STORE_ORG_DEFAULT) != 0)
		put_text(b, "    org_id: ", t->org_id);
	if (t->suspended)
		buf_str(b, "    suspended: true\n");
	put_time(b, "    created_at: ", t->created_at);
	rc = export_keys(db, b, t->id);
	if (rc == RC_OK)
		rc = export_workers(db, b, t->id);
	return rc == RC_OK ? export_pins(db, b, t->id) : rc;
}

static enum rc export_all(struct db *db, struct buf *b)
{
	char after[STORE_CURSOR_MAX + 1] = "", next[STORE_CURSOR_MAX + 1];
	struct tenant *list;
	size_t count, n = 0;
	enum rc rc;

	buf_str(b, "tenants:");
	do {
		rc = tenant_list(db, NULL, after, PAGE, &list, &count, next);
		if (rc != RC_OK)
			return rc;
		for (size_t i = 0; rc == RC_OK && i < count; i++) {
			buf_str(b, n++ ? "" : "\n");
			rc = export_tenant(db, b, &list[i]);
		}
		free(list);
		memcpy(after, next, sizeof(after));
	} while (rc == RC_OK && *after);
	buf_str(b, n ? "" : " []\n");
	return rc == RC_OK && b->failed ? RC_LIMIT : rc;
}

enum rc state_export(struct db *db, struct buf *yaml)
{
	bool own = !db->in_transaction;
	/* One point in time, without keeping writers out. */
	enum rc rc = own ? sql_run(db, "BEGIN") : RC_OK;

	if (rc != RC_OK)
		return rc;
	rc = export_all(db, yaml);
	if (own)
		db_rollback(db);
	return rc;
}
