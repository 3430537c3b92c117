#include "worker/wconfig.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#include "shared/file.h"
#include "shared/manifest.h"
#include "shared/mem.h"
#include "shared/text.h"

#define FILE_MAX (1 << 20)
#define NAME_MAX_BYTES 127
#define PATH_MAX_BYTES 1024
#define TEXT_MAX_BYTES 4096
#define TABLES_MAX 256
#define COLUMNS_MAX 1000
#define HINTS_MAX 100
#define QUERIES_MAX 50
#define UPSTREAMS_MAX 32
#define ARGUMENTS_MAX 64
#define VARIABLES_MAX 64

struct parse {
	const char *name; /* of the file, for messages */
	yaml_document_t doc;
	struct wconfig *c;
	struct wconfig_error *err;
};

void wconfig_mistake(
	struct wconfig_error *err, const char *name, size_t line, const char *fmt, va_list ap)
{
	char text[sizeof(err->text)];
	int n = snprintf(text, sizeof(text), "%s:%zu: ", name, line);

	if (n < 0 || (size_t)n >= sizeof(text))
		n = 0;
	vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
	if (err->each)
		err->each(err->ctx, text);
	if (!err->each || !err->text[0])
		memcpy(err->text, text, sizeof(text));
}

static enum rc fail_at(struct parse *p, size_t line, const char *fmt, ...) PRINTF_LIKE(3, 4);

static enum rc fail_at(struct parse *p, size_t line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	wconfig_mistake(p->err, p->name, line, fmt, ap);
	va_end(ap);
	return RC_INVALID;
}

/* Adds the result of a part to that of the whole. False: stop at the first mistake. */
static bool go_on(const struct parse *p, enum rc part, enum rc *whole)
{
	if (part != RC_OK)
		*whole = part;
	return part == RC_OK || p->err->each;
}

#define fail(p, node, ...) fail_at(p, (node)->start_mark.line + 1, __VA_ARGS__)

/* --- scalars -------------------------------------------------------------------- */

static enum rc get_text(struct parse *p, yaml_node_t *n, const char *key, size_t max, char **out)
{
	const char *s;

	if (n->type != YAML_SCALAR_NODE)
		return fail(p, n, "'%s' must be text", key);
	s = (const char *)n->data.scalar.value;
	if (n->data.scalar.length != strlen(s) || n->data.scalar.length > max)
		return fail(p, n, "'%s' must be at most %zu bytes of text", key, max);
	/* The text as a whole was looked at before; escapes are undone only here. */
	if (manifest_has_database_url(s, n->data.scalar.length))
		return fail(p, n,
			"this file must not hold a database URL: set DATABASE_URL in the "
			"environment");
	free(*out);
	*out = xstrdup(s);
	return RC_OK;
}

static enum rc get_name(struct parse *p, yaml_node_t *n, const char *key, char **out)
{
	enum rc rc = get_text(p, n, key, NAME_MAX_BYTES, out);

	if (rc == RC_OK && !text_name_ok(*out, NAME_MAX_BYTES))
		return fail(p, n, "'%s' must be 1 to %d bytes without control characters", key,
			NAME_MAX_BYTES);
	return rc;
}

static enum rc get_prose(struct parse *p, yaml_node_t *n, const char *key, char **out)
{
	enum rc rc = get_text(p, n, key, TEXT_MAX_BYTES, out);

	if (rc == RC_OK && !**out)
		return fail(p, n, "'%s' must not be empty", key);
	return rc;
}

static enum rc get_path(struct parse *p, yaml_node_t *n, const char *key, char **out)
{
	enum rc rc = get_text(p, n, key, PATH_MAX_BYTES, out);

	if (rc == RC_OK && **out != '/')
		return fail(p, n, "'%s' must be an absolute path", key);
	return rc;
}

static enum rc get_int(
	struct parse *p, yaml_node_t *n, const char *key, int64_t min, int64_t max, int64_t *out)
{
	const char *s = n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : "";
	char *end;
	long long v = strtoll(s, &end, 10);
	size_t digits = strspn(s, "0123456789");

	if (digits == 0 || digits > 18 || s[digits] || *end || v < min || v > max)
		return fail(p, n, "'%s' must be a whole number from %" PRId64 " to %" PRId64, key,
			min, max);
	*out = v;
	return RC_OK;
}

#define UPSTREAM_NAME_MAX 32
#define UPSTREAM_NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
#define VARIABLE_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

static bool only(const char *s, const char *chars)
{
	return s[strspn(s, chars)] == '\0';
}

static enum rc get_prefix(struct parse *p, yaml_node_t *n, const char *key, char **out)
{
	enum rc rc = get_text(p, n, key, UPSTREAM_NAME_MAX, out);

	if (rc == RC_OK && !only(*out, UPSTREAM_NAME_CHARS "./"))
		return fail(p, n, "'%s' must be at most %d characters of A-Z a-z 0-9 _ . / -", key,
			UPSTREAM_NAME_MAX);
	return rc;
}

static bool url_is_loopback(const char *url)
{
	static const char scheme[] = "http://";
	const char *host = url + sizeof(scheme) - 1;
	char name[64];
	size_t len;

	if (strncmp(url, scheme, sizeof(scheme) - 1) != 0)
		return false;
	if (*host == '[') {
		host++;
		len = strcspn(host, "]");
		if (host[len] != ']' || !strchr(":/?", host[len + 1]))
			return false;
	} else {
		len = strcspn(host, ":/?#@");
		if (strchr("#@", host[len]) && host[len])
			return false;
	}
	return !strchr(host + len, '@') && str_copy_len(name, sizeof(name), host, len) &&
		text_host_is_loopback(name);
}

/* --- mappings --------------------------------------------------------------------- */

/* Reads the value of one key into to, which is a struct of the mapping's kind. */
typedef enum rc key_fn(struct parse *p, yaml_node_t *value, const char *key, void *to);

struct key {
	const char *name;
	key_fn *read;
};

static yaml_node_t *node(struct parse *p, int index)
{
	return yaml_document_get_node(&p->doc, index);
}

static const char *key_text(yaml_node_t *n)
{
	return n->type == YAML_SCALAR_NODE &&
			strlen((char *)n->data.scalar.value) == n->data.scalar.length
		? (const char *)n->data.scalar.value
		: NULL;
}

typedef enum rc pair_fn(
	struct parse *p, yaml_node_t *key_node, const char *key, yaml_node_t *value, void *ctx);

/* One pair, of which the keys are texts and none comes twice. */
static enum rc read_pair(struct parse *p, yaml_node_t *map, const yaml_node_pair_t *at,
	const char *what, pair_fn *each, void *ctx)
{
	yaml_node_t *k = node(p, at->key);
	const char *key = key_text(k);

	if (!key || !text_name_ok(key, NAME_MAX_BYTES))
		return fail(p, k, "a key in %s is not a name", what);
	for (yaml_node_pair_t *before = map->data.mapping.pairs.start; before < at; before++) {
		const char *other = key_text(node(p, before->key));

		if (other && strcmp(other, key) == 0)
			return fail(p, k, "duplicate key '%s' in %s", key, what);
	}
	return each(p, k, key, node(p, at->value), ctx);
}

static enum rc each_pair(
	struct parse *p, yaml_node_t *map, const char *what, pair_fn *each, void *ctx)
{
	yaml_node_pair_t *first, *end;
	enum rc rc = RC_OK;

	if (map->type != YAML_MAPPING_NODE)
		return fail(p, map, "%s must be a mapping of keys to values", what);
	first = map->data.mapping.pairs.start;
	end = map->data.mapping.pairs.top;
	if (end - first > COLUMNS_MAX)
		return fail(p, map, "%s has more than %d keys", what, COLUMNS_MAX);
	for (yaml_node_pair_t *at = first; at < end; at++)
		if (!go_on(p, read_pair(p, map, at, what, each, ctx), &rc))
			break;
	return rc;
}

struct keyed {
	const struct key *keys;
	size_t count;
	const char *what;
	void *to;
};

static enum rc read_key(
	struct parse *p, yaml_node_t *key_node, const char *key, yaml_node_t *value, void *ctx)
{
	const struct keyed *k = ctx;
	const char *names[32], *nearest;

	for (size_t i = 0; i < k->count; i++) {
		if (strcmp(k->keys[i].name, key) == 0)
			return k->keys[i].read(p, value, key, k->to);
		names[i] = k->keys[i].name;
	}
	nearest = text_nearest(key, names, k->count);
	return fail(p, key_node, "unknown key '%s' in %s%s%s%s", key, k->what,
		nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
static enum rc read_map(struct parse *p, yaml_node_t *map, const char *what, const struct key *keys,
	size_t count, void *to)
{
	struct keyed k = {.keys = keys, .count = count, .what = what, .to = to};

	return each_pair(p, map, what, read_key, &k);
}

/* The items of a sequence of at most max. */
static enum rc get_items(struct parse *p, yaml_node_t *n, const char *key, size_t max,
	yaml_node_item_t **items, size_t *count)
{
	if (n->type != YAML_SEQUENCE_NODE)
		return fail(p, n, "'%s' must be a list", key);
	*items = n->data.sequence.items.start;
	*count = (size_t)(n->data.sequence.items.top - n->data.sequence.items.start);
	if (*count > max)
		return fail(p, n, "'%s' has more than %zu entries", key, max);
	return RC_OK;
}

/* --- worker: ------------------------------------------------------------------------ */

#define TEXT_KEY(fn, get, type, member)                                               \
	static enum rc fn(struct parse *p, yaml_node_t *v, const char *key, void *to) \
	{                                                                             \
		return get(p, v, key, &((struct type *)to)->member);                  \
	}
#define INT_KEY(fn, member, min, max)                                                 \
	static enum rc fn(struct parse *p, yaml_node_t *v, const char *key, void *to) \
	{                                                                             \
		int64_t n = 0;                                                        \
		enum rc rc = get_int(p, v, key, min, max, &n);                        \
                                                                                      \
		if (rc == RC_OK)                                                      \
			((struct wconfig *)to)->member =                              \
				(__typeof__(((struct wconfig *)to)->member))n;        \
		return rc;                                                            \
	}

TEXT_KEY(worker_name, get_name, wconfig, name)
TEXT_KEY(worker_state_dir, get_path, wconfig, state_dir)
TEXT_KEY(worker_data_dir, get_path, wconfig, data_dir)
TEXT_KEY(worker_ca_file, get_path, wconfig, ca_file)
TEXT_KEY(worker_mask_key_file, get_path, wconfig, mask_key_file)
TEXT_KEY(worker_duckdb_library, get_path, wconfig, duckdb_library)
INT_KEY(worker_threads, threads, 1, 64)

static enum rc top_worker(struct parse *p, yaml_node_t *v, const char *key, void *to)
{
	static const struct key keys[] = {
		{"name", worker_name},
		{"state_dir", worker_state_dir},
		{"data_dir", worker_data_dir},
		{"ca_file", worker_ca_file},
		{"mask_key_file", worker_mask_key_file},
		{"duckdb_library", worker_duckdb_library},
		{"threads", worker_threads},
	};

	return read_map(p, v, key, keys, COUNT(keys), to);
}

/* --- limits: ------------------------------------------------------------------------- */

INT_KEY(limit_rows, snapshot_max_rows, 1, 100000000)
INT_KEY(limit_bytes, snapshot_max_bytes, 65536, (int64_t)1 << 40)
INT_KEY(limit_snapshots, snapshots_max, 1, 10000)
INT_KEY(limit_timeout, query_timeout_ms, 10, 600000)
INT_KEY(limit_memory, query_max_memory, 1 << 20, (int64_t)1 << 36)
INT_KEY(limit_result_rows, result_max_rows, 1, 100000)
INT_KEY(limit_result_bytes, result_max_bytes, 1024, 4 << 20)
INT_KEY(limit_min_group, null_rates_min_group, 1, 1000000)
INT_KEY(limit_lag, replica_max_lag_s, 0, 86400)

static enum rc top_limits(struct parse *p, yaml_node_t *v, const char *key, void *to)
{
	static const struct key keys[] = {
		{"snapshot_max_rows", limit_rows},
		{"snapshot_max_bytes", limit_bytes},
		{"snapshots_max", limit_snapshots},
		{"query_timeout_ms", limit_timeout},
		{"query_max_memory", limit_memory},
		{"result_max_rows", limit_result_rows},
		{"result_max_bytes", limit_result_bytes},
		{"null_rates_min_group", limit_min_group},
		{"replica_max_lag_s", limit_lag},
	};

	return read_map(p, v, key, keys, COUNT(keys), to);
}

/* --- tables: -------------------------------------------------------------------------- */

TEXT_KEY(table_name, get_name, wconfig_table, name)
TEXT_KEY(table_key, get_name, wconfig_table, key)
TEXT_KEY(table_parent, get_name, wconfig_table, parent)
TEXT_KEY(table_fk, get_name, wconfig_table, fk)
TEXT_KEY(table_via, get_name, wconfig_table, via)
TEXT_KEY(table_via_fk, get_name, wconfig_table, via_fk)

/* --- masks ------------------------------------------------------------------------- */

struct mask_work {
	const char *column;
	struct mask_spec *mask;
};

static enum rc read_kind(struct parse *p, yaml_node_t *v, const struct mask_work *w)
{
	const char *s = key_text(v), *nearest = NULL;
	enum mask_kind kind;

	if (s && mask_kind_parse(s, &kind, &nearest) == RC_OK) {
		*w->mask = mask_spec_default(kind);
		return RC_OK;
	}
	return fail(p, v,
		"the mask of column '%s' must be hash, token, email, partial, text, date_shift, "
		"noise, bucket, redact, null or keep%s%s%s",
		w->column, nearest ? "; did you mean '" : "", nearest ? nearest : "",
		nearest ? "'?" : "");
}

static enum rc read_mask_option(
	struct parse *p, yaml_node_t *key_node, const char *key, yaml_node_t *v, void *ctx)
{
	const struct mask_work *w = ctx;
	const char *text = key_text(v);
	char why[256];

	if (strcmp(key, "kind") == 0)
		return RC_OK;
	if (!text)
		return fail(
			p, v, "'%s' of the mask of column '%s' must be one value", key, w->column);
	if (mask_spec_option(w->mask, key, text, why, sizeof(why)) == RC_OK)
		return RC_OK;
	return fail(p, key_node, "column '%s': %s", w->column, why);
}

/* {kind: partial, last: 2}; the kind first, since the options depend on it. */
static enum rc read_mask_map(struct parse *p, yaml_node_t *v, struct mask_work *w)
{
	yaml_node_pair_t *at = v->data.mapping.pairs.start;
	yaml_node_t *kind = NULL;
	enum rc rc;

	for (; at < v->data.mapping.pairs.top && !kind; at++) {
		const char *key = key_text(node(p, at->key));

		if (key && strcmp(key, "kind") == 0)
			kind = node(p, at->value);
	}
	if (!kind)
		return fail(p, v,
			"the mask of column '%s' has options but no kind, as in {kind: partial, "
			"last: 4}",
			w->column);
	rc = read_kind(p, kind, w);
	return rc == RC_OK ? each_pair(p, v, "a mask", read_mask_option, w) : rc;
}

static enum rc read_mask(
	struct parse *p, yaml_node_t *key_node, const char *column, yaml_node_t *v, void *ctx)
{
	struct wconfig_table *t = ctx;
	struct wconfig_column *c = &t->masks[t->mask_count];
	struct mask_work w = {.column = column, .mask = &c->mask};
	char why[256];
	enum rc rc;

	rc = v->type == YAML_MAPPING_NODE ? read_mask_map(p, v, &w) : read_kind(p, v, &w);
	if (rc == RC_OK && mask_spec_check(&c->mask, why, sizeof(why)) != RC_OK)
		rc = fail(p, v, "column '%s': %s", column, why);
	if (rc != RC_OK)
		return rc;
	c->name = xstrdup(column);
	c->line = (int)key_node->start_mark.line + 1;
	t->mask_count++;
	return RC_OK;
}

static enum rc table_mask(struct parse *p, yaml_node_t *v, const char *key, void *to)
{
	struct wconfig_table *t = to;

	if (v->type == YAML_MAPPING_NODE) {
		size_t count = (size_t)(v->data.mapping.pairs.top - v->data.mapping.pairs.start);

		/* each_pair() refuses more than COLUMNS_MAX before it reads the first. */
		t->masks =
			xcalloc(count < COLUMNS_MAX ? count + 1 : COLUMNS_MAX, sizeof(*t->masks));
	}
	return each_pair(p, v, key, read_mask, t);
}

static enum rc table_exclude(struct parse *p, yaml_node_t *v, const char *key, void *to)
{
	struct wconfig_table *t = to;
	yaml_node_item_t *items = NULL;
	size_t count = 0;
	enum rc rc = get_items(p, v, key, COLUMNS_MAX, &items, &count);

	if (rc != RC_OK)
		return rc;
	t->exclude_columns = xcalloc(count + 1, sizeof(*t->exclude_columns));
	for (size_t i = 0; i < count && rc == RC_OK; i++) {
		rc = get_name(p, node(p, items[i]), key, &t->exclude_columns[i]);
		t->exclude_count = i + 1;
		for (size_t k = 0; k < i && rc == RC_OK; k++)
			if (strcmp(t->exclude_columns[k], t->exclude_columns[i]) == 0)
				rc = fail(p, node(p, items[i]), "column '%s' is excluded twice",
					t->exclude_columns[i]);
	}
	return rc;
}

static enum rc check_table(struct parse *p, yaml_node_t *n, struct wconfig_table *t)
{
	if (!t->name)
		return fail(p, n, "a table needs a name");
	if (t->parent && t->via)
		return fail(p, n, "table '%s' has both parent and via: rows come one way only",
			t->name);
	if (!t->parent != !t->fk)
		return fail(p, n, "table '%s' has %s without %s: both are needed", t->name,
			t->parent ? "parent" : "fk", t->parent ? "fk" : "parent");
	if (!t->via != !t->via_fk)
		return fail(p, n, "table '%s' has %s without %s: both are needed", t->name,
			t->via ? "via" : "via_fk", t->via ? "via_fk" : "via");
	for (size_t i = 0; i < t->exclude_count; i++)
		for (size_t k = 0; k < t->mask_count; k++)
			if (strcmp(t->exclude_columns[i], t->masks[k].name) == 0)
				return fail(p, n,
					"column '%s' of table '%s' is both masked and excluded",
					t->masks[k].name, t->name);
	if (!t->key)
		t->key = xstrdup("id");
	return RC_OK;
}

static enum rc read_table(struct parse *p, yaml_node_t *n, struct wconfig_table *t)
{
	static const struct key keys[] = {
		{"name", table_name},
		{"key", table_key},
		{"parent", table_parent},
		{"fk", table_fk},
		{"via", table_via},
		{"via_fk", table_via_fk},
		{"mask", table_mask},
		{"exclude_columns", table_exclude},
	};
	enum rc rc;

	t->line = (int)n->start_mark.line + 1;
	rc = read_map(p, n, "a table", keys, COUNT(keys), t);
	return rc == RC_OK ? check_table(p, n, t) : rc;
}

static enum rc top_tables(struct parse *p, yaml_node_t *v, const char *key, void *to)
{
	struct wconfig *c = to;
	yaml_node_item_t *items = NULL;
	size_t count = 0;
	enum rc rc = get_items(p, v, key, TABLES_MAX, &items, &count);

	if (rc != RC_OK)
		return rc;
	c->tables = xcalloc(count + 1, sizeof(*c->tables));
	for (size_t i = 0; i < count; i++) {
		enum rc one;

		c->table_count = i + 1;
		one = read_table(p, node(p, items[i]), &c->tables[i]);
		for (size_t k = 0; k < i && one == RC_OK; k++)
			if (c->tables[k].name && strcmp(c->tables[k].name, c->tables[i].name) == 0)
				one = fail(p, node(p, items[i]), "table '%s' is listed twice",
					c->tables[i].name);
		if (!go_on(p, one, &rc))
			break;
	}
	return rc;
}

/* --- tenant_isolation: ------------------------------------------------------------------ */

TEXT_KEY(isolation_column, get_name, wconfig_isolation, column)
TEXT_KEY(isolation_value, get_name, wconfig_isolation, value)

static enum rc read_isolation_column(
	struct parse *p, yaml_node_t *key_node, const char *table, yaml_node_t *v, void *ctx)
{
	struct wconfig_isolation *i = ctx;
	struct wconfig_named *n = &i->columns[i->column_count];
	enum rc rc = get_name(p, v, table, &n->column);

	if (rc != RC_OK) {
		free(n->column);
		return rc;
	}
	n->table = xstrdup(table);
	n->line = (int)key_node->start_mark.line + 1;
	i->column_count++;
	return RC_OK;
}

static enum rc isolation_columns(struct parse *p, yaml_node_t *v, const char *key, void *to)
{
	struct wconfig_isolation *i = to;

	i->columns = xcalloc(COLUMNS_MAX + 1, sizeof(*i->columns));
	return each_pair(p, v, key, read_isolation_column, i);
}

static enum rc isolation_shared(struct parse *p, yaml_node_t *v, const char *key, void *to)
{
	struct wconfig_isolation *c = to;
	yaml_node_item_t *items = NULL;
	size_t count = 0;
	enum rc rc = get_items(p, v, key, TABLES_MAX, &items, &count);

	if (rc != RC_OK)
		return rc;
	c->shared = xcalloc(count + 1, sizeof(*c->shared));
	for (size_t i = 0; i < count && rc == RC_OK; i++) {
		c->shared_count = i + 1;
		c->shared[i].line = (int)node(p, items[i])->start_mark.line + 1;
		rc = get_name(p, node(p, items[i]), key, &c->shared[i].table);
	}
	return rc;
}

static enum rc top_isolation(struct parse *p, yaml_node_t *v, const char *key, void *to)
{
	static const struct key keys[] = {
		{"column", isolation_column},
		{"value", isolation_value},
		{"columns", isolation_columns},
		{"shared", isolation_shared},
	};
	struct wconfig *c = to;
	enum rc rc;

	c->isolation.line = (int)v->start_mark.line + 1;
	rc = read_map(p, v, key, keys, COUNT(keys), &c->isolation);
	if (rc == RC_OK && !c->isolation.column)
		return fail(p, v,
			"tenant_isolation needs column: the column that holds a row's tenant");
	return rc;
}

/* --- the rest --------------------------------------------------------------------------- */

TEXT_KEY(top_description, get_prose, wconfig, description)
TEXT_KEY(top_root_table, get_name, wconfig, root_table)
TEXT_KEY(top_root_filter_col, get_name, wconfig, root_filter_col)
INT_KEY(top_ttl, snapshot_ttl_s, 1, 86400)
TEXT_KEY(query_title, get_prose, wconfig_query, title)
TEXT_KEY(query_sql, get_prose, wconfig_query, sql)

static enum rc top_default_mask(struct parse *p, yaml_node_t *v, const char *key, void *to)
{
	const char *s = key_text(v);

	if (!s || (strcmp(s, "keep") != 0 && strcmp(s, "redact") != 0))
		return fail(p, v, "'%s' must be keep or redact", key);
	((struct wconfig *)to)->default_redact = strcmp(s, "redact") == 0;
	return RC_OK;
}

static enum rc top_engine(struct parse *p, yaml_node_t *v, const char *key, void *to)
{
	const char *s = v->type == YAML_SCALAR_NODE ? (const char *)v->data.scalar.value : "";

	if (strcmp(s, "sqlite") != 0 && strcmp(s, "duckdb") != 0)
		return fail(p, v, "'%s' must be sqlite or duckdb", key);
	((struct wconfig *)to)->snapshot_engine =
		strcmp(s, "duckdb") == 0 ? SNAPSHOT_DUCKDB : SNAPSHOT_SQLITE;
	return RC_OK;
}

static enum rc get_bool(struct parse *p, yaml_node_t *v, const char *key, bool *out)
{
	const char *s = key_text(v);

	if (!s || (strcmp(s, "true") != 0 && strcmp(s, "false") != 0))
		return fail(p, v, "'%s' must be true or false", key);
	*out = strcmp(s, "true") == 0;
	return RC_OK;
}

static enum rc top_strict(struct parse *p, yaml_node_t *v, const char *key, void *to)
{
	return get_bool(p, v, key, &((struct wconfig *)to)->strict);
}

static enum rc top_hints(struct parse *p, yaml_node_t *v, const char *key, void *to)
{
	struct wconfig *c = to;
	yaml_node_item_t *items = NULL;
	size_t count = 0;
	enum rc rc = get_items(p, v, key, HINTS_MAX, &items, &count);

	if (rc != RC_OK)
		return rc;
	c->hints = xcalloc(count + 1, sizeof(*c->hints));
	for (size_t i = 0; i < count && rc == RC_OK; i++) {
		c->hint_count = i + 1;
		rc = get_prose(p, node(p, items[i]), key, &c->hints[i]);
	}
	return rc;
}

static enum rc top_queries(struct parse *p, yaml_node_t *v, const char *key, void *to)
{
	static const struct key keys[] = {{"title", query_title}, {"sql", query_sql}};
	struct wconfig *c = to;
	yaml_node_item_t *items = NULL;
	size_t count = 0;
	enum rc rc = get_items(p, v, key, QUERIES_MAX, &items, &count);

	if (rc != RC_OK)
		return rc;
	c->queries = xcalloc(count + 1, sizeof(*c->queries));
	for (size_t i = 0; i < count; i++) {
		yaml_node_t *n = node(p, items[i]);
		enum rc one;

		c->query_count = i + 1;
		one = read_map(p, n, "a sample query", keys, COUNT(keys), &c->queries[i]);
		if (one == RC_OK && (!c->queries[i].title || !c->queries[i].sql))
			one = fail(p, n, "a sample query needs title and sql");
		if (!go_on(p, one, &rc))
			break;
	}
	return rc;
}

/* --- upstreams: ------------------------------------------------------------------------- */

TEXT_KEY(upstream_prefix, get_prefix, wconfig_upstream, prefix)

static enum rc upstream_name(struct parse *p, yaml_node_t *v, const char *key, void *to)
{
	struct wconfig_upstream *u = to;
	enum rc rc = get_text(p, v, key, UPSTREAM_NAME_MAX, &u->name);

	if (rc == RC_OK && (!*u->name || !only(u->name, UPSTREAM_NAME_CHARS)))
		return fail(p, v,
			"the name of an upstream must be 1 to %d characters of a-z A-Z 0-9 _ -",
			UPSTREAM_NAME_MAX);
	return rc;
}

static enum rc get_texts(
	struct parse *p, yaml_node_t *v, const char *key, size_t max, char ***list, size_t *count)
{
	yaml_node_item_t *items = NULL;
	size_t n = 0;
	enum rc rc = get_items(p, v, key, max, &items, &n);

	if (rc != RC_OK)
		return rc;
	*list = xcalloc(n + 1, sizeof(**list));
	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		*count = i + 1;
		rc = get_text(p, node(p, items[i]), key, TEXT_MAX_BYTES, &(*list)[i]);
	}
	return rc;
}

static enum rc upstream_command(struct parse *p, yaml_node_t *v, const char *key, void *to)
{
	struct wconfig_upstream *u = to;
	enum rc rc = get_texts(p, v, key, ARGUMENTS_MAX, &u->command, &u->command_count);

	if (rc == RC_OK && (u->command_count == 0 || !*u->command[0]))
		return fail(p, v, "'%s' must be a list: a program, then its arguments", key);
	return rc;
}

static enum rc upstream_url(struct parse *p, yaml_node_t *v, const char *key, void *to)
{
	struct wconfig_upstream *u = to;
	enum rc rc = get_text(p, v, key, PATH_MAX_BYTES, &u->url);

	if (rc == RC_OK && !url_is_loopback(u->url))
		return fail(p, v,
			"'%s' must be http:// on this machine (127.0.0.1, [::1] or localhost), "
			"without "
			"user or password",
			key);
	return rc;
}

static enum rc upstream_env(struct parse *p, yaml_node_t *v, const char *key, void *to)
{
	struct wconfig_upstream *u = to;
	enum rc rc = get_texts(p, v, key, VARIABLES_MAX, &u->env, &u->env_count);

	for (size_t i = 0; i < u->env_count && rc == RC_OK; i++)
		if (!*u->env[i] || !only(u->env[i], VARIABLE_CHARS))
			rc = fail(p, v,
				"'%s' must list names of environment variables, without values",
				key);
	return rc;
}

static enum rc upstream_timeout(struct parse *p, yaml_node_t *v, const char *key, void *to)
{
	int64_t n = 0;
	enum rc rc = get_int(p, v, key, 10, 3600000, &n);

	((struct wconfig_upstream *)to)->timeout_ms = (int)n;
	return rc;
}

static enum rc upstream_max_calls(struct parse *p, yaml_node_t *v, const char *key, void *to)
{
	int64_t n = 0;
	enum rc rc = get_int(p, v, key, 1, 1000, &n);

	((struct wconfig_upstream *)to)->max_calls = (int)n;
	return rc;
}

static enum rc upstream_identity(struct parse *p, yaml_node_t *v, const char *key, void *to)
{
	return get_bool(p, v, key, &((struct wconfig_upstream *)to)->forward_identity);
}

static enum rc read_upstream(struct parse *p, yaml_node_t *n, struct wconfig_upstream *u)
{
	static const struct key keys[] = {
		{"name", upstream_name},
		{"command", upstream_command},
		{"url", upstream_url},
		{"prefix", upstream_prefix},
		{"env", upstream_env},
		{"timeout_ms", upstream_timeout},
		{"max_calls", upstream_max_calls},
		{"forward_identity", upstream_identity},
	};
	enum rc rc;

	u->line = (int)n->start_mark.line + 1;
	u->timeout_ms = 60000;
	u->max_calls = 64;
	rc = read_map(p, n, "an upstream", keys, COUNT(keys), u);
	if (rc != RC_OK)
		return rc;
	if (!u->name)
		return fail(p, n, "an upstream needs a name");
	if (!u->command == !u->url)
		return fail(p, n, "upstream '%s' needs either command or url", u->name);
	if (u->url && u->env)
		return fail(p, n, "upstream '%s' has a url: env is for commands", u->name);
	if (!u->prefix) {
		u->prefix = xmalloc(strlen(u->name) + 2);
		(void)sprintf(u->prefix, "%s_", u->name);
	}
	return RC_OK;
}

static enum rc top_upstreams(struct parse *p, yaml_node_t *v, const char *key, void *to)
{
	struct wconfig *c = to;
	yaml_node_item_t *items = NULL;
	size_t count = 0;
	enum rc rc = get_items(p, v, key, UPSTREAMS_MAX, &items, &count);

	if (rc != RC_OK)
		return rc;
	c->upstreams = xcalloc(count + 1, sizeof(*c->upstreams));
	for (size_t i = 0; i < count; i++) {
		enum rc one;

		c->upstream_count = i + 1;
		one = read_upstream(p, node(p, items[i]), &c->upstreams[i]);
		for (size_t k = 0; k < i && one == RC_OK; k++)
			if (c->upstreams[k].name &&
				strcmp(c->upstreams[k].name, c->upstreams[i].name) == 0)
				one = fail(p, node(p, items[i]), "upstream '%s' is listed twice",
					c->upstreams[i].name);
		if (!go_on(p, one, &rc))
			break;
	}
	return rc;
}

static enum rc check_relation(
	struct parse *p, const struct wconfig_table *t, const char *other, const char *key)
{
	const char *names[TABLES_MAX], *nearest;

	if (strcmp(t->name, other) == 0)
		return fail_at(p, (size_t)t->line,
			"table '%s' is its own %s: leave a reference to itself out, its column is "
			"exported anyway",
			other, key);
	for (size_t i = 0; i < p->c->table_count; i++) {
		names[i] = p->c->tables[i].name;
		if (strcmp(names[i], other) == 0)
			return RC_OK;
	}
	nearest = text_nearest(other, names, p->c->table_count);
	return fail_at(p, (size_t)t->line, "%s '%s' of table '%s' is not among tables%s%s%s", key,
		other, t->name, nearest ? "; did you mean '" : "", nearest ? nearest : "",
		nearest ? "'?" : "");
}

/* A table that tenant_isolation names. */
static enum rc check_isolated(struct parse *p, const struct wconfig_named *n)
{
	const char *names[TABLES_MAX], *nearest;

	for (size_t i = 0; i < p->c->table_count; i++) {
		names[i] = p->c->tables[i].name;
		if (strcmp(names[i], n->table) == 0)
			return RC_OK;
	}
	nearest = text_nearest(n->table, names, p->c->table_count);
	return fail_at(p, (size_t)n->line,
		"tenant_isolation names '%s', which is not among tables%s%s%s", n->table,
		nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

static enum rc check_isolation(struct parse *p)
{
	const struct wconfig_isolation *iso = &p->c->isolation;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < iso->column_count; i++)
		if (!go_on(p, check_isolated(p, &iso->columns[i]), &rc))
			return rc;
	for (size_t i = 0; i < iso->shared_count; i++) {
		enum rc one = check_isolated(p, &iso->shared[i]);

		if (one == RC_OK && strcmp(iso->shared[i].table, p->c->root_table) == 0)
			one = fail_at(p, (size_t)iso->shared[i].line,
				"tenant_isolation: the root_table '%s' can't be shared: it says "
				"which tenant the subject belongs to",
				p->c->root_table);
		if (!go_on(p, one, &rc))
			break;
	}
	return rc;
}

static enum rc no_root(struct parse *p, yaml_node_t *root)
{
	const char *names[TABLES_MAX], *nearest;

	for (size_t i = 0; i < p->c->table_count; i++)
		names[i] = p->c->tables[i].name;
	nearest = text_nearest(p->c->root_table, names, p->c->table_count);
	return fail(p, root, "root_table '%s' is not among tables%s%s%s", p->c->root_table,
		nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

/* What only the whole file can show. */
static enum rc check(struct parse *p, yaml_node_t *root)
{
	struct wconfig *c = p->c;
	const struct wconfig_table *rt = NULL;
	enum rc rc = RC_OK;

	if (c->snapshot_engine == SNAPSHOT_DUCKDB && strchr(c->data_dir, '?'))
		return fail(p, root,
			"worker.data_dir can't have a '?' in it with snapshot_engine duckdb, which "
			"takes what follows for options: name another directory");
	if (!c->root_table && c->upstream_count > 0) {
		if (c->table_count > 0 || c->root_filter_col || c->isolation.column)
			return fail(p, root,
				"tables, root_filter_col and tenant_isolation need root_table: the "
				"table whose row a "
				"snapshot is about");
		return RC_OK;
	}
	if (!c->root_table)
		return fail(
			p, root, "root_table is missing: the table whose row a snapshot is about");
	for (size_t i = 0; i < c->table_count; i++) {
		const struct wconfig_table *t = &c->tables[i];

		if (strcmp(t->name, c->root_table) == 0)
			rt = t;
		if ((t->parent || t->via) &&
			!go_on(p,
				check_relation(p, t, t->parent ? t->parent : t->via,
					t->parent ? "parent" : "via"),
				&rc))
			return rc;
	}
	if (!go_on(p, check_isolation(p), &rc))
		return rc;
	if (!rt)
		return no_root(p, root);
	if (rt->parent || rt->via)
		return fail_at(p, (size_t)rt->line,
			"table '%s' is the root_table: it can't have parent or via", rt->name);
	return rc;
}

static void set_defaults(struct wconfig *c, const char *name)
{
	char host[NAME_MAX_BYTES + 1] = "";

	if (gethostname(host, sizeof(host) - 1) != 0 || !text_name_ok(host, NAME_MAX_BYTES))
		strcpy(host, "worker");
	c->path = xstrdup(name);
	c->name = xstrdup(host);
	c->state_dir = xstrdup("/var/lib/airlock-worker");
	c->data_dir = xstrdup("/dev/shm/airlock-worker");
	c->threads = 4;
	c->snapshot_ttl_s = 300;
	c->snapshot_max_rows = 200000;
	c->snapshot_max_bytes = (int64_t)256 << 20;
	c->snapshots_max = 64;
	c->query_timeout_ms = 10000;
	c->query_max_memory = (int64_t)64 << 20;
	c->result_max_rows = 1000;
	c->result_max_bytes = 1 << 20;
	c->null_rates_min_group = 5;
	c->replica_max_lag_s = 300;
}

static enum rc read_document(struct parse *p)
{
	static const struct key keys[] = {
		{"worker", top_worker},
		{"description", top_description},
		{"root_table", top_root_table},
		{"root_filter_col", top_root_filter_col},
		{"tables", top_tables},
		{"default_mask", top_default_mask},
		{"tenant_isolation", top_isolation},
		{"strict", top_strict},
		{"snapshot_engine", top_engine},
		{"snapshot_ttl_s", top_ttl},
		{"limits", top_limits},
		{"hints", top_hints},
		{"sample_queries", top_queries},
		{"upstreams", top_upstreams},
	};
	yaml_node_t *root = yaml_document_get_root_node(&p->doc);
	enum rc rc;

	if (!root)
		return fail_at(p, 1, "the file is empty");
	rc = read_map(p, root, "the file", keys, COUNT(keys), p->c);
	return rc == RC_OK ? check(p, root) : rc;
}

/* Loads the one document of the text into p->doc, which the caller deletes only on RC_OK. */
static enum rc load_document(struct parse *p, const char *text, size_t len)
{
	yaml_parser_t parser;
	yaml_document_t second;
	enum rc rc = RC_OK;
	bool more = false;

	if (!yaml_parser_initialize(&parser))
		return fail_at(p, 1, "no memory to read it");
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	if (!yaml_parser_load(&parser, &p->doc)) {
		rc = fail_at(p, parser.problem_mark.line + 1, "not valid YAML: %s",
			parser.problem ? parser.problem : "unknown problem");
	} else if (yaml_document_get_root_node(&p->doc)) {
		if (yaml_parser_load(&parser, &second)) {
			more = yaml_document_get_root_node(&second) != NULL;
			yaml_document_delete(&second);
		} else {
			more = true;
		}
		if (more) {
			rc = fail_at(p, parser.mark.line + 1, "only one YAML document is allowed");
			yaml_document_delete(&p->doc);
		}
	}
	yaml_parser_delete(&parser);
	return rc;
}

/* The line of the database URL, so that its owner finds it; the value itself is not repeated. */
static enum rc refuse_url(struct parse *p, const char *text, size_t len)
{
	size_t line = 1, found = 1;

	for (const char *at = text, *end = text + len; at < end; line++) {
		const char *nl = memchr(at, '\n', (size_t)(end - at));
		size_t n = nl ? (size_t)(nl - at) : (size_t)(end - at);

		if (manifest_has_database_url(at, n)) {
			found = line;
			break;
		}
		at += n + 1;
	}
	return fail_at(p, found,
		"this file must not hold a database URL: set DATABASE_URL in the environment of "
		"the worker instead");
}

enum rc wconfig_parse(const char *name, const char *text, size_t len, struct wconfig **out,
	struct wconfig_error *err)
{
	struct parse p = {.name = name, .err = err};
	enum rc rc;

	if (len > FILE_MAX)
		return fail_at(&p, 1, "the file is larger than %d bytes", FILE_MAX);
	if (!text_utf8_ok(text, len))
		return fail_at(&p, 1, "the file is not UTF-8 text");
	if (manifest_has_database_url(text, len))
		return refuse_url(&p, text, len);
	rc = load_document(&p, text, len);
	if (rc != RC_OK)
		return rc;
	p.c = xcalloc(1, sizeof(*p.c));
	set_defaults(p.c, name);
	rc = read_document(&p);
	yaml_document_delete(&p.doc);
	if (rc != RC_OK) {
		wconfig_free(p.c);
		return rc;
	}
	*out = p.c;
	return RC_OK;
}

enum rc wconfig_load(const char *path, struct wconfig **out, struct wconfig_error *err)
{
	char *text;
	size_t len;
	enum rc rc = file_read(path, FILE_MAX, &text, &len);

	if (rc != RC_OK) {
		snprintf(err->text, sizeof(err->text), "%s: %s", path,
			rc == RC_NOTFOUND        ? "no such file"
				: rc == RC_LIMIT ? "the file is too large"
						 : "the file can't be read");
		return RC_INVALID;
	}
	rc = wconfig_parse(path, text, len, out, err);
	free(text);
	return rc;
}

static void free_table(struct wconfig_table *t)
{
	free(t->name);
	free(t->key);
	free(t->parent);
	free(t->fk);
	free(t->via);
	free(t->via_fk);
	for (size_t i = 0; i < t->mask_count; i++)
		free(t->masks[i].name);
	free(t->masks);
	for (size_t i = 0; i < t->exclude_count; i++)
		free(t->exclude_columns[i]);
	free(t->exclude_columns);
}

static void free_texts(char **list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(list[i]);
	free(list);
}

static void free_named(struct wconfig_named *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(list[i].table);
		free(list[i].column);
	}
	free(list);
}

static void free_upstream(struct wconfig_upstream *u)
{
	free(u->name);
	free_texts(u->command, u->command_count);
	free(u->url);
	free(u->prefix);
	free_texts(u->env, u->env_count);
}

void wconfig_free(struct wconfig *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->upstream_count; i++)
		free_upstream(&c->upstreams[i]);
	free(c->upstreams);
	for (size_t i = 0; i < c->table_count; i++)
		free_table(&c->tables[i]);
	free(c->tables);
	for (size_t i = 0; i < c->hint_count; i++)
		free(c->hints[i]);
	free(c->hints);
	for (size_t i = 0; i < c->query_count; i++) {
		free(c->queries[i].title);
		free(c->queries[i].sql);
	}
	free(c->queries);
	free_named(c->isolation.columns, c->isolation.column_count);
	free_named(c->isolation.shared, c->isolation.shared_count);
	free(c->isolation.column);
	free(c->isolation.value);
	free(c->mask_key_file);
	free(c->path);
	free(c->name);
	free(c->state_dir);
	free(c->data_dir);
	free(c->ca_file);
	free(c->duckdb_library);
	free(c->description);
	free(c->root_table);
	free(c->root_filter_col);
	free(c);
}
