/* store_fixture: what the tests of the state share: a database in a directory of its own, and short
 * ways to make rows. Included after <cmocka.h>. */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/apikey.h"
#include "shared/clock.h"
#include "shared/mem.h"
#include "shared/store.h"

struct fixture {
	char dir[32], path[64];
	struct db *db;
};

static inline struct fixture *fixture_of(void **state)
{
	return *state;
}

static inline struct db *fixture_open(const struct fixture *f)
{
	struct db *db = NULL;

	assert_int_equal(db_open(f->path, &db), RC_OK);
	assert_int_equal(db_migrate(db), RC_OK);
	return db;
}

static inline int fixture_setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	str_copy(f->dir, sizeof(f->dir), "/tmp/store.XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/state.db", f->dir);
	f->db = fixture_open(f);
	*state = f;
	return 0;
}

static inline int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	struct dirent *entry;
	char name[512];
	DIR *dir;

	db_close(f->db);
	dir = opendir(f->dir);
	while (dir && (entry = readdir(dir))) {
		snprintf(name, sizeof(name), "%s/%s", f->dir, entry->d_name);
		unlink(name);
	}
	closedir(dir);
	rmdir(f->dir);
	free(f);
	return 0;
}

static inline struct audit_record fixture_who(void)
{
	struct audit_record r;

	audit_init(&r, "");
	str_copy(r.actor_kind, sizeof(r.actor_kind), "operator");
	str_copy(r.request_id, sizeof(r.request_id), "req_test");
	return r;
}

static inline struct tenant fixture_tenant(struct db *db, const char *slug)
{
	struct audit_record who = fixture_who();
	struct tenant t;

	assert_int_equal(tenant_create(db, slug, "A name", NULL, &who, &t), RC_OK);
	return t;
}

/* A key whose hash is given, or is no hash at all (NULL). */
static inline void fixture_key(
	struct db *db, const char *tenant_id, const char *id, const char *hash, int64_t created_at)
{
	struct audit_record who = fixture_who();
	struct api_key k = {.rate_per_minute = -1, .created_at = created_at};

	str_copy(k.id, sizeof(k.id), id);
	str_copy(k.tenant_id, sizeof(k.tenant_id), tenant_id);
	str_copy(k.name, sizeof(k.name), "A key");
	str_copy(k.hash, sizeof(k.hash), hash ? hash : "none");
	assert_int_equal(api_key_create(db, &k, &who), RC_OK);
}

/* How many rows of that event are in the outbox; *last (or NULL) gets the newest. */
static inline size_t fixture_records(struct db *db, const char *event, struct audit_record *last)
{
	struct outbox_row *rows;
	size_t count, n = 0;

	assert_int_equal(outbox_list(db, 0, 100000, &rows, &count), RC_OK);
	for (size_t i = 0; i < count; i++) {
		if (strcmp(rows[i].record.event, event) != 0)
			continue;
		n++;
		if (last)
			*last = rows[i].record;
	}
	free(rows);
	return n;
}

#define FIXTURE_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

#endif
