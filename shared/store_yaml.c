#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "shared/apikey.h"
#include "shared/buf.h"
#include "shared/clock.h"
#include "shared/file.h"
#include "shared/mem.h"
#include "shared/store.h"
#include "shared/store_sql.h"
#include "shared/text.h"

#define IMPORT_MAX (8 * 1024 * 1024)

/* One import: the document, where errors go, and the tenant at hand. */
struct import {
	struct db *db;
	yaml_document_t doc;
	char *err;
	size_t err_cap;
	const char *path;
	char tenant_id[STORE_ID_MAX + 1];
};

static enum rc bad(const struct import *im, const yaml_node_t *node, const char *what)
{
	snprintf(im->err, im->err_cap, "%s:%zu: %s", im->path, node ? node->start_mark.line + 1 : 1, what);
	return RC_INVALID;
}

static yaml_node_t *member(struct import *im, yaml_node_t *map, const char *name)
{
	if (!map || map->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
		yaml_node_t *key = yaml_document_get_node(&im->doc, p->key);

		if (key && key->type == YAML_SCALAR_NODE && strcmp((char *)key->data.scalar.value, name) == 0)
			return yaml_document_get_node(&im->doc, p->value);
	}
	return NULL;
}

/* A scalar member, or NULL. */
static const char *scalar(struct import *im, yaml_node_t *map, const char *name)
{
	yaml_node_t *node = member(im, map, name);

	return node && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

static int64_t time_of(struct import *im, yaml_node_t *map, const char *name)
{
	const char *text = scalar(im, map, name);
	int64_t ms;

	if (!text)
		return clock_wall_s();
	return clock_parse(text, &ms) == RC_OK ? ms / 1000 : strtoll(text, NULL, 10);
}

/* Calls each for the values of a sequence, or of a mapping (whose key is then the item's id). */
static enum rc walk(struct import *im, yaml_node_t *list, enum rc (*each)(struct import *im, yaml_node_t *item, const char *key))
{
	enum rc rc = RC_OK;

	if (!list || (list->type == YAML_SCALAR_NODE && list->data.scalar.length == 0))
		return RC_OK;
	if (list->type == YAML_SEQUENCE_NODE) {
		for (yaml_node_item_t *i = list->data.sequence.items.start; rc == RC_OK && i < list->data.sequence.items.top; i++)
			rc = each(im, yaml_document_get_node(&im->doc, *i), NULL);
		return rc;
	}
	if (list->type != YAML_MAPPING_NODE)
		return bad(im, list, "a list or a mapping is expected here");
	for (yaml_node_pair_t *p = list->data.mapping.pairs.start; rc == RC_OK && p < list->data.mapping.pairs.top; p++) {
		yaml_node_t *key = yaml_document_get_node(&im->doc, p->key);

		if (key->type != YAML_SCALAR_NODE)
			return bad(im, key, "an id is expected here");
		rc = each(im, yaml_document_get_node(&im->doc, p->value), (const char *)key->data.scalar.value);
	}
	return rc;
}

static enum rc import_key(struct import *im, yaml_node_t *item, const char *key)
{
	const char *hash = scalar(im, item, "hash"), *id = scalar(im, item, "id"), *name = scalar(im, item, "name");
	struct apikey_text made;
	int64_t version;
	enum rc rc;

	if (!hash || strncmp(hash, "$argon2id$", 10) != 0 || strlen(hash) >= sizeof ((struct api_key *)0)->hash)
		return bad(im, item, "an API key needs its Argon2id hash");
	apikey_new("alk", &made);
	id = id ? id : key ? key : made.id;
	if (strlen(id) > 64 || id[strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-")])
		return bad(im, item, "an API key's id is 1 to 64 of a-z, 0-9 and '-'");
	rc = sql_next_version(im->db, &version);
	if (rc == RC_OK)
		rc = sql_exec(im->db, NULL, "INSERT INTO api_keys (id, tenant_id, name, hash, created_at, version) VALUES (?, ?, ?, ?, ?, ?)",
			"ssssii", id, im->tenant_id, name && *name ? name : "imported", hash, time_of(im, item, "created_at"), version);
	mem_wipe(&made, sizeof made);
	return rc == RC_CONFLICT ? bad(im, item, "this API key's id is there twice") : rc;
}

static enum rc import_worker(struct import *im, yaml_node_t *item, const char *key)
{
	const char *b64 = scalar(im, item, "public_key"), *id = scalar(im, item, "id"), *name = scalar(im, item, "name");
	uint8_t public_key[CRYPTO_PUBLIC_LEN];
	char made[STORE_ID_MAX + 1];
	size_t len;
	enum rc rc;

	if (!b64 || text_unb64(b64, strlen(b64), public_key, sizeof public_key, &len) != RC_OK || len != sizeof public_key)
		return bad(im, item, "a worker needs its public_key: 32 bytes of base64");
	crypto_id("w", made, sizeof made);
	id = id ? id : key ? key : made;
	if (!*id || strlen(id) > STORE_ID_MAX)
		return bad(im, item, "a worker's id is 1 to 79 characters long");
	rc = sql_exec(im->db, NULL, "INSERT INTO workers (id, tenant_id, name, public_key, enrolled_at) VALUES (?, ?, ?, ?, ?)", "sssbi", id,
		im->tenant_id, name && *name ? name : id, public_key, sizeof public_key, time_of(im, item, "enrolled_at"));
	return rc == RC_CONFLICT ? bad(im, item, "this worker is there twice") : rc;
}

static enum rc import_tenant(struct import *im, yaml_node_t *item, const char *key)
{
	const char *id = scalar(im, item, "id"), *slug = scalar(im, item, "slug"), *name = scalar(im, item, "name");
	int64_t version;
	enum rc rc;

	id = id ? id : key;
	if (!slug && id)
		slug = strncmp(id, "t_", 2) == 0 ? id + 2 : id;
	if (!slug || !text_slug_ok(slug))
		return bad(im, item, "a tenant needs a slug of a-z, 0-9 and '-'");
	snprintf(im->tenant_id, sizeof im->tenant_id, "t_%s", slug);
	rc = sql_next_version(im->db, &version);
	if (rc == RC_OK)
		rc = sql_exec(im->db, NULL, "INSERT INTO tenants (id, slug, name, org_id, suspended, created_at, version) VALUES (?, ?, ?, ?, ?, ?, ?)",
			"ssssiii", im->tenant_id, slug, name && *name ? name : slug, STORE_ORG_DEFAULT,
			(int64_t)(scalar(im, item, "suspended") && strcmp(scalar(im, item, "suspended"), "true") == 0),
			time_of(im, item, "created_at"), version);
	if (rc == RC_CONFLICT)
		return bad(im, item, "this tenant is there twice");
	if (rc == RC_OK)
		rc = walk(im, member(im, item, "api_keys"), import_key);
	if (rc == RC_OK)
		rc = walk(im, member(im, item, "workers"), import_worker);
	return rc;
}

static enum rc mark_imported(struct db *db)
{
	struct audit_record r;

	audit_init(&r, "state.import");
	str_copy(r.actor_kind, sizeof r.actor_kind, "system");
	str_copy(r.outcome, sizeof r.outcome, "ok");
	if (outbox_put(db, &r) != RC_OK)
		return RC_INTERNAL;
	return sql_exec(db, NULL, "INSERT INTO meta (name, value) VALUES ('imported', datetime())", "");
}

static enum rc imported(struct db *db)
{
	sqlite3_stmt *st = sql_prepare(db, "SELECT 1 FROM meta WHERE name = 'imported'");
	enum rc rc = st ? sql_step(db, st) : RC_INTERNAL;

	if (st)
		sqlite3_reset(st);
	return rc;
}

static enum rc parse(struct import *im, const char *text, size_t len)
{
	yaml_parser_t parser;
	enum rc rc = RC_OK;

	if (!yaml_parser_initialize(&parser))
		return RC_INTERNAL;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	if (!yaml_parser_load(&parser, &im->doc)) {
		snprintf(im->err, im->err_cap, "%s:%zu: %s", im->path, parser.problem_mark.line + 1,
			parser.problem ? parser.problem : "not valid YAML");
		rc = RC_INVALID;
	}
	yaml_parser_delete(&parser);
	return rc;
}

static enum rc import_document(struct import *im)
{
	struct sql_change c;
	enum rc rc = sql_change_begin(im->db, &c);

	if (rc != RC_OK)
		return rc;
	/* Looked at again under the write lock: the other daemon may have imported meanwhile. */
	if (imported(im->db) == RC_NOTFOUND) {
		rc = walk(im, member(im, yaml_document_get_root_node(&im->doc), "tenants"), import_tenant);
		if (rc == RC_OK)
			rc = mark_imported(im->db);
	}
	return sql_change_end(&c, rc);
}

enum rc state_import(struct db *db, const char *path, char *err, size_t err_cap)
{
	struct import im = {.db = db, .err = err, .err_cap = err_cap, .path = path};
	char *text;
	size_t len;
	enum rc rc = imported(db);

	if (rc != RC_NOTFOUND)
		return rc;
	rc = file_read(path, IMPORT_MAX, &text, &len);
	if (rc != RC_OK) {
		snprintf(err, err_cap, "%s: can't be read", path);
		return rc;
	}
	rc = parse(&im, text, len);
	if (rc == RC_OK) {
		rc = import_document(&im);
		yaml_document_delete(&im.doc);
	}
	mem_wipe(text, len);
	free(text);
	return rc;
}

static void put_time(struct buf *b, const char *indent, const char *name, int64_t seconds)
{
	char text[CLOCK_TEXT_LEN + 1];

	clock_text(seconds * 1000, text);
	buf_printf(b, "%s%s: \"%s\"\n", indent, name, text);
}

/* A JSON string is a YAML double-quoted scalar. */
static void put_text(struct buf *b, const char *lead, const char *name, const char *value)
{
	buf_printf(b, "%s%s: ", lead, name);
	buf_json(b, value);
	buf_char(b, '\n');
}

static enum rc export_keys(struct db *db, struct buf *yaml, const char *tenant_id)
{
	sqlite3_stmt *st = sql_prepare(db, "SELECT id, name, hash, created_at FROM api_keys WHERE tenant_id = ? AND revoked_at = 0 ORDER BY id");
	enum rc rc;

	if (!sql_bind(st, "s", tenant_id))
		return RC_INTERNAL;
	buf_str(yaml, "    api_keys:\n");
	while ((rc = sql_step(db, st)) == RC_OK) {
		put_text(yaml, "      - ", "id", (const char *)sqlite3_column_text(st, 0));
		put_text(yaml, "        ", "name", (const char *)sqlite3_column_text(st, 1));
		put_text(yaml, "        ", "hash", (const char *)sqlite3_column_text(st, 2));
		put_time(yaml, "        ", "created_at", sql_int(st, 3));
	}
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc export_workers(struct db *db, struct buf *yaml, const char *tenant_id)
{
	sqlite3_stmt *st = sql_prepare(db, "SELECT id, name, public_key, enrolled_at FROM workers WHERE tenant_id = ? AND revoked_at = 0 ORDER BY id");
	char b64[TEXT_B64_LEN(CRYPTO_PUBLIC_LEN) + 1];
	enum rc rc;

	if (!sql_bind(st, "s", tenant_id))
		return RC_INTERNAL;
	buf_str(yaml, "    workers:\n");
	while ((rc = sql_step(db, st)) == RC_OK) {
		text_b64(sqlite3_column_blob(st, 2), (size_t)sqlite3_column_bytes(st, 2), b64);
		put_text(yaml, "      - ", "id", (const char *)sqlite3_column_text(st, 0));
		put_text(yaml, "        ", "name", (const char *)sqlite3_column_text(st, 1));
		put_text(yaml, "        ", "public_key", b64);
		put_time(yaml, "        ", "enrolled_at", sql_int(st, 3));
	}
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc export_tenant(struct db *db, struct buf *yaml, const struct tenant *t)
{
	enum rc rc;

	put_text(yaml, "  - ", "id", t->id);
	put_text(yaml, "    ", "slug", t->slug);
	put_text(yaml, "    ", "name", t->name);
	buf_printf(yaml, "    suspended: %s\n", t->suspended ? "true" : "false");
	put_time(yaml, "    ", "created_at", t->created_at);
	rc = export_keys(db, yaml, t->id);
	return rc == RC_OK ? export_workers(db, yaml, t->id) : rc;
}

enum rc state_export(struct db *db, struct buf *yaml)
{
	char after[STORE_CURSOR_MAX + 1] = "";
	struct tenant *list;
	size_t count;
	enum rc rc;

	buf_str(yaml, "tenants:\n");
	do {
		char next[STORE_CURSOR_MAX + 1];

		rc = tenant_list(db, NULL, after, 100, &list, &count, next);
		if (rc != RC_OK)
			return rc;
		for (size_t i = 0; rc == RC_OK && i < count; i++)
			rc = export_tenant(db, yaml, &list[i]);
		free(list);
		str_copy(after, sizeof after, next);
	} while (rc == RC_OK && *after);
	return rc == RC_OK && yaml->failed ? RC_LIMIT : rc;
}

enum rc state_register_demo(struct db *db)
{
	static const char *const demo[][2] = {{"fintech", "Demo Fintech"}, {"healthcare", "Demo Healthcare"}, {"hr", "Demo HR"}};
	struct audit_record who;
	struct tenant t;
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < sizeof demo / sizeof demo[0]; i++) {
		if (tenant_by_slug(db, demo[i][0], &t) == RC_OK)
			continue;
		audit_init(&who, "tenant.create");
		str_copy(who.actor_kind, sizeof who.actor_kind, "system");
		rc = tenant_create(db, demo[i][0], demo[i][1], NULL, &who, &t);
		if (rc == RC_CONFLICT)
			rc = RC_OK;
	}
	return rc;
}
