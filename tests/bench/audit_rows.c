/* How many rows a second the audit journal takes with so many callers, each of which waits for its
 * row to be on disk before it comes with the next, as the event loop does it; and beside it the
 * bare loop that writes as many bytes at a time and syncs, with nothing in them. Prints a JSON
 * object. usage: audit_rows DIRECTORY CALLERS SECONDS */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "tunneld/audit_writer.h"

#define CALLERS_MAX 1024
#define SAMPLES_MAX ((size_t)4 << 20)

struct caller {
	struct audit_entry entry; /* first */
	int64_t began_us;
};

static struct audit_writer *writer;
static struct caller callers[CALLERS_MAX];
static int wake;
static int64_t end_us;
static int waiting;
static uint32_t *samples;
static size_t count;

static void fill(struct audit_record *r)
{
	audit_init(r, "tool.call");
	(void)str_copy(r->tenant_id, sizeof(r->tenant_id), "t_fintech");
	(void)str_copy(r->actor_kind, sizeof(r->actor_kind), "agent");
	(void)str_copy(r->actor_id, sizeof(r->actor_id), "key_mfrggzdfmztwq2lk");
	(void)str_copy(r->key_id, sizeof(r->key_id), "key_mfrggzdfmztwq2lk");
	(void)str_copy(r->method, sizeof(r->method), "tools/call");
	(void)str_copy(r->tool, sizeof(r->tool), "execute_sql");
	(void)str_copy(r->outcome, sizeof(r->outcome), "ok");
	(void)str_copy(r->request_id, sizeof(r->request_id), "req_mfrggzdfmztwq2lk");
	(void)str_copy(r->call_id, sizeof(r->call_id), "c_mfrggzdfmztwq2lkmfrggzdfmz");
	memset(r->result_sha256, 'a', AUDIT_HASH_LEN);
	(void)str_copy(r->session_id, sizeof(r->session_id), "s_5f2c9d7a4be81035");
	(void)str_copy(r->worker_id, sizeof(r->worker_id), "w_5f2c9d7a4be81035");
	(void)str_copy(r->remote_ip, sizeof(r->remote_ip), "192.0.2.7");
	r->latency_ms = 7;
	r->bytes_in = 234;
	r->bytes_out = 1234;
	r->vouch = 12345;
}

static void notify(void *ctx)
{
	const uint64_t one = 1;

	(void)ctx;
	(void)!write(wake, &one, sizeof(one));
}

static void add(struct caller *c)
{
	c->began_us = clock_mono_us();
	waiting++;
	audit_writer_add(writer, &c->entry);
}

static void done(struct audit_entry *e, bool durable)
{
	struct caller *c = (struct caller *)(void *)e;
	int64_t now = clock_mono_us();

	waiting--;
	if (!durable)
		die("a row was not written");
	if (count < SAMPLES_MAX)
		samples[count++] = (uint32_t)(now - c->began_us);
	if (now < end_us)
		add(c);
}

static int by_value(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double journal(const char *dir, int n, double seconds, double *batch, double *row_bytes)
{
	char path[4096];
	struct crypto_identity id;
	struct audit_writer_options o = {.path = path,
		.fsync = CONFIG_FSYNC_BATCH,
		.identity = &id,
		.checkpoint_rows = 1000,
		.checkpoint_seconds = 60,
		.notify = notify};
	struct pollfd fd = {.fd = wake, .events = POLLIN};
	struct audit_stats stats;
	struct stat st;
	uint64_t ignored;
	int64_t began;
	double took;

	(void)snprintf(path, sizeof(path), "%s/audit.jsonl", dir);
	(void)unlink(path);
	crypto_identity_new(&id);
	if (audit_writer_open(&o, &writer) != RC_OK)
		die("the journal can't be opened");
	began = clock_mono_us();
	end_us = began + (int64_t)(seconds * 1e6);
	for (int i = 0; i < n; i++) {
		fill(&callers[i].entry.record);
		callers[i].entry.done = done;
		add(&callers[i]);
	}
	while (waiting > 0) {
		(void)poll(&fd, 1, -1);
		(void)!read(wake, &ignored, sizeof(ignored));
		audit_writer_reap(writer);
	}
	took = (double)(clock_mono_us() - began) / 1e6;
	audit_writer_stats(writer, &stats);
	audit_writer_close(writer);
	if (stat(path, &st) != 0)
		die("the journal is gone");
	*batch = (double)stats.rows / (double)stats.batches;
	*row_bytes = (double)st.st_size / (double)stats.rows;
	(void)unlink(path);
	return (double)stats.rows / took;
}

/* Rows a second of the bare loop, and how long one batch takes. */
static double bare(
	const char *dir, double seconds, double batch, double row_bytes, double *batch_us)
{
	size_t len = (size_t)(batch * row_bytes);
	char path[4096], *bytes = xmalloc(len);
	int64_t began, until, now, batches = 0;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/bare", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		die("can't write %s", path);
	memset(bytes, 'x', len);
	began = now = clock_mono_us();
	until = began + (int64_t)(seconds * 1e6);
	for (; now < until; now = clock_mono_us(), batches++)
		if (write(fd, bytes, len) != (ssize_t)len || fdatasync(fd) != 0)
			die("can't write %s", path);
	(void)close(fd);
	(void)unlink(path);
	free(bytes);
	*batch_us = (double)(now - began) / (double)batches;
	return (double)batches * batch / ((double)(now - began) / 1e6);
}

int main(int argc, char *argv[])
{
	double rows, limit, batch, row_bytes, batch_us, seconds;
	int n;

	if (argc != 4 || (n = atoi(argv[2])) < 1 || n > CALLERS_MAX ||
		(seconds = strtod(argv[3], NULL)) <= 0)
		die("usage: audit_rows DIRECTORY CALLERS SECONDS");
	log_init("audit_rows", 2, LOG_FORMAT_TEXT);
	log_set_level(LOG_LEVEL_ERROR);
	crypto_init();
	wake = eventfd(0, EFD_CLOEXEC);
	samples = xcalloc(SAMPLES_MAX, sizeof(*samples));
	rows = journal(argv[1], n, seconds, &batch, &row_bytes);
	limit = bare(argv[1], seconds, batch, row_bytes, &batch_us);
	qsort(samples, count, sizeof(*samples), by_value);
	(void)printf("{\"callers\":%d,\"rows_per_s\":%.0f,\"limit_rows_per_s\":%.0f,"
		     "\"rows_per_batch\":%.1f,\"row_bytes\":%.0f,\"p50_us\":%u,\"p99_us\":%u,"
		     "\"limit_batch_us\":%.0f}\n",
		n, rows, limit, batch, row_bytes, samples[count / 2], samples[count * 99 / 100],
		batch_us);
	free(samples);
	return EXIT_SUCCESS;
}
