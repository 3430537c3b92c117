#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "shared/crypto.h"
#include "shared/store_sql.h"
#include "tests/unit/shared/store_fixture.h"

/* --- idempotency ------------------------------------------------------------------ */

static const uint8_t request[CRYPTO_HASH_LEN] = {1}, other_request[CRYPTO_HASH_LEN] = {2};

static void an_answer_is_bound_to_its_scope_and_request(void **state)
{
	struct db *db = fixture_of(state)->db;
	char *body = NULL;
	int status = 0;

	assert_int_equal(idempotency_find(db, "s", "k", request, &status, &body), RC_NOTFOUND);
	assert_int_equal(
		idempotency_keep(db, "s", "k", request, 201, "{}", clock_wall_s() + 60), RC_OK);
	assert_int_equal(idempotency_keep(db, "s", "k", request, 201, "{}", clock_wall_s() + 60),
		RC_CONFLICT);
	assert_int_equal(
		idempotency_find(db, "s", "k", other_request, &status, &body), RC_CONFLICT);
	assert_null(body);
	assert_int_equal(idempotency_find(db, "s2", "k", request, &status, &body), RC_NOTFOUND);
	assert_int_equal(idempotency_find(db, "s", "k2", request, &status, &body), RC_NOTFOUND);
	assert_int_equal(idempotency_find(db, "s", "k", request, &status, &body), RC_OK);
	assert_int_equal(status, 201);
	assert_string_equal(body, "{}");
	free(body);
}

static void an_expired_answer_is_forgotten(void **state)
{
	struct db *db = fixture_of(state)->db;
	char *body;
	int status;

	assert_int_equal(
		idempotency_keep(db, "s", "k", request, 201, "{}", clock_wall_s() - 1), RC_OK);
	assert_int_equal(idempotency_find(db, "s", "k", request, &status, &body), RC_NOTFOUND);
	/* The next one sweeps it, so its key is free again. */
	assert_int_equal(
		idempotency_keep(db, "s", "k", other_request, 200, "[]", clock_wall_s() + 60),
		RC_OK);
	assert_int_equal(idempotency_find(db, "s", "k", other_request, &status, &body), RC_OK);
	free(body);
}

static void an_answer_goes_with_its_transaction(void **state)
{
	struct db *db = fixture_of(state)->db;
	char *body;
	int status;

	assert_int_equal(db_begin(db), RC_OK);
	assert_int_equal(
		idempotency_keep(db, "s", "k", request, 201, "{}", clock_wall_s() + 60), RC_OK);
	db_rollback(db);
	assert_int_equal(idempotency_find(db, "s", "k", request, &status, &body), RC_NOTFOUND);
}

/* --- the outbox -------------------------------------------------------------------- */

static void put(struct db *db, const char *target)
{
	struct audit_record r;

	audit_init(&r, "test.event");
	str_copy(r.target, sizeof(r.target), target);
	assert_int_equal(outbox_put(db, &r), RC_OK);
}

static void rows_come_oldest_first_and_ids_are_never_used_again(void **state)
{
	struct db *db = fixture_of(state)->db;
	struct outbox_row *rows;
	char target[32];
	int64_t last;
	size_t count;

	for (int i = 0; i < 40; i++) {
		snprintf(target, sizeof(target), "n%d", i);
		put(db, target);
	}
	assert_int_equal(outbox_list(db, 0, 33, &rows, &count), RC_OK);
	assert_int_equal(count, 33);
	for (size_t i = 0; i < count; i++) {
		snprintf(target, sizeof(target), "n%zu", i);
		assert_string_equal(rows[i].record.target, target);
		assert_true(i == 0 || rows[i].id > rows[i - 1].id);
	}
	last = rows[32].id;
	free(rows);
	assert_int_equal(outbox_list(db, last, 33, &rows, &count), RC_OK);
	assert_int_equal(count, 7);
	last = rows[6].id;
	free(rows);
	assert_int_equal(outbox_delete(db, last), RC_OK);
	assert_int_equal(outbox_list(db, 0, 33, &rows, &count), RC_OK);
	assert_int_equal(count, 0);
	free(rows);
	put(db, "next");
	assert_int_equal(outbox_list(db, 0, 33, &rows, &count), RC_OK);
	assert_int_equal(count, 1);
	assert_true(rows[0].id > last);
	free(rows);
}

static void a_record_comes_back_as_it_was_put(void **state)
{
	struct db *db = fixture_of(state)->db;
	struct audit_record r;
	struct outbox_row *rows;
	size_t count;

	audit_init(&r, "tool.call");
	strcpy(r.actor_name, "a \"name\" \xc3\xa9\n");
	strcpy(r.change, "{\"a\":[1,2]}");
	r.latency_ms = 0;
	r.bytes_in = INT64_MAX;
	assert_int_equal(outbox_put(db, &r), RC_OK);
	assert_int_equal(outbox_list(db, 0, 1, &rows, &count), RC_OK);
	assert_int_equal(count, 1);
	assert_memory_equal(&rows[0].record, &r, sizeof(r));
	free(rows);
}

/* What the writer could never read back is refused at the door, and the change with it. */
static void a_record_that_can_not_be_read_back_is_refused(void **state)
{
	struct db *db = fixture_of(state)->db;
	struct audit_record r;

	audit_init(&r, "x");
	strcpy(r.change, "{\"broken\":");
	assert_int_equal(outbox_put(db, &r), RC_INTERNAL);
	audit_init(&r, "x");
	memset(r.target, 0xff, sizeof(r.target) - 1); /* each becomes three bytes of U+FFFD */
	assert_int_equal(outbox_put(db, &r), RC_INTERNAL);
	assert_int_equal(fixture_records(db, "x", NULL), 0);
	put(db, "fine");
}

static void a_damaged_row_is_told(void **state)
{
	struct db *db = fixture_of(state)->db;
	struct outbox_row *rows;
	size_t count;

	put(db, "fine");
	assert_int_equal(sql_run(db, "INSERT INTO outbox (record) VALUES ('{damaged')"), RC_OK);
	assert_int_equal(outbox_list(db, 0, 10, &rows, &count), RC_INTERNAL);
	assert_int_equal(outbox_list(db, 0, 1, &rows, &count), RC_OK);
	assert_int_equal(count, 1);
	free(rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(an_answer_is_bound_to_its_scope_and_request),
		FIXTURE_TEST(an_expired_answer_is_forgotten),
		FIXTURE_TEST(an_answer_goes_with_its_transaction),
		FIXTURE_TEST(rows_come_oldest_first_and_ids_are_never_used_again),
		FIXTURE_TEST(a_record_comes_back_as_it_was_put),
		FIXTURE_TEST(a_record_that_can_not_be_read_back_is_refused),
		FIXTURE_TEST(a_damaged_row_is_told),
	};

	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
