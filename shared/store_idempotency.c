#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/mem.h"
#include "shared/store.h"
#include "shared/store_sql.h"

static enum rc read_answer(
	sqlite3_stmt *st, const uint8_t request_hash[CRYPTO_HASH_LEN], int *status, char **body)
{
	const void *hash = sqlite3_column_blob(st, 0);
	size_t len = (size_t)sqlite3_column_bytes(st, 0);
	const char *text = (const char *)sqlite3_column_text(st, 2);

	if (!hash || !crypto_equal(hash, len, request_hash, CRYPTO_HASH_LEN))
		return RC_CONFLICT;
	*status = (int)sql_int(st, 1);
	*body = xstrdup(text ? text : "");
	return RC_OK;
}

enum rc idempotency_find(struct db *db, const char *scope, const char *key,
	const uint8_t request_hash[CRYPTO_HASH_LEN], int *status, char **body)
{
	sqlite3_stmt *st;
	enum rc rc = sql_query(db, &st,
		"SELECT request_hash, status, body FROM idempotency"
		" WHERE scope = ? AND key = ? AND expires_at > ?",
		"ssi", scope, key, clock_wall_s());

	if (rc != RC_OK)
		return rc;
	rc = sql_step(db, st);
	if (rc == RC_OK)
		rc = read_answer(st, request_hash, status, body);
	sqlite3_reset(st);
	return rc;
}

enum rc idempotency_keep(struct db *db, const char *scope, const char *key,
	const uint8_t request_hash[CRYPTO_HASH_LEN], int status, const char *body,
	int64_t expires_at)
{
	struct sql_change c;
	enum rc rc = sql_change_begin(db, &c);

	if (rc != RC_OK)
		return rc;
	/* Each keeps the table small in passing. */
	rc = sql_exec(
		db, NULL, "DELETE FROM idempotency WHERE expires_at <= ?", "i", clock_wall_s());
	if (rc == RC_OK)
		rc = sql_exec(db, NULL,
			"INSERT INTO idempotency (scope, key, request_hash, status, body,"
			" expires_at) VALUES (?, ?, ?, ?, ?, ?)",
			"ssbisi", scope, key, request_hash, (size_t)CRYPTO_HASH_LEN,
			(int64_t)status, body, expires_at);
	return sql_change_end(&c, rc);
}
