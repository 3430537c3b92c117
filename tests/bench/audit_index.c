/* Writes an audit log of so many rows into DIR, as a control plane of many tenants does, unless it
 * is there; indexes it; then asks for pages as an operator would and says how long they took. The
 * rows' hashes and signatures are made up: a search does not look at them. Prints a JSON object.
 * usage: audit_index DIR ROWS [PAGES] */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "shared/audit_form.h"
#include "shared/audit_filter.h"
#include "shared/audit_index.h"
#include "shared/audit_indexing.h"
#include "shared/audit_search.h"
#include "shared/audit_segments.h"
#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/text.h"

#define START_MS 1764000000000
#define SEGMENT_BYTES ((size_t)256 << 20)
#define TENANTS 200
#define PAGE 50

static uint64_t state = 88172645463325252U;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* A few are many, many are few. */
static unsigned skewed(unsigned count)
{
	uint64_t a = next_random() % count, b = next_random() % count, c = next_random() % count;

	return (unsigned)(a < b ? (a < c ? a : c) : (b < c ? b : c));
}

static void fill(struct audit_record *r, int64_t seq)
{
	static const char *const tools[] = {"execute_sql", "get_schema", "null_rates",
		"list_tables", "explain", "sample_rows", "search_docs", "send_mail"};
	static const char *const outcomes[] = {"ok", "tool_error", "timeout", "denied", "no_worker",
		"overloaded", "too_large", "cancelled"};
	unsigned tenant = skewed(TENANTS), roll = (unsigned)(next_random() % 1000);

	audit_init(r, roll < 960 ? "tool.call" : roll < 990 ? "mcp.request" : "access.refused");
	(void)snprintf(r->tenant_id, sizeof(r->tenant_id), "t_tenant-%u", tenant);
	(void)str_copy(r->actor_kind, sizeof(r->actor_kind), "agent");
	(void)snprintf(r->actor_id, sizeof(r->actor_id), "mfrggzdfmztwq%03u%u", tenant, skewed(5));
	(void)str_copy(r->key_id, sizeof(r->key_id), r->actor_id);
	(void)snprintf(r->actor_name, sizeof(r->actor_name), "assistant %u", skewed(5));
	(void)str_copy(r->method, sizeof(r->method), "tools/call");
	(void)str_copy(r->tool, sizeof(r->tool), tools[skewed(8)]);
	(void)str_copy(r->outcome, sizeof(r->outcome), outcomes[roll < 950 ? 0 : skewed(8)]);
	(void)snprintf(r->request_id, sizeof(r->request_id), "req_%016llx",
		(unsigned long long)((uint64_t)seq * UINT64_C(0x9E3779B97F4A7C15)));
	(void)snprintf(r->session_id, sizeof(r->session_id), "s_%u_%lld", tenant,
		(long long)(seq / 100000));
	(void)snprintf(r->worker_id, sizeof(r->worker_id), "w_%u_%u", tenant, skewed(2));
	(void)snprintf(r->snapshot_id, sizeof(r->snapshot_id), "snap_%u_%lld", tenant,
		(long long)(seq / 1000));
	(void)snprintf(
		r->remote_ip, sizeof(r->remote_ip), "10.%u.%u.%u", tenant, skewed(4), skewed(250));
	r->latency_ms = (int64_t)(next_random() % 500);
	r->bytes_in = 200 + seq % 100;
	r->bytes_out = 1000 + seq % 1000;
}

static void close_segment(FILE *out, const char *path, int64_t first, int64_t last)
{
	char segment[PATH_MAX];

	if (fclose(out) != 0 || audit_segment_path(path, first, last, segment) != RC_OK ||
		rename(path, segment) != 0)
		die("can't write %s", path);
}

/* Of the right length, and as hard to compress. */
static void made_up_hash(char out[AUDIT_HASH_LEN + 1])
{
	uint64_t bytes[4];

	for (size_t i = 0; i < 4; i++)
		bytes[i] = next_random();
	text_hex((const uint8_t *)bytes, sizeof(bytes), out);
}

static void write_log(const char *path, int64_t rows)
{
	char prev[AUDIT_HASH_LEN + 1];
	struct crypto_identity id;
	struct audit_record r;
	struct buf b;
	size_t bytes = 0;
	int64_t first = 1;
	FILE *out = fopen(path, "w");

	crypto_identity_new(&id);
	buf_init(&b, AUDIT_LINE_MAX);
	for (int64_t seq = 1; out && seq <= rows; seq++) {
		buf_reset(&b);
		made_up_hash(prev);
		if (seq % 1000 == 0) {
			audit_checkpoint_line(
				&b, &id, seq, START_MS + seq * 100, prev, &(struct audit_tally){0});
		} else {
			fill(&r, seq);
			audit_line(&b, &r, seq, START_MS + seq * 100, prev);
		}
		buf_char(&b, '\n');
		if (fwrite(b.data, 1, b.len, out) != b.len)
			die("can't write %s", path);
		bytes += b.len;
		if (bytes < SEGMENT_BYTES || seq == rows)
			continue;
		close_segment(out, path, first, seq);
		out = fopen(path, "w");
		first = seq + 1;
		bytes = 0;
	}
	if (!out || fclose(out) != 0)
		die("can't write %s", path);
	buf_free(&b);
}

struct page {
	int rows;
	int64_t last;
};

static bool take(void *ctx, int64_t seq, const char *line, size_t len)
{
	struct page *p = ctx;

	(void)line;
	(void)len;
	p->last = seq;
	return ++p->rows < PAGE;
}

static int by_time(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Pages of one question: the newest one, and others all over the log. */
static void ask(const char *log, const char *index, const char *name, const struct audit_filter *f,
	int64_t rows, int pages)
{
	int64_t *took = xcalloc((size_t)pages, sizeof(*took));
	static const char *before = "";
	int found = 0;

	for (int i = 0; i < pages; i++) {
		struct page p = {0};
		struct audit_search s = {log, index, f, false, 0, INT64_MAX, 20000};
		struct audit_search_end end;
		int64_t began = clock_mono_us();

		s.from = i == 0 ? 0 : (int64_t)(next_random() % (uint64_t)rows) + 2;
		if (audit_search(&s, take, &p, &end) != RC_OK)
			die("the search failed");
		took[i] = clock_mono_us() - began;
		found += p.rows;
	}
	qsort(took, (size_t)pages, sizeof(*took), by_time);
	printf("%s{\"question\":\"%s\",\"p50_us\":%lld,\"longest_us\":%lld,\"found\":%d}", before,
		name, (long long)took[pages / 2], (long long)took[pages - 1], found);
	before = ",";
	free(took);
}

static void ask_all(const char *log, const char *index, int64_t rows, int pages)
{
	static const struct {
		const char *name, *tenant, *actor, *tool, *outcome, *event, *text;
	} questions[] = {
		{"everything", "", "", "", "", "", ""},
		{"a large tenant", "t_tenant-0", "", "", "", "", ""},
		{"a small tenant", "t_tenant-199", "", "", "", "", ""},
		{"an actor", "", "mfrggzdfmztwq1500", "", "", "", ""},
		{"a tool", "", "", "execute_sql", "", "", ""},
		{"a rare outcome", "", "", "", "cancelled", "", ""},
		{"an event", "", "", "", "", "access.refused", ""},
		{"tenant, tool, outcome, event", "t_tenant-180", "", "send_mail", "timeout",
			"tool.call", ""},
		{"tenant and another's key: none", "t_tenant-1", "mfrggzdfmztwq0000", "", "", "",
			""},
		{"two common things, never together", "", "", "execute_sql", "", "checkpoint", ""},
		{"one request id", "", "", "", "", "", "req_9e3779b97f4a7c15"},
		{"an address", "", "", "", "", "", "10.7.1.12"},
		{"two words", "", "", "", "", "", "assistant 10.7.1.12"},
		{"a word that is nowhere", "", "", "", "", "", "nowhere"},
	};
	struct audit_scope_tenant tenants[40];
	struct audit_scope scope = {tenants, 40};
	struct audit_filter f;

	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		audit_filter_init(&f);
		(void)str_copy(f.tenant, sizeof(f.tenant), questions[i].tenant);
		(void)str_copy(f.actor, sizeof(f.actor), questions[i].actor);
		(void)str_copy(f.tool, sizeof(f.tool), questions[i].tool);
		(void)str_copy(f.outcome, sizeof(f.outcome), questions[i].outcome);
		(void)str_copy(f.event, sizeof(f.event), questions[i].event);
		if (*questions[i].text && audit_filter_text(&f, questions[i].text) != RC_OK)
			die("a question is wrong");
		ask(log, index, questions[i].name, &f, rows, pages);
	}
	audit_filter_init(&f);
	f.since_ms = START_MS + rows * 30;
	f.until_ms = f.since_ms + 3600000;
	(void)str_copy(f.outcome, sizeof(f.outcome), "denied");
	ask(log, index, "an hour, an outcome", &f, rows, pages);
	for (size_t i = 0; i < scope.count; i++) {
		(void)snprintf(tenants[i].id, sizeof(tenants[i].id), "t_tenant-%zu", 100 + i);
		tenants[i].since_ms = 0;
	}
	audit_scope_sort(&scope);
	audit_filter_init(&f);
	f.scope = &scope;
	(void)str_copy(f.outcome, sizeof(f.outcome), "no_worker");
	ask(log, index, "an org of 40 tenants, an outcome", &f, rows, pages);
}

int main(int argc, char *argv[])
{
	char log[PATH_MAX], index[PATH_MAX];
	struct audit_indexing *x;
	struct stat st, all;
	int64_t rows, began, took, cpu;
	struct timespec t;
	int pages;

	if (argc != 3 && argc != 4)
		die("usage: audit_index DIR ROWS [PAGES]");
	rows = strtoll(argv[2], NULL, 10);
	pages = argc == 4 ? atoi(argv[3]) : 20;
	(void)snprintf(log, sizeof(log), "%s/audit.jsonl", argv[1]);
	if (rows < 1000 || pages < 1 || audit_index_path(log, "", index) != RC_OK)
		die("usage: audit_index DIR ROWS [PAGES]");
	crypto_init();
	if (stat(log, &st) != 0)
		write_log(log, rows);
	audit_index_remove(index);
	x = audit_indexing_new(log, index);
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	cpu = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
	began = clock_mono_us();
	if (audit_indexing_pass(x, INT64_MAX, false, NULL, NULL) != RC_OK)
		die("indexing failed");
	took = clock_mono_us() - began;
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	cpu = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000 - cpu;
	audit_indexing_free(x);
	if (stat(index, &all) != 0)
		die("there is no index");
	printf("{\"rows\":%lld,\"rows_per_s\":%.0f,\"cpu_us_per_row\":%.2f,\"index_bytes_per_row\":"
	       "%.1f,"
	       "\"questions\":[",
		(long long)rows, (double)rows * 1e6 / (double)took, (double)cpu / (double)rows,
		(double)all.st_size / (double)rows);
	ask_all(log, index, rows, pages);
	printf("]}\n");
	return 0;
}
