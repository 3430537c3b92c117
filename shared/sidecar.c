#include "shared/sidecar.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/file.h"
#include "shared/jscan.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/text.h"

#define PREFIX "snap_"
#define SUFFIX ".json"
/* Shorter than SIDECAR_ID_MAX, so that a cursor (13 digits, a dot, the id) fits its place. */
#define ID_LEN_MAX 64
#define TIME_MAX_MS 9999999999999
#define TABLES_MAX 512
#define COLUMNS_MAX 2048
#define NAME_LEN_MAX 127
#define LISTED_MAX 100000

bool sidecar_id_ok(const char *id)
{
	size_t len;

	if (strncmp(id, PREFIX, sizeof(PREFIX) - 1) != 0)
		return false;
	id += sizeof(PREFIX) - 1;
	len = strspn(id, "abcdefghijklmnopqrstuvwxyz234567");
	return len >= 1 && len <= ID_LEN_MAX - (sizeof(PREFIX) - 1) && id[len] == '\0';
}

/* --- cleaning ---------------------------------------------------------------------- */

/* A member that is absent, or a token of letters, digits and _ . - only. */
static enum rc copy_token(struct buf *out, struct jscan from, const char *name, size_t max)
{
	struct jscan v;
	char text[NAME_LEN_MAX + 1];
	enum rc rc = jscan_get(from, name, &v);

	if (rc == RC_NOTFOUND)
		return RC_OK;
	if (rc != RC_OK || jscan_str(v, text, max + 1) != RC_OK || text[text_span(text, "_.:-")])
		return RC_INVALID;
	buf_printf(out, ",\"%s\":", name);
	buf_json(out, text);
	return RC_OK;
}

static enum rc copy_count(struct buf *out, struct jscan from, const char *name, int64_t max)
{
	struct jscan v;
	int64_t n;
	enum rc rc = jscan_get(from, name, &v);

	if (rc == RC_NOTFOUND)
		return RC_OK;
	if (rc != RC_OK || jscan_int(v, &n) != RC_OK || n < 0 || n > max)
		return RC_INVALID;
	buf_printf(out, ",\"%s\":%lld", name, (long long)n);
	return RC_OK;
}

/* The name of a table or a column: one line of text, as databases have them. */
static enum rc copy_name(struct buf *out, struct jscan v)
{
	char text[NAME_LEN_MAX + 1];

	if (jscan_str(v, text, sizeof(text)) != RC_OK || !text_name_ok(text, NAME_LEN_MAX))
		return RC_INVALID;
	buf_json(out, text);
	return RC_OK;
}

static enum rc copy_columns(struct buf *out, struct jscan table, const char *name)
{
	struct jscan list, key, value;
	struct jscan_iter it;
	int count = 0;
	enum rc rc = jscan_get(table, name, &list);

	if (rc == RC_CONFLICT || (rc == RC_OK && list.kind != JSCAN_ARRAY))
		return RC_INVALID;
	buf_printf(out, ",\"%s\":[", name);
	it = jscan_iter(list);
	while (jscan_next(&it, &key, &value)) {
		if (count == COLUMNS_MAX)
			return RC_INVALID;
		if (count++ > 0)
			buf_char(out, ',');
		if (copy_name(out, value) != RC_OK)
			return RC_INVALID;
	}
	buf_char(out, ']');
	return RC_OK;
}

static enum rc copy_table(struct buf *out, struct jscan table)
{
	struct jscan name;

	if (jscan_get(table, "name", &name) != RC_OK)
		return RC_INVALID;
	buf_str(out, "{\"name\":");
	if (copy_name(out, name) != RC_OK || copy_count(out, table, "rows", INT64_MAX) != RC_OK ||
		copy_columns(out, table, "masked_columns") != RC_OK ||
		copy_columns(out, table, "excluded_columns") != RC_OK)
		return RC_INVALID;
	buf_char(out, '}');
	return RC_OK;
}

static enum rc copy_tables(struct buf *out, struct jscan from)
{
	struct jscan list, key, table;
	struct jscan_iter it;
	int count = 0;
	enum rc rc = jscan_get(from, "tables", &list);

	if (rc == RC_CONFLICT || (rc == RC_OK && list.kind != JSCAN_ARRAY))
		return RC_INVALID;
	buf_str(out, ",\"tables\":[");
	it = jscan_iter(list);
	while (jscan_next(&it, &key, &table)) {
		if (count == TABLES_MAX)
			return RC_INVALID;
		if (count++ > 0)
			buf_char(out, ',');
		if (copy_table(out, table) != RC_OK)
			return RC_INVALID;
	}
	buf_char(out, ']');
	return RC_OK;
}

static enum rc get_time(struct jscan from, const char *name, int64_t *ms)
{
	struct jscan v;

	if (jscan_get(from, name, &v) != RC_OK || jscan_int(v, ms) != RC_OK || *ms <= 0 ||
		*ms > TIME_MAX_MS)
		return RC_INVALID;
	return RC_OK;
}

static enum rc copy_members(struct buf *out, struct jscan from, const char *id,
	const char *tenant_id, const char *worker_id, const char *session_id)
{
	buf_str(out, "{\"snapshot_id\":");
	buf_json(out, id);
	buf_str(out, ",\"tenant_id\":");
	buf_json(out, tenant_id);
	buf_str(out, ",\"worker_id\":");
	buf_json(out, worker_id);
	buf_str(out, ",\"session_id\":");
	buf_json(out, session_id);
	if (copy_token(out, from, "engine", 31) != RC_OK ||
		copy_token(out, from, "subject_digest", NAME_LEN_MAX) != RC_OK ||
		copy_count(out, from, "created_at", TIME_MAX_MS) != RC_OK ||
		copy_count(out, from, "expires_at", TIME_MAX_MS) != RC_OK ||
		copy_count(out, from, "bytes", INT64_MAX) != RC_OK ||
		copy_tables(out, from) != RC_OK)
		return RC_INVALID;
	buf_char(out, '}');
	return out->failed ? RC_INVALID : RC_OK;
}

enum rc sidecar_clean(const char *text, size_t len, const char *tenant_id, const char *worker_id,
	const char *session_id, struct buf *out, char id[SIDECAR_ID_MAX + 1],
	int64_t *expires_at_ms)
{
	struct jscan from, v;
	struct buf clean;
	char name[SIDECAR_ID_MAX + 1];
	int64_t created, expires;
	enum rc rc;

	if (len > SIDECAR_MAX || jscan_parse(text, len, &from) != RC_OK ||
		from.kind != JSCAN_OBJECT)
		return RC_INVALID;
	if (jscan_get(from, "snapshot_id", &v) != RC_OK ||
		jscan_str(v, name, sizeof(name)) != RC_OK || !sidecar_id_ok(name))
		return RC_INVALID;
	if (get_time(from, "created_at", &created) != RC_OK ||
		get_time(from, "expires_at", &expires) != RC_OK || expires < created)
		return RC_INVALID;
	buf_init(&clean, SIDECAR_MAX);
	rc = copy_members(&clean, from, name, tenant_id, worker_id, session_id);
	if (rc == RC_OK) {
		buf_add(out, clean.data, clean.len);
		memcpy(id, name, sizeof(name));
		*expires_at_ms = expires;
	}
	buf_free(&clean);
	return rc;
}

/* --- files --------------------------------------------------------------------------- */

static bool tenant_ok(const char *tenant_id)
{
	size_t len = text_span(tenant_id, "_-");

	return len >= 1 && len <= SIDECAR_ID_MAX && tenant_id[len] == '\0';
}

static enum rc tenant_path(const char *dir, const char *tenant_id, char path[PATH_MAX])
{
	if (!tenant_ok(tenant_id))
		return RC_INVALID;
	return snprintf(path, PATH_MAX, "%s/%s", dir, tenant_id) < PATH_MAX ? RC_OK : RC_LIMIT;
}

static enum rc sidecar_path(
	const char *dir, const char *tenant_id, const char *id, char path[PATH_MAX])
{
	if (!tenant_ok(tenant_id) || !sidecar_id_ok(id))
		return RC_INVALID;
	return snprintf(path, PATH_MAX, "%s/%s/%s" SUFFIX, dir, tenant_id, id) < PATH_MAX
		? RC_OK
		: RC_LIMIT;
}

enum rc sidecar_write(
	const char *dir, const char *tenant_id, const char *id, const void *json, size_t len)
{
	char path[PATH_MAX];
	enum rc rc = tenant_path(dir, tenant_id, path);

	if (rc != RC_OK || len > SIDECAR_MAX)
		return rc != RC_OK ? rc : RC_LIMIT;
	if (mkdir(path, 0700) != 0 && errno != EEXIST) {
		log_warn("cannot make %s: %s", path, strerror(errno));
		return RC_UNAVAILABLE;
	}
	rc = sidecar_path(dir, tenant_id, id, path);
	if (rc != RC_OK)
		return rc;
	rc = file_write_atomic(path, json, len, 0600);
	if (rc != RC_OK)
		log_warn("cannot write %s: %s", path, strerror(errno));
	return rc;
}

enum rc sidecar_remove(const char *dir, const char *tenant_id, const char *id)
{
	char path[PATH_MAX];
	enum rc rc = sidecar_path(dir, tenant_id, id, path);

	if (rc != RC_OK)
		return rc;
	if (unlink(path) == 0)
		return RC_OK;
	if (errno == ENOENT)
		return RC_NOTFOUND;
	log_warn("cannot remove %s: %s", path, strerror(errno));
	return RC_UNAVAILABLE;
}

/* The id in a file name of ours; temporary files and strangers have none. */
static bool id_of_file(const char *file, char id[SIDECAR_ID_MAX + 1])
{
	size_t len = strlen(file), suffix = sizeof(SUFFIX) - 1;

	return len > suffix && !strcmp(file + len - suffix, SUFFIX) &&
		str_copy_len(id, SIDECAR_ID_MAX + 1, file, len - suffix) && sidecar_id_ok(id);
}

struct entry {
	char id[SIDECAR_ID_MAX + 1];
	int64_t created, expires;
};

static enum rc read_entry(const char *dir, const char *tenant_id, const char *id, struct entry *e,
	char **text, size_t *len)
{
	char path[PATH_MAX];
	struct jscan v;
	enum rc rc = sidecar_path(dir, tenant_id, id, path);

	if (rc != RC_OK)
		return rc;
	rc = file_read(path, SIDECAR_MAX, text, len);
	if (rc != RC_OK)
		return rc;
	if (jscan_parse(*text, *len, &v) == RC_OK &&
		get_time(v, "created_at", &e->created) == RC_OK &&
		get_time(v, "expires_at", &e->expires) == RC_OK &&
		str_copy(e->id, sizeof(e->id), id))
		return RC_OK;
	free(*text);
	*text = NULL;
	return RC_INVALID;
}

/* Newest first; the id decides between two of the same millisecond. */
static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->created != y->created)
		return x->created > y->created ? -1 : 1;
	return strcmp(y->id, x->id);
}

static enum rc collect(
	const char *dir, const char *tenant_id, int64_t now_ms, struct entry **list, size_t *count)
{
	char path[PATH_MAX], id[SIDECAR_ID_MAX + 1];
	size_t room = 0, len;
	struct dirent *file;
	struct entry e;
	char *text;
	DIR *d;
	enum rc rc = tenant_path(dir, tenant_id, path);

	if (rc != RC_OK)
		return rc;
	d = opendir(path);
	if (!d)
		return errno == ENOENT ? RC_OK : RC_UNAVAILABLE;
	while (*count < LISTED_MAX && (file = readdir(d))) {
		if (!id_of_file(file->d_name, id) ||
			read_entry(dir, tenant_id, id, &e, &text, &len) != RC_OK)
			continue;
		free(text);
		if (e.expires <= now_ms)
			continue;
		if (*count == room) {
			room = room ? room * 2 : 64;
			*list = xrealloc(*list, room * sizeof(**list));
		}
		(*list)[(*count)++] = e;
	}
	(void)closedir(d);
	if (*count > 0)
		qsort(*list, *count, sizeof(**list), compare_entries);
	return RC_OK;
}

/* A cursor is "<created_at, 13 digits>.<id>": it stays good when its sidecar is gone. */
static enum rc read_cursor(const char *after, struct entry *e)
{
	char *end;

	memset(e, 0, sizeof(*e));
	errno = 0;
	e->created = strtoll(after, &end, 10);
	if (errno || end != after + 13 || *end != '.' || !sidecar_id_ok(end + 1) ||
		!str_copy(e->id, sizeof(e->id), end + 1))
		return RC_INVALID;
	return RC_OK;
}

enum rc sidecar_list(const char *dir, const char *tenant_id, const char *after, size_t limit,
	int64_t now_ms, struct buf *out, char next[SIDECAR_ID_MAX + 1])
{
	struct entry *list = NULL, *last = NULL, from, again;
	size_t count = 0, put = 0, len;
	bool more = false;
	char *text;
	enum rc rc = *after ? read_cursor(after, &from) : RC_OK;

	if (rc == RC_OK)
		rc = collect(dir, tenant_id, now_ms, &list, &count);
	if (rc != RC_OK)
		goto out;
	buf_char(out, '[');
	for (size_t i = 0; i < count; i++) {
		if (*after && compare_entries(&list[i], &from) <= 0)
			continue;
		if (put == limit) {
			more = true;
			break;
		}
		last = &list[i];
		if (read_entry(dir, tenant_id, list[i].id, &again, &text, &len) != RC_OK)
			continue; /* gone since we looked */
		if (put++ > 0)
			buf_char(out, ',');
		buf_add(out, text, len);
		free(text);
	}
	buf_char(out, ']');
	next[0] = '\0';
	if (more && last)
		(void)snprintf(next, SIDECAR_ID_MAX + 1, "%013lld.%.*s",
			(long long)(last->created % (TIME_MAX_MS + 1)), ID_LEN_MAX, last->id);
	rc = out->failed ? RC_LIMIT : RC_OK;
out:
	free(list);
	return rc;
}

static int sweep_tenant(const char *dir, const char *tenant_id, int64_t now_ms)
{
	char path[PATH_MAX], id[SIDECAR_ID_MAX + 1];
	struct dirent *file;
	struct entry e;
	size_t len;
	char *text;
	int removed = 0;
	DIR *d;

	if (tenant_path(dir, tenant_id, path) != RC_OK || !(d = opendir(path)))
		return 0;
	while ((file = readdir(d))) {
		if (!id_of_file(file->d_name, id) ||
			read_entry(dir, tenant_id, id, &e, &text, &len) != RC_OK)
			continue;
		free(text);
		if (e.expires <= now_ms && sidecar_remove(dir, tenant_id, id) == RC_OK)
			removed++;
	}
	(void)closedir(d);
	return removed;
}

int sidecar_sweep(const char *dir, int64_t now_ms)
{
	DIR *d = opendir(dir);
	struct dirent *tenant;
	int removed = 0;

	if (!d)
		return 0;
	while ((tenant = readdir(d)))
		if (tenant_ok(tenant->d_name))
			removed += sweep_tenant(dir, tenant->d_name, now_ms);
	(void)closedir(d);
	return removed;
}
