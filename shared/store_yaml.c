/* The import of a state YAML. Its format is in docs/state.md; the export is in store_export.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/apikey.h"
#include "shared/buf.h"
#include "shared/clock.h"
#include "shared/file.h"
#include "shared/mem.h"
#include "shared/store.h"
#include "shared/store_sql.h"
#include "shared/text.h"
#include "shared/yaml_read.h"

#define IMPORT_MAX 8388608 /* 8 MiB */
/* More than fit into such a file, but YAML aliases can say one part many times. */
#define ITEMS_MAX 200000
#define RATE_MAX 1000000000

/* One import: the document, where errors go, and the tenant at hand. */
struct import {
	struct db *db;
	struct yaml_read yaml;
	int64_t now;
	int64_t began; /* the version counter then: what has a higher one is of this import */
	char tenant_id[STORE_ID_MAX + 1];
	size_t items, tenants, keys, workers;
};

/* A name for people; fallback when there is none. */
static enum rc name_of(
	struct import *im, const yaml_node_t *map, const char *fallback, const char **out)
{
	enum rc rc = yaml_read_text(&im->yaml, map, "name", out);

	if (rc != RC_OK)
		return rc;
	if (!*out)
		*out = fallback;
	if (!text_name_ok(*out, STORE_NAME_MAX))
		return yaml_read_bad(&im->yaml, map,
			"a name is 1 to 120 bytes long, without control characters");
	return RC_OK;
}

/* 0, or since when: "revoked: true" has no time of its own. */
static enum rc revoked_of(struct import *im, const yaml_node_t *map, int64_t *out)
{
	bool revoked;
	enum rc rc = yaml_read_bool(&im->yaml, map, "revoked", &revoked);

	if (rc == RC_OK)
		rc = yaml_read_time(&im->yaml, map, "revoked_at", revoked ? im->now : 0, out);
	return rc;
}

static enum rc count_item(struct import *im, const yaml_node_t *item)
{
	return ++im->items > ITEMS_MAX ? yaml_read_bad(&im->yaml, item, "there are too many items")
				       : RC_OK;
}

static bool only(const char *text, const char *chars, size_t max)
{
	size_t len = strnlen(text, max + 1);

	return len > 0 && len <= max && strspn(text, chars) == len;
}

/* --- API keys -------------------------------------------------------------------------- */

static const char lower_digits[] = "abcdefghijklmnopqrstuvwxyz0123456789-";

/* The allow-list as JSON text into tools; NULL in *out when there is none: all tools. */
static enum rc tools_of(
	struct import *im, const yaml_node_t *map, struct buf *tools, const char **out)
{
	const yaml_node_t *list = yaml_read_member(&im->yaml, map, "tools");

	*out = NULL;
	if (!list)
		return RC_OK;
	if (list->type != YAML_SEQUENCE_NODE)
		return yaml_read_bad(&im->yaml, list, "tools is a list of tool names");
	buf_char(tools, '[');
	for (yaml_node_item_t *i = list->data.sequence.items.start;
		i < list->data.sequence.items.top; i++) {
		const yaml_node_t *node = yaml_document_get_node(&im->yaml.doc, *i);
		const char *name = yaml_read_scalar(node);

		if (!name)
			return yaml_read_bad(&im->yaml, node, "a tool's name is expected here");
		if (tools->len > 1)
			buf_char(tools, ',');
		buf_json(tools, name);
	}
	buf_char(tools, ']');
	buf_char(tools, '\0');
	if (tools->failed)
		return yaml_read_bad(&im->yaml, list, "this list of tools is too long");
	*out = (const char *)tools->data;
	return RC_OK;
}

/* Everything but the tools. The texts are borrowed from the document or from key and made. */
static enum rc read_key(struct import *im, const yaml_node_t *item, const char *key,
	const char *made, struct api_key *k)
{
	const char *id = NULL, *name = NULL, *hash = NULL;
	enum rc rc = yaml_read_text(&im->yaml, item, "hash", &hash);

	if (rc == RC_OK &&
		(!hash || !apikey_hash_readable(hash) || !str_copy(k->hash, sizeof(k->hash), hash)))
		return yaml_read_bad(&im->yaml, item, "an API key needs its Argon2id hash");
	if (rc == RC_OK)
		rc = yaml_read_text(&im->yaml, item, "id", &id);
	if (!id)
		id = key ? key : made;
	if (rc == RC_OK && !only(id, lower_digits, 64))
		return yaml_read_bad(
			&im->yaml, item, "an API key's id is 1 to 64 of a-z, 0-9 and '-'");
	if (rc == RC_OK)
		rc = name_of(im, item, "imported", &name);
	if (rc == RC_OK)
		rc = yaml_read_time(&im->yaml, item, "created_at", im->now, &k->created_at);
	if (rc == RC_OK)
		rc = yaml_read_time(&im->yaml, item, "expires_at", 0, &k->expires_at);
	if (rc == RC_OK)
		rc = revoked_of(im, item, &k->revoked_at);
	if (rc == RC_OK)
		rc = yaml_read_number(
			&im->yaml, item, "rate_per_minute", RATE_MAX, -1, &k->rate_per_minute);
	if (rc != RC_OK)
		return rc;
	str_copy(k->id, sizeof(k->id), id);
	str_copy(k->name, sizeof(k->name), name);
	return RC_OK;
}

static enum rc insert_key(struct import *im, const struct api_key *k, const char *tools)
{
	int64_t version;
	enum rc rc = sql_next_version(im->db, &version);

	return rc != RC_OK
		? rc
		: sql_exec(im->db, NULL,
			  "INSERT INTO api_keys (id, tenant_id, name, hash, tools, rate_per_minute,"
			  " created_at, expires_at, revoked_at, version)"
			  " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			  "sssssiiiii", k->id, im->tenant_id, k->name, k->hash, tools,
			  k->rate_per_minute, k->created_at, k->expires_at, k->revoked_at, version);
}

static enum rc import_key(void *ctx, const yaml_node_t *item, const char *key)
{
	struct import *im = ctx;
	struct apikey_text made;
	struct api_key k = {.version = 0};
	const char *tools;
	struct buf b;
	enum rc rc = count_item(im, item);

	buf_init(&b, STORE_TOOLS_MAX + 1);
	apikey_new("alk", &made);
	if (rc == RC_OK)
		rc = read_key(im, item, key, made.id, &k);
	if (rc == RC_OK)
		rc = tools_of(im, item, &b, &tools);
	if (rc == RC_OK)
		rc = insert_key(im, &k, tools);
	if (rc == RC_CONFLICT)
		rc = yaml_read_bad(&im->yaml, item, "an API key with this id is there already");
	if (rc == RC_OK)
		im->keys++;
	mem_wipe(&made, sizeof(made));
	api_key_clear(&k);
	buf_free(&b);
	return rc;
}

/* --- workers ------------------------------------------------------------------------------ */

static const char id_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

/* Everything but version and last_seen_at, which the worker says itself when it comes back. */
static enum rc read_worker(
	struct import *im, const yaml_node_t *item, const char *key, struct worker *w)
{
	const char *b64 = NULL, *id = NULL, *name = NULL;
	size_t len = 0;
	enum rc rc = yaml_read_text(&im->yaml, item, "public_key", &b64);

	if (rc == RC_OK &&
		(!b64 ||
			text_unb64(b64, strlen(b64), w->public_key, CRYPTO_PUBLIC_LEN, &len) !=
				RC_OK ||
			len != CRYPTO_PUBLIC_LEN))
		return yaml_read_bad(
			&im->yaml, item, "a worker needs its public_key: 32 bytes in base64");
	if (rc == RC_OK)
		rc = yaml_read_text(&im->yaml, item, "id", &id);
	if (!id)
		id = key;
	if (rc == RC_OK && !id)
		crypto_id("w", w->id, sizeof(w->id));
	else if (rc == RC_OK && !only(id, id_chars, STORE_ID_MAX))
		return yaml_read_bad(&im->yaml, item,
			"a worker's id is 1 to 79 letters, digits, '.', '_' and '-'");
	else if (rc == RC_OK)
		str_copy(w->id, sizeof(w->id), id);
	if (rc == RC_OK)
		rc = name_of(im, item, w->id, &name);
	if (rc == RC_OK)
		rc = yaml_read_time(&im->yaml, item, "enrolled_at", im->now, &w->enrolled_at);
	if (rc == RC_OK)
		rc = revoked_of(im, item, &w->revoked_at);
	if (rc == RC_OK)
		str_copy(w->name, sizeof(w->name), name);
	return rc;
}

static enum rc import_worker(void *ctx, const yaml_node_t *item, const char *key)
{
	struct import *im = ctx;
	struct worker w = {.enrolled_at = 0};
	enum rc rc = count_item(im, item);

	if (rc == RC_OK)
		rc = read_worker(im, item, key, &w);
	if (rc == RC_OK)
		rc = sql_exec(im->db, NULL,
			"INSERT INTO workers (id, tenant_id, name, public_key, enrolled_at,"
			" revoked_at) VALUES (?, ?, ?, ?, ?, ?)",
			"sssbii", w.id, im->tenant_id, w.name, w.public_key, sizeof(w.public_key),
			w.enrolled_at, w.revoked_at);
	if (rc == RC_CONFLICT)
		return yaml_read_bad(
			&im->yaml, item, "a worker with this id or public key is there already");
	if (rc == RC_OK)
		im->workers++;
	return rc;
}

/* --- pinned tools ------------------------------------------------------------------------- */

/* The name is the definition's own, and the fingerprint follows from it. */
static enum rc read_pin(struct import *im, const yaml_node_t *item, const char **definition,
	const char **by, struct tool_pin *p)
{
	uint8_t hash[CRYPTO_HASH_LEN];
	struct jscan tool, name;
	enum rc rc = yaml_read_text(&im->yaml, item, "definition", definition);

	if (rc == RC_OK &&
		(!*definition || jscan_parse(*definition, strlen(*definition), &tool) != RC_OK ||
			jscan_get(tool, "name", &name) != RC_OK ||
			jscan_str(name, p->tool, sizeof(p->tool)) != RC_OK ||
			!manifest_tool_ok(p->tool)))
		return yaml_read_bad(
			&im->yaml, item, "a pinned tool needs its definition: JSON with a name");
	if (rc == RC_OK)
		rc = yaml_read_text(&im->yaml, item, "pinned_by", by);
	if (rc == RC_OK && !*by)
		*by = "imported";
	if (rc == RC_OK && !text_name_ok(*by, STORE_NAME_MAX))
		return yaml_read_bad(&im->yaml, item,
			"pinned_by is 1 to 120 bytes long, without control characters");
	if (rc == RC_OK)
		rc = yaml_read_time(&im->yaml, item, "pinned_at", im->now, &p->pinned_at);
	if (rc != RC_OK)
		return rc;
	toolset_fingerprint(*definition, strlen(*definition), hash);
	toolset_fingerprint_text(hash, p->fingerprint);
	return RC_OK;
}

static enum rc import_pin(void *ctx, const yaml_node_t *item, const char *key)
{
	const char *definition = NULL, *by = NULL;
	struct import *im = ctx;
	struct tool_pin p = {.pinned_at = 0};
	enum rc rc = count_item(im, item);

	(void)key;
	if (rc == RC_OK)
		rc = read_pin(im, item, &definition, &by, &p);
	if (rc == RC_OK)
		rc = sql_exec(im->db, NULL,
			"INSERT INTO tool_pins (tenant_id, tool, fingerprint, definition,"
			" pinned_at, pinned_by) VALUES (?, ?, ?, ?, ?, ?)",
			"ssssis", im->tenant_id, p.tool, p.fingerprint, definition, p.pinned_at,
			by);
	if (rc == RC_CONFLICT)
		return yaml_read_bad(&im->yaml, item, "this tool is pinned already");
	return rc;
}

/* --- tenants ------------------------------------------------------------------------------- */

/* The id is always t_<slug>; either can be left out. */
static enum rc read_ids(
	struct import *im, const yaml_node_t *item, const char *key, struct tenant *t)
{
	const char *id = NULL, *slug = NULL;
	enum rc rc = yaml_read_text(&im->yaml, item, "slug", &slug);

	if (rc == RC_OK)
		rc = yaml_read_text(&im->yaml, item, "id", &id);
	if (rc != RC_OK)
		return rc;
	if (!id)
		id = key;
	if (id && strncmp(id, "t_", 2) == 0)
		id += 2;
	if (!slug)
		slug = id;
	if (!slug || !text_slug_ok(slug))
		return yaml_read_bad(&im->yaml, item, "a tenant needs a slug of a-z, 0-9 and '-'");
	if (id && strcmp(id, slug) != 0)
		return yaml_read_bad(&im->yaml, item, "a tenant's id must be t_ and its slug");
	snprintf(t->id, sizeof(t->id), "t_%s", slug);
	str_copy(t->slug, sizeof(t->slug), slug);
	return RC_OK;
}

static enum rc read_tenant(
	struct import *im, const yaml_node_t *item, const char *key, struct tenant *t)
{
	const char *name = NULL, *org = NULL;
	enum rc rc = read_ids(im, item, key, t);

	if (rc == RC_OK)
		rc = name_of(im, item, t->slug, &name);
	if (rc == RC_OK)
		rc = yaml_read_text(&im->yaml, item, "org_id", &org);
	if (rc == RC_OK && !org)
		org = STORE_ORG_DEFAULT;
	if (rc == RC_OK && !only(org, id_chars, STORE_ID_MAX))
		return yaml_read_bad(
			&im->yaml, item, "an org_id is 1 to 79 letters, digits, '.', '_' and '-'");
	if (rc == RC_OK)
		rc = yaml_read_bool(&im->yaml, item, "suspended", &t->suspended);
	if (rc == RC_OK)
		rc = yaml_read_time(&im->yaml, item, "created_at", im->now, &t->created_at);
	if (rc != RC_OK)
		return rc;
	str_copy(t->name, sizeof(t->name), name);
	str_copy(t->org_id, sizeof(t->org_id), org);
	return RC_OK;
}

static enum rc insert_tenant(struct import *im, struct tenant *t)
{
	enum rc rc = sql_next_version(im->db, &t->version);

	if (rc == RC_OK)
		rc = sql_exec(im->db, NULL,
			"INSERT INTO orgs (id, name, created_at) VALUES (?1, ?1, ?2)"
			" ON CONFLICT DO NOTHING",
			"si", t->org_id, im->now);
	if (rc == RC_OK)
		rc = sql_exec(im->db, NULL,
			"INSERT INTO tenants (id, slug, name, org_id, suspended, created_at, "
			"version)"
			" VALUES (?, ?, ?, ?, ?, ?, ?)",
			"ssssiii", t->id, t->slug, t->name, t->org_id, (int64_t)t->suspended,
			t->created_at, t->version);
	if (rc == RC_OK)
		im->tenants++;
	return rc;
}

/* A tenant that was there before the import stays as it is and gets the keys and workers. */
static enum rc import_tenant(void *ctx, const yaml_node_t *item, const char *key)
{
	struct import *im = ctx;
	struct tenant t = {.version = 0}, before;
	enum rc rc = count_item(im, item);

	if (rc == RC_OK)
		rc = read_tenant(im, item, key, &t);
	if (rc != RC_OK)
		return rc;
	rc = tenant_get(im->db, t.id, &before);
	if (rc == RC_OK && before.version > im->began)
		return yaml_read_bad(&im->yaml, item, "this tenant is there twice");
	if (rc == RC_NOTFOUND)
		rc = insert_tenant(im, &t);
	str_copy(im->tenant_id, sizeof(im->tenant_id), t.id);
	if (rc == RC_OK)
		rc = yaml_read_walk(
			&im->yaml, yaml_read_member(&im->yaml, item, "api_keys"), import_key, im);
	if (rc == RC_OK)
		rc = yaml_read_walk(
			&im->yaml, yaml_read_member(&im->yaml, item, "workers"), import_worker, im);
	if (rc == RC_OK)
		rc = yaml_read_walk(
			&im->yaml, yaml_read_member(&im->yaml, item, "tool_pins"), import_pin, im);
	return rc;
}

/* --- the document --------------------------------------------------------------------------- */

static enum rc imported(struct db *db)
{
	return sql_exists(db, "SELECT 1 FROM meta WHERE name = ?", "imported");
}

static enum rc mark_imported(const struct import *im)
{
	struct audit_record who;
	struct buf change;
	enum rc rc;

	audit_init(&who, "");
	str_copy(who.actor_kind, sizeof(who.actor_kind), "system");
	buf_init(&change, AUDIT_CHANGE_MAX);
	buf_printf(&change, "{\"tenants\":%zu,\"api_keys\":%zu,\"workers\":%zu}", im->tenants,
		im->keys, im->workers);
	rc = store_record(im->db, &who, "state.import", "", "", &change);
	buf_free(&change);
	if (rc != RC_OK)
		return rc;
	return sql_exec(
		im->db, NULL, "INSERT INTO meta (name, value) VALUES ('imported', datetime())", "");
}

static enum rc import_root(struct import *im)
{
	const yaml_node_t *root = yaml_document_get_root_node(&im->yaml.doc);
	enum rc rc;

	if (root && !yaml_read_is_null(root) && root->type != YAML_MAPPING_NODE)
		return yaml_read_bad(
			&im->yaml, root, "a mapping with the member tenants is expected here");
	rc = sql_next_version(im->db, &im->began);
	if (rc == RC_OK)
		rc = yaml_read_walk(
			&im->yaml, yaml_read_member(&im->yaml, root, "tenants"), import_tenant, im);
	return rc == RC_OK ? mark_imported(im) : rc;
}

static enum rc import_document(struct import *im)
{
	struct sql_change c;
	enum rc rc = sql_change_begin(im->db, &c);

	if (rc != RC_OK)
		return rc;
	/* Looked at again under the write lock: the other daemon may have imported meanwhile. */
	rc = imported(im->db);
	if (rc == RC_NOTFOUND)
		rc = import_root(im);
	return sql_change_end(&c, rc);
}

static enum rc read_and_import(struct import *im)
{
	char *text;
	size_t len;
	enum rc rc = file_read(im->yaml.path, IMPORT_MAX, &text, &len);

	if (rc != RC_OK) {
		snprintf(im->yaml.err, im->yaml.err_cap,
			rc == RC_LIMIT ? "%s is longer than 8 MiB" : "%s can't be read",
			im->yaml.path);
		return rc;
	}
	rc = yaml_read_parse(&im->yaml, text, len);
	if (rc == RC_OK) {
		rc = import_document(im);
		yaml_document_delete(&im->yaml.doc);
	}
	mem_wipe(text, len);
	free(text);
	return rc;
}

enum rc state_import(struct db *db, const char *path, char *err, size_t err_cap)
{
	struct import im = {.db = db, .yaml = {.path = path, .err = err, .err_cap = err_cap}};
	enum rc rc = imported(db);

	if (rc == RC_OK)
		return RC_OK;
	snprintf(err, err_cap, "the state database can't be read or written");
	im.now = clock_wall_s();
	return rc == RC_NOTFOUND ? read_and_import(&im) : rc;
}
