/* Fills a state database and a journal in seconds, with the product's own functions, for the lines
 * that ask how things grow. seed tenants STATE_DB COUNT             tenants bench-1, bench-2, ...
 *   seed keys STATE_DB TENANT_ID COUNT      API keys that nobody knows the secret of
 *   seed workers STATE_DB COUNT IDENTITIES  enrolled workers, eight to a tenant, and their
 * identities (identities.h) seed journal FILE ROWS                  a whole, chained audit log */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/apikey.h"
#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/store.h"
#include "shared/text.h"
#include "tests/bench/identities.h"

#define BATCH 1000 /* rows a transaction */
#define CHUNK (4 * 1024 * 1024)
#define ROW_EVERY_MS 25
#define WORKERS_PER_TENANT 8

static struct audit_record who;

static void must(enum rc rc, const char *what)
{
	if (rc != RC_OK)
		die("%s: failed (%d)", what, (int)rc);
}

/* One row of whatever is made; n counts from 1. */
typedef void make_fn(struct db *db, long n, void *ctx);

/* The records that these changes put into the outbox are dropped: the seeded state is one that has
 * been there for long. */
static void fill(const char *path, long count, make_fn *make, void *ctx)
{
	struct db *db;

	must(db_open(path, &db), path);
	for (long n = 1; n <= count; n++) {
		if (n % BATCH == 1)
			must(db_begin(db), "begin");
		make(db, n, ctx);
		if (n % BATCH == 0 || n == count) {
			must(outbox_delete(db, INT64_MAX), "outbox");
			must(db_commit(db), "commit");
		}
	}
	db_close(db);
}

static void make_tenant(struct db *db, long n, void *ctx)
{
	char slug[64];
	struct tenant t;
	enum rc rc;

	(void)ctx;
	(void)snprintf(slug, sizeof slug, "bench-%ld", n);
	rc = tenant_create(db, slug, slug, NULL, &who, &t);
	if (rc != RC_CONFLICT) /* there from a smaller step */
		must(rc, "tenant");
}

static void make_key(struct db *db, long n, void *ctx)
{
	struct api_key *k = ctx;

	(void)n;
	crypto_id("k", k->id, sizeof k->id);
	must(api_key_create(db, k, &who), "key");
}

static void seed_keys(const char *path, const char *tenant_id, long count)
{
	struct api_key k = {
		.name = "bench", .rate_per_minute = -1, .created_at = clock_wall_ms() / 1000};

	str_copy(k.tenant_id, sizeof k.tenant_id, tenant_id);
	must(apikey_hash("a secret that is given to nobody at all", k.hash, sizeof k.hash), "hash");
	fill(path, count, make_key, &k);
}

static void make_worker(struct db *db, long n, void *ctx)
{
	struct seeded *s = (struct seeded *)ctx + n - 1;
	struct enrollment e = {.name = "bench", .created_at = clock_wall_ms() / 1000};
	uint8_t hash[CRYPTO_HASH_LEN];
	struct worker made;

	if (n % WORKERS_PER_TENANT == 1)
		make_tenant(db, 1 + n / WORKERS_PER_TENANT, NULL);
	(void)snprintf(
		s->tenant_id, sizeof s->tenant_id, "t_bench-%ld", 1 + (n - 1) / WORKERS_PER_TENANT);
	e.expires_at = e.created_at + 3600;
	crypto_id("e", e.id, sizeof e.id);
	str_copy(e.tenant_id, sizeof e.tenant_id, s->tenant_id);
	crypto_random(hash, sizeof hash);
	crypto_identity_new(&s->identity);
	must(enrollment_create(db, &e, hash, &who), "enrollment");
	must(worker_enroll(db, e.id, hash, s->identity.public_key, NULL, &who, &made), "worker");
	str_copy(s->worker_id, sizeof s->worker_id, made.id);
}

static void write_all(int fd, const void *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n <= 0)
			die("the file can't be written");
		bytes = (const char *)bytes + n;
		len -= (size_t)n;
	}
}

static int create(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		die("%s can't be made", path);
	return fd;
}

static void seed_workers(const char *path, long count, const char *identities)
{
	struct seeded *made = xcalloc((size_t)count, sizeof *made);
	int fd = create(identities);

	fill(path, count, make_worker, made);
	write_all(fd, made, (size_t)count * sizeof *made);
	(void)close(fd);
	mem_wipe(made, (size_t)count * sizeof *made);
	free(made);
}

/* A row as the relay writes it. */
static void call_record(struct audit_record *r)
{
	audit_init(r, "tool.call");
	str_copy(r->tenant_id, sizeof r->tenant_id, "t_fintech");
	str_copy(r->actor_kind, sizeof r->actor_kind, "agent");
	str_copy(r->actor_id, sizeof r->actor_id, "mfrggzdfmztwq2lk");
	str_copy(r->actor_name, sizeof r->actor_name, "bench");
	str_copy(r->key_id, sizeof r->key_id, "mfrggzdfmztwq2lk");
	str_copy(r->method, sizeof r->method, "tools/call");
	str_copy(r->tool, sizeof r->tool, "execute_sql");
	str_copy(r->outcome, sizeof r->outcome, "ok");
	str_copy(r->session_id, sizeof r->session_id, "s_mfrggzdfmztwq2lk");
	str_copy(r->worker_id, sizeof r->worker_id, "w_mfrggzdfmztwq2lk");
	str_copy(r->remote_ip, sizeof r->remote_ip, "127.0.0.1");
	r->latency_ms = 3;
	r->bytes_in = 150;
	r->bytes_out = 900;
}

static void seed_journal(const char *path, long rows)
{
	char prev[AUDIT_HASH_LEN + 1];
	uint8_t hash[CRYPTO_HASH_LEN];
	struct audit_record r;
	int64_t from = clock_wall_ms() - rows * ROW_EVERY_MS;
	struct buf b;
	int fd = create(path);

	memset(prev, '0', AUDIT_HASH_LEN);
	prev[AUDIT_HASH_LEN] = '\0';
	buf_init(&b, 2 * (size_t)CHUNK);
	call_record(&r);
	for (long n = 1; n <= rows; n++) {
		size_t start = b.len;

		(void)snprintf(r.request_id, sizeof r.request_id, "req_%016lx", (unsigned long)n);
		audit_line(&b, &r, n, from + n * ROW_EVERY_MS, prev);
		crypto_sha256(b.data + start, b.len - start, hash);
		text_hex(hash, sizeof hash, prev);
		buf_char(&b, '\n');
		if (b.len > CHUNK || n == rows) {
			write_all(fd, b.data, b.len);
			buf_reset(&b);
		}
	}
	buf_free(&b);
	(void)close(fd);
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "";

	crypto_init();
	log_init("seed", 2, LOG_FORMAT_TEXT);
	audit_init(&who, "bench.seed");
	str_copy(who.actor_kind, sizeof who.actor_kind, "system");
	if (argc == 4 && strcmp(kind, "tenants") == 0)
		fill(argv[2], atol(argv[3]), make_tenant, NULL);
	else if (argc == 5 && strcmp(kind, "keys") == 0)
		seed_keys(argv[2], argv[3], atol(argv[4]));
	else if (argc == 5 && strcmp(kind, "workers") == 0 && atol(argv[3]) > 0)
		seed_workers(argv[2], atol(argv[3]), argv[4]);
	else if (argc == 4 && strcmp(kind, "journal") == 0)
		seed_journal(argv[2], atol(argv[3]));
	else
		die("usage: seed tenants|keys|workers|journal ...");
	return 0;
}
