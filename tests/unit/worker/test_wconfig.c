/* airlock.yaml: what it says when right, and where it says it is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/wconfig.h"

#define MINIMAL "root_table: t\ntables:\n  - name: t\n"

static enum rc parse(const char *text, struct wconfig **c, struct wconfig_error *err)
{
	*c = NULL;
	return wconfig_parse("a.yaml", text, strlen(text), c, err);
}

static void defaults(void **state)
{
	struct wconfig_error err = {.text = ""};
	struct wconfig *c;

	(void)state;
	assert_int_equal(parse(MINIMAL, &c, &err), RC_OK);
	assert_string_equal(c->path, "a.yaml");
	assert_string_equal(c->state_dir, "/var/lib/airlock-worker");
	assert_string_equal(c->data_dir, "/dev/shm/airlock-worker");
	assert_null(c->ca_file);
	assert_int_equal(c->snapshot_engine, SNAPSHOT_SQLITE);
	assert_int_equal(c->threads, 4);
	assert_string_equal(c->tables[0].key, "id");
	assert_null(c->root_filter_col);
	assert_int_equal(c->tables[0].line, 3);
	assert_false(c->default_redact);
	assert_int_equal(c->snapshot_ttl_s, 300);
	assert_int_equal(c->snapshot_max_rows, 200000);
	assert_int_equal(c->snapshot_max_bytes, 268435456);
	assert_int_equal(c->snapshots_max, 64);
	assert_int_equal(c->query_timeout_ms, 10000);
	assert_int_equal(c->query_max_memory, 67108864);
	assert_int_equal(c->result_max_rows, 1000);
	assert_int_equal(c->result_max_bytes, 1048576);
	assert_int_equal(c->null_rates_min_group, 5);
	wconfig_free(c);
}

static void everything(void **state)
{
	static const char text[] =
		"worker: {name: w1, state_dir: /s, data_dir: /d, ca_file: /c.pem, threads: 8,\n"
		"  duckdb_library: /l.so}\n"
		"snapshot_engine: duckdb\n"
		"description: Things\n"
		"root_table: p\n"
		"root_filter_col: no\n"
		"tables:\n"
		"  - name: p\n"
		"    key: pk\n"
		"    mask: {a: hash, b: redact, c: null, d: keep}\n"
		"    exclude_columns: [e, f]\n"
		"  - {name: k, parent: p, fk: p_id}\n"
		"  - {name: v, via: k, via_fk: v_id}\n"
		"default_mask: redact\n"
		"snapshot_ttl_s: 60\n"
		"limits: {snapshot_max_rows: 10, snapshot_max_bytes: 65536, snapshots_max: 2, "
		"query_timeout_ms: 50,\n"
		"         query_max_memory: 1048576, result_max_rows: 3, result_max_bytes: 2048, "
		"null_rates_min_group: 1}\n"
		"hints: [one, 'zwei \xc3\xbc']\n"
		"sample_queries:\n"
		"  - title: All\n"
		"    sql: SELECT 1\n";
	struct wconfig_error err = {.text = ""};
	struct wconfig *c;

	(void)state;
	if (parse(text, &c, &err) != RC_OK)
		fail_msg("%s", err.text);
	assert_string_equal(c->name, "w1");
	assert_string_equal(c->ca_file, "/c.pem");
	assert_string_equal(c->duckdb_library, "/l.so");
	assert_int_equal(c->snapshot_engine, SNAPSHOT_DUCKDB);
	assert_int_equal(c->threads, 8);
	assert_string_equal(c->root_filter_col, "no");
	assert_int_equal(c->table_count, 3);
	assert_string_equal(c->tables[0].key, "pk");
	assert_int_equal(c->tables[0].mask_count, 4);
	assert_int_equal(c->tables[0].masks[0].mask.kind, MASK_HASH);
	assert_int_equal(c->tables[0].masks[1].mask.kind, MASK_REDACT);
	assert_int_equal(c->tables[0].masks[2].mask.kind, MASK_NULL);
	assert_int_equal(c->tables[0].masks[3].mask.kind, MASK_KEEP);
	assert_string_equal(c->tables[0].exclude_columns[1], "f");
	assert_string_equal(c->tables[1].parent, "p");
	assert_string_equal(c->tables[1].fk, "p_id");
	assert_string_equal(c->tables[2].via, "k");
	assert_string_equal(c->tables[2].via_fk, "v_id");
	assert_int_equal(c->tables[2].line, 13);
	assert_true(c->default_redact);
	assert_int_equal(c->snapshot_ttl_s, 60);
	assert_int_equal(c->result_max_rows, 3);
	assert_string_equal(c->hints[1], "zwei \xc3\xbc");
	assert_string_equal(c->queries[0].sql, "SELECT 1");
	wconfig_free(c);
}

#define MASKED "root_table: t\ntables:\n  - name: t\n    mask: {a: "

static void refusals(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"", "a.yaml:1: the file is empty"},
		{"[]", "a.yaml:1: the file must be a mapping"},
		{"tables: []\n", "root_table is missing"},
		{MINIMAL "rot_table: x\n",
			"a.yaml:4: unknown key 'rot_table' in the file; did you mean "
			"'root_table'?"},
		{MINIMAL "root_table: u\n", "a.yaml:4: duplicate key 'root_table' in the file"},
		{MINIMAL "limits:\n  snapshot_max_row: 1\n",
			"a.yaml:5: unknown key 'snapshot_max_row' in limits; did you mean "
			"'snapshot_max_rows'?"},
		{MINIMAL "limits: {result_max_rows: 0}\n",
			"'result_max_rows' must be a whole number from 1 to 100000"},
		{MINIMAL "limits: {result_max_rows: 1e3}\n", "must be a whole number"},
		{MINIMAL "limits: {result_max_rows: -1}\n", "must be a whole number"},
		{MINIMAL "limits: {result_max_rows: 99999999999999999999}\n",
			"must be a whole number"},
		{MINIMAL "limits: {result_max_rows: [1]}\n", "must be a whole number"},
		{MINIMAL "limits: 5\n", "limits must be a mapping"},
		{MINIMAL "snapshot_ttl_s: 0\n", "a.yaml:4: 'snapshot_ttl_s' must be"},
		{MINIMAL "default_mask: hash\n", "'default_mask' must be keep or redact"},
		{MINIMAL "strict: maybe\n", "'strict' must be true or false"},
		{MINIMAL "worker: {data_dir: relative}\n", "'data_dir' must be an absolute path"},
		{MINIMAL "worker: {threads: 65}\n", "from 1 to 64"},
		{MINIMAL "hints: [[a]]\n", "'hints' must be text"},
		{MINIMAL "hints: ['']\n", "'hints' must not be empty"},
		{MINIMAL "hints: a\n", "'hints' must be a list"},
		{MINIMAL "sample_queries: [{title: a}]\n", "needs title and sql"},
		{MINIMAL "description: ''\n", "'description' must not be empty"},
		{MINIMAL "? [a]\n: b\n", "is not a name"},
		{MINIMAL "---\nroot_table: x\n", "only one YAML document"},
		{"root_table: t\ntables:\n  - name: t\n    mask: {a: hush}\n",
			"a.yaml:4: the mask of column 'a' must be hash, token, email, partial, "
			"text, "
			"date_shift, noise, bucket, redact, null or keep; did you mean 'hash'?"},
		{MASKED "{kind: partial, lats: 4}}\n",
			"a.yaml:4: column 'a': the mask partial has no option 'lats'; did you mean "
			"'last'?"},
		{MASKED "{kind: partial, last: 9}}\n",
			"a.yaml:4: column 'a': 'last' must be a whole number from 1 to 8"},
		{MASKED "{kind: hash, last: 4}}\n", "the mask hash has no option 'last'"},
		{MASKED "{last: 4}}\n", "has options but no kind"},
		{MASKED "{kind: nose}}\n", "did you mean 'noise'?"},
		{MASKED "{kind: noise, percent: 1e3}}\n", "'percent' must be a number"},
		{MASKED "{kind: date_shift, days: 0}}\n", "'days' must be a whole number"},
		{MASKED "bucket}\n", "bucket needs either size"},
		{MASKED "{kind: bucket, size: 5, to: year}}\n", "bucket needs either size"},
		{MASKED "{kind: bucket, to: yaer}}\n", "day, week, month, quarter or year"},
		{MASKED "{kind: redact, canary: 0}}\n", "'canary' must be true or false"},
		{MASKED "{kind: redact, canary: [a]}}\n", "must be one value"},
		{MASKED "[hash]}\n", "the mask of column 'a' must be"},
		{MINIMAL "tenant_isolation: {colum: x}\n", "did you mean 'column'?"},
		{MINIMAL "tenant_isolation: {value: x}\n", "tenant_isolation needs column"},
		{MINIMAL "tenant_isolation: {column: x, shared: [u]}\n",
			"a.yaml:4: tenant_isolation names 'u', which is not among tables"},
		{MINIMAL "tenant_isolation:\n  column: x\n  columns: {v: y}\n",
			"a.yaml:6: tenant_isolation names 'v', which is not among tables"},
		{MINIMAL "tenant_isolation: {column: x, shared: [t]}\n", "can't be shared"},
		{"root_table: t\ntables:\n  - name: t\n    mask: {a: hash, a: null}\n",
			"a.yaml:4: duplicate key 'a' in mask"},
		{"root_table: t\ntables:\n  - name: t\n    mask: {a: hash}\n    exclude_columns: "
		 "[a]\n",
			"column 'a' of table 't' is both masked and excluded"},
		{"root_table: t\ntables:\n  - name: t\n    exclude_columns: [a, a]\n",
			"column 'a' is excluded twice"},
		{"root_table: t\ntables: [{name: t}, {name: t}]\n", "table 't' is listed twice"},
		{"root_table: t\ntables: [{key: x}]\n", "a table needs a name"},
		{"root_table: tt\ntables: [{name: t}]\n", "root_table 'tt' is not among tables"},
		{"root_table: t\ntables: [{name: t}, {name: u, parent: t}]\n",
			"has parent without fk"},
		{"root_table: t\ntables: [{name: t}, {name: u, fk: t}]\n", "has fk without parent"},
		{"root_table: t\ntables: [{name: t}, {name: u, via: t}]\n",
			"has via without via_fk"},
		{"root_table: t\ntables: [{name: t}, {name: u, parent: t, fk: a, via: t, via_fk: "
		 "b}]\n",
			"both parent and via"},
		{"root_table: t\ntables: [{name: t}, {name: u, parent: u, fk: a}]\n",
			"is its own parent"},
		{"root_table: order\ntables: [{name: order}, {name: u, parent: orders, fk: a}]\n",
			"parent 'orders' of table 'u' is not among tables; did you mean 'order'?"},
		{"root_table: t\ntables: [{name: t, parent: u, fk: a}, {name: u}]\n",
			"can't have parent or via"},
		{"root_table: \"t\\nx\"\ntables: [{name: t}]\n", "without control characters"},
		{"root_table: \"t\\0x\"\ntables: [{name: t}]\n", "'root_table' must be at most"},
		{MINIMAL "database_url: x\n", "a.yaml:4: this file must not hold a database URL"},
		{MINIMAL "description: x\nhints: ['postgres://u:p@h/db']\n",
			"a.yaml:5: this file must not hold a database URL"},
		{MINIMAL "hints: [\"postgres\\x3a//u:p@h/db\"]\n", "must not hold a database URL"},
		{MINIMAL "snapshot_engine: duckdb\nworker: {data_dir: '/tmp/a?b'}\n",
			"worker.data_dir can't have a '?' in it with snapshot_engine duckdb"},
		{"\xff\xfe", "not UTF-8"},
		{"a: [", "not valid YAML"},
		{"a: *b\n", "not valid YAML"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wconfig_error err = {.text = ""};
		struct wconfig *c;

		assert_int_equal(parse(cases[i].text, &c, &err), RC_INVALID);
		assert_null(c);
		if (!strstr(err.text, cases[i].message))
			fail_msg("case %zu: %s", i, err.text);
		assert_null(strstr(err.text, "u:p@h"));
	}
}

static void too_long(void **state)
{
	struct wconfig_error err = {.text = ""};
	char *text = malloc(2 << 20);
	struct wconfig *c;
	size_t n;

	(void)state;
	memset(text, ' ', 2 << 20);
	assert_int_equal(wconfig_parse("a", text, 2 << 20, &c, &err), RC_INVALID);
	assert_non_null(strstr(err.text, "larger than"));
	n = (size_t)sprintf(text, "root_table: t\ntables:\n");
	for (int i = 0; i < 257; i++)
		n += (size_t)sprintf(text + n, "  - name: t%d\n", i);
	assert_int_equal(wconfig_parse("a", text, n, &c, &err), RC_INVALID);
	assert_non_null(strstr(err.text, "more than 256 entries"));
	n = (size_t)sprintf(text, "root_table: ");
	memset(text + n, 'x', 200);
	sprintf(text + n + 200, "\ntables: []\n");
	assert_int_equal(wconfig_parse("a", text, strlen(text), &c, &err), RC_INVALID);
	assert_non_null(strstr(err.text, "'root_table' must be at most 127 bytes"));
	free(text);
}

static void files(void **state)
{
	static const char *const names[] = {"conf/airlock.example.yaml", "demo/fintech.yaml",
		"demo/healthcare.yaml", "demo/hr.yaml"};
	struct wconfig_error err = {.text = ""};
	struct wconfig *c;

	(void)state;
	assert_int_equal(wconfig_load("/nonexistent/airlock.yaml", &c, &err), RC_INVALID);
	assert_string_equal(err.text, "/nonexistent/airlock.yaml: no such file");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (wconfig_load(names[i], &c, &err) != RC_OK)
			fail_msg("%s", err.text);
		assert_true(c->table_count >= 3);
		wconfig_free(c);
	}
}

/* Every key has its line in the example. */
static void example_is_complete(void **state)
{
	static const char *const keys[] = {
		"worker:", "name:", "state_dir:", "data_dir:", "ca_file:", "duckdb_library:",
		"threads:", "description:", "root_table:", "root_filter_col:", "tables:", "key:",
		"parent:", "fk:", "via:", "via_fk:", "mask:", "exclude_columns:", "default_mask:",
		"strict:", "snapshot_engine:", "snapshot_ttl_s:", "limits:", "snapshot_max_rows:",
		"snapshot_max_bytes:", "snapshots_max:", "query_timeout_ms:", "query_max_memory:",
		"result_max_rows:", "result_max_bytes:", "null_rates_min_group:", "hints:",
		"sample_queries:", "title:", "sql:"};
	FILE *f = fopen("conf/airlock.example.yaml", "r");
	char *text = calloc(1, 65536);

	(void)state;
	assert_non_null(f);
	assert_true(fread(text, 1, 65535, f) > 0);
	fclose(f);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!strstr(text, keys[i]))
			fail_msg("conf/airlock.example.yaml lacks %s", keys[i]);
	free(text);
}

static void upstreams(void **state)
{
	struct wconfig_error err = {.text = ""};
	struct wconfig *c;

	(void)state;
	assert_int_equal(parse("upstreams:\n"
			       "  - {name: a, command: [x, \"\"], env: [A_B], timeout_ms: 10, "
			       "max_calls: 1, forward_identity: true}\n"
			       "  - {name: b, url: \"http://[::1]:80/mcp\", prefix: \"\"}\n",
				 &c, &err),
		RC_OK);
	assert_null(c->root_table);
	assert_int_equal(c->upstream_count, 2);
	assert_string_equal(c->upstreams[0].prefix, "a_");
	assert_string_equal(c->upstreams[0].command[0], "x");
	assert_string_equal(c->upstreams[0].command[1], "");
	assert_null(c->upstreams[0].command[2]);
	assert_string_equal(c->upstreams[0].env[0], "A_B");
	assert_int_equal(c->upstreams[0].timeout_ms, 10);
	assert_int_equal(c->upstreams[0].max_calls, 1);
	assert_true(c->upstreams[0].forward_identity);
	assert_false(c->upstreams[1].forward_identity);
	assert_string_equal(c->upstreams[1].prefix, "");
	assert_int_equal(c->upstreams[1].timeout_ms, 60000);
	assert_int_equal(c->upstreams[1].max_calls, 64);
	wconfig_free(c);
}

static void wrong_upstreams_are_refused_by_line(void **state)
{
	static const struct {
		const char *yaml, *says;
	} cases[] = {
		{"upstreams: []\n", "root_table is missing"},
		{"upstreams:\n  - {command: [x]}\n", "a.yaml:2: an upstream needs a name"},
		{"upstreams:\n  - {name: a}\n",
			"a.yaml:2: upstream 'a' needs either command or url"},
		{"upstreams:\n  - {name: a, command: [x], url: \"http://localhost/\"}\n",
			"a.yaml:2:"},
		{"upstreams:\n  - {name: a, command: []}\n", "a.yaml:2: 'command' must be a list"},
		{"upstreams:\n  - {name: a b, command: [x]}\n", "a.yaml:2: the name"},
		{"upstreams:\n  - name: a\n    command: [x]\n    prefix: \"a b\"\n",
			"a.yaml:4: 'prefix'"},
		{"upstreams:\n  - {name: a, command: [x], env: [\"A=b\"]}\n", "a.yaml:2: 'env'"},
		{"upstreams:\n  - {name: a, comand: [x]}\n", "did you mean 'command'?"},
		{"upstreams:\n  - {name: a, command: [x]}\n  - {name: a, command: [y]}\n",
			"a.yaml:3: upstream 'a' is listed twice"},
		{"upstreams:\n  - {name: a, url: \"http://example.com/\"}\n", "a.yaml:2: 'url'"},
		{"upstreams:\n  - {name: a, url: \"http://127.0.0.1@example.com/\"}\n",
			"a.yaml:2: 'url'"},
		{"upstreams:\n  - {name: a, url: \"http://localhost:x@example.com/\"}\n",
			"a.yaml:2: 'url'"},
		{"upstreams:\n  - {name: a, url: \"http://[::1].example.com/\"}\n",
			"a.yaml:2: 'url'"},
		{"upstreams:\n  - {name: a, url: \"https://localhost/\"}\n", "a.yaml:2: 'url'"},
		{"upstreams:\n  - {name: a, command: [x]}\ntables:\n  - name: t\n", "root_table"},
	};
	struct wconfig_error err = {.text = ""};
	struct wconfig *c;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(parse(cases[i].yaml, &c, &err), RC_INVALID);
		if (strstr(err.text, cases[i].says) == NULL)
			fail_msg("%s: %s", cases[i].yaml, err.text);
	}
}

static void keep_mistake(void *ctx, const char *text)
{
	char(*list)[512] = ctx;
	int n = 0;

	while (list[n][0])
		n++;
	assert_true(n < 15);
	snprintf(list[n], sizeof(list[n]), "%s", text);
}

/* Who asks for all mistakes is told them all, in the order of the file. */
static void all_mistakes(void **state)
{
	static const char *const both[] = {
		"root_table: t\nstrct: true\ntables:\n"
		"  - {name: t, mask: {a: hsh, b: {kind: partial, lst: 4}, c: keep}}\n"
		"  - {naem: u}\n"
		"  - {name: t, fk: x}\n"
		"snapshot_engine: oracle\nupstreams: [{nme: x}]\nlimits: {snapshots_max: 0}\n",
		"root_table: tt\ntables:\n  - {name: t1}\n  - {name: u, parent: t2, fk: a}\n"
		"  - {name: v, via: w, via_fk: b}\n"
		"tenant_isolation: {column: c, shared: [x1], columns: {y1: z}}\n"};
	static const char *const wants[2][10] = {
		{"a.yaml:2: ", "did you mean 'hash'?", "did you mean 'last'?",
			"did you mean 'name'?",
			"a.yaml:6: ", "a.yaml:7: ", "a.yaml:8: ", "a.yaml:9: ", NULL},
		{"parent 't2' of table 'u'", "via 'w' of table 'v'", "tenant_isolation names 'y1'",
			"tenant_isolation names 'x1'", "root_table 'tt' is not among tables",
			NULL}};

	(void)state;
	for (int i = 0; i < 2; i++) {
		char list[16][512] = {""};
		struct wconfig_error err = {.each = keep_mistake, .ctx = list};
		struct wconfig *c = NULL;
		int n = 0;

		assert_int_equal(
			wconfig_parse("a.yaml", both[i], strlen(both[i]), &c, &err), RC_INVALID);
		assert_null(c);
		for (; wants[i][n]; n++)
			if (!strstr(list[n], wants[i][n]))
				fail_msg("%d: %s, not %s", n, list[n], wants[i][n]);
		if (list[n][0])
			fail_msg("%s", list[n]);
		assert_string_equal(err.text, list[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(upstreams),
		cmocka_unit_test(wrong_upstreams_are_refused_by_line),
		cmocka_unit_test(defaults),
		cmocka_unit_test(everything),
		cmocka_unit_test(refusals),
		cmocka_unit_test(too_long),
		cmocka_unit_test(files),
		cmocka_unit_test(example_is_complete),
		cmocka_unit_test(all_mistakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
