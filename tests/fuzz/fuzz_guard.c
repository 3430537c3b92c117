/* The guard: any bytes as SQL over a small snapshot. Nothing may crash, outlive its budget by much,
 * or change the snapshot. */
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/clock.h"
#include "worker/engine.h"

#define BUDGET_MS 100
/* What no statement may pass, and what the machine's other work may cost an innocent one. */
#define LATE_MS 3000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct engine_column columns[] = {
	{"id", COLUMN_INT}, {"name", COLUMN_TEXT}, {"doc", COLUMN_TEXT}, {"raw", COLUMN_BLOB}};
static const struct engine_table tables[] = {{"people", columns, 4}, {"orders", columns, 4}};
static const struct engine_shape shape = {tables, 2};

static enum budget_state check(void *ctx)
{
	const int64_t *deadline = ctx;

	return clock_mono_ms() >= *deadline ? BUDGET_TIMEOUT : BUDGET_GO;
}

static enum rc take_columns(void *ctx, const char *const *names, size_t count)
{
	(void)ctx;
	for (size_t i = 0; i < count; i++)
		if (strlen(names[i]) > 1 << 20)
			abort();
	return RC_OK;
}

static enum rc take_row(void *ctx, const struct value *values, size_t count)
{
	int *rows = ctx;
	volatile unsigned sum = 0;

	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; values[i].kind >= VALUE_TEXT && k < values[i].len; k += 4096)
			sum += ((const unsigned char *)values[i].p)[k];
	(void)sum; /* read for the sanitizer's eyes */
	return ++*rows == 1000 ? RC_LIMIT : RC_OK;
}

static struct engine *open_engine(void)
{
	struct engine_build *b;
	struct engine_message why;
	struct engine *e;
	char unfinished[64], path[64];

	snprintf(unfinished, sizeof(unfinished), "/tmp/airlock-fuzz-%d.tmp", (int)getpid());
	snprintf(path, sizeof(path), "/tmp/airlock-fuzz-%d.db", (int)getpid());
	if (engine_sqlite.init(&(struct engine_settings){.library = NULL}, &why) != RC_OK ||
		engine_sqlite.create(unfinished, &shape, 1 << 20, &b) != RC_OK)
		abort();
	for (int i = 0; i < 20; i++) {
		struct value row[4] = {value_int(i), value_text("a name", 6),
			value_text("{\"a\":[1,{\"b\":2}]}", 17),
			{.kind = VALUE_BLOB, .p = "\0\1", .len = 2}};

		if (engine_sqlite.insert(b, (size_t)(i % 2), row) != RC_OK)
			abort();
	}
	if (engine_sqlite.seal(b, path) != RC_OK || engine_sqlite.open(path, &shape, &e) != RC_OK)
		abort();
	return e;
}

static enum engine_status query(
	struct engine *e, const char *sql, size_t len, int budget_ms, int *rows)
{
	int64_t deadline = clock_mono_ms() + budget_ms;
	struct budget budget = {check, &deadline};
	struct engine_query q = {.sql = sql, .len = len, .max_memory = 16 << 20, .budget = &budget};
	struct engine_sink sink = {take_columns, take_row, rows};
	struct engine_message m;

	return engine_sqlite.query(e, &q, &sink, &m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char count[] = "SELECT id FROM people";
	static struct engine *e;
	int64_t start;
	int rows = 0;

	if (!e)
		e = open_engine();
	start = clock_mono_ms();
	query(e, (const char *)data, size, BUDGET_MS, &rows);
	if (clock_mono_ms() - start > LATE_MS)
		abort();
	rows = 0;
	if (query(e, count, strlen(count), LATE_MS, &rows) != ENGINE_OK || rows != 10)
		abort();
	return 0;
}
