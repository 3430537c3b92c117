/* snapfix: a source database, a configuration and tools over them, in a private directory. For the
 * worker's snapshot tests. */
#ifndef TESTS_SNAPFIX_H
#define TESTS_SNAPFIX_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <ftw.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/buf.h"
#include "shared/clock.h"
#include "shared/jscan.h"
#include "worker/heap.h"
#include "worker/tools.h"
#include "worker/wconfig.h"

struct fix {
	char dir[64], db[96], url[128], data[96];
	struct wconfig *c;
	struct tools *t;
	pthread_mutex_t lock; /* over the sidecar below */
	atomic_int made, gone;
	char sidecar[8192];
};

static inline void fix_notify(void *ctx, const char *id, const char *json, size_t len)
{
	struct fix *f = ctx;

	assert_true(strncmp(id, "snap_", 5) == 0);
	if (!json) {
		atomic_fetch_add(&f->gone, 1);
		return;
	}
	pthread_mutex_lock(&f->lock);
	assert_true(len < sizeof(f->sidecar));
	memcpy(f->sidecar, json, len);
	f->sidecar[len] = '\0';
	pthread_mutex_unlock(&f->lock);
	atomic_fetch_add(&f->made, 1);
}

static inline void fix_sql(const char *path, const char *sql)
{
	sqlite3 *db;
	char *err = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &err) != SQLITE_OK)
		fail_msg("%s", err);
	sqlite3_close(db);
}

/* The directory and, unless sql is NULL, the source database. */
static inline void fix_dirs(struct fix *f, const char *sql)
{
	memset(f, 0, sizeof(*f));
	pthread_mutex_init(&f->lock, NULL);
	assert_int_equal(heap_install(), RC_OK);
	snprintf(f->dir, sizeof(f->dir), "%s", "/tmp/airlock-test.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->db, sizeof(f->db), "%s/source.db", f->dir);
	snprintf(f->url, sizeof(f->url), "sqlite:%s", f->db);
	snprintf(f->data, sizeof(f->data), "%s/data", f->dir);
	if (sql)
		fix_sql(f->db, sql);
}

static inline void fix_config(struct fix *f, const char *yaml)
{
	struct wconfig_error err = {.text = ""};
	char *text = malloc(strlen(yaml) + 256);

	sprintf(text, "worker:\n  data_dir: %s\n%s", f->data, yaml);
	if (wconfig_parse("test.yaml", text, strlen(text), &f->c, &err) != RC_OK)
		fail_msg("%s", err.text);
	free(text);
}

static inline enum rc fix_tools(struct fix *f, struct wconfig_error *err)
{
	static const uint8_t secret[32] = {1, 2, 3, 4, 5, 6, 7, 8, 9};

	return tools_open(f->c, f->url, secret, fix_notify, f, &f->t, err);
}

static inline void fix_open(struct fix *f, const char *sql, const char *yaml)
{
	struct wconfig_error err = {.text = ""};

	fix_dirs(f, sql);
	fix_config(f, yaml);
	if (fix_tools(f, &err) != RC_OK)
		fail_msg("%s", err.text);
}

static inline int fix_remove(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static inline void fix_close(struct fix *f)
{
	tools_close(f->t);
	wconfig_free(f->c);
	nftw(f->dir, fix_remove, 8, FTW_DEPTH | FTW_PHYS);
	pthread_mutex_destroy(&f->lock);
}

/* Files in data_dir that end so. */
static inline int fix_files(const struct fix *f, const char *suffix)
{
	DIR *d = opendir(f->data);
	struct dirent *e;
	int n = 0;

	assert_non_null(d);
	while ((e = readdir(d))) {
		size_t len = strlen(e->d_name), s = strlen(suffix);

		n += len > s && strcmp(e->d_name + len - s, suffix) == 0;
	}
	closedir(d);
	return n;
}

#define FIX_DEADLINE_MS 60000 /* of a call that says no other */

/* Calls a tool; the caller buf_free()s out->json. */
static inline void fix_call_until(struct fix *f, const char *name, const char *arguments,
	int64_t deadline_ms, const atomic_bool *cancelled, struct tool_result *out)
{
	struct tool_call call = {.name = name, .cancelled = cancelled};

	if (arguments)
		assert_int_equal(jscan_parse(arguments, strlen(arguments), &call.arguments), RC_OK);
	call.deadline_mono_ms = clock_mono_ms() + deadline_ms;
	memset(out, 0, sizeof(*out));
	buf_init(&out->json, 64 << 20);
	tools_call(f->t, &call, out);
	assert_false(out->json.failed);
	/* Whatever it says, it must be JSON. */
	if (out->outcome != TOOL_UNKNOWN) {
		struct jscan v;

		assert_int_equal(jscan_parse((char *)out->json.data, out->json.len, &v), RC_OK);
		buf_char(&out->json, '\0');
		out->json.len--;
	}
}

static inline void fix_call(
	struct fix *f, const char *name, const char *arguments, struct tool_result *out)
{
	fix_call_until(f, name, arguments, FIX_DEADLINE_MS, NULL, out);
}

#define fix_text(r) ((const char *)(r)->json.data)

/* The answer has this outcome and holds this text. */
static inline void fix_expect(struct fix *f, const char *name, const char *arguments,
	enum tool_outcome outcome, const char *text)
{
	struct tool_result r;

	fix_call(f, name, arguments, &r);
	if (r.outcome != outcome || (text && !strstr(fix_text(&r), text)))
		fail_msg("%s %s: outcome %d, %s", name, arguments ? arguments : "", (int)r.outcome,
			r.json.data ? fix_text(&r) : "(nothing)");
	buf_free(&r.json);
}

#endif
