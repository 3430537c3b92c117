/* How many rows a second the audit journal takes with so many callers, each of which waits for its
 * row to be on disk before it comes with the next, as the event loop does it; and beside it, in
 * turns, the bare loop that writes as many bytes at a time and syncs, with nothing in them. With
 * "indexed" the search index is made meanwhile, as the daemon does it. Prints a JSON object.
 * usage: audit_rows DIRECTORY CALLERS SECONDS [indexed] */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/audit_index.h"
#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "tests/bench/call_row.h"
#include "tunneld/audit_indexer.h"
#include "tunneld/audit_writer.h"

#define CALLERS_MAX 1024
#define TURNS 8
#define SAMPLES_MAX ((size_t)4 << 20)

struct caller {
	struct audit_entry entry; /* first */
	int64_t began_us;
};

static struct audit_writer *writer;
static struct caller callers[CALLERS_MAX];
static struct audit_indexer *indexer;
static int wake;
static int64_t end_us;
static int waiting;
static uint32_t *samples;
static size_t count;

static void fill(struct audit_record *r)
{
	call_row(r);
	(void)str_copy(r->call_id, sizeof(r->call_id), "c_mfrggzdfmztwq2lkmfrggzdfmz");
	memset(r->result_sha256, 'a', AUDIT_HASH_LEN);
	r->vouch = 12345;
}

static void notify(void *ctx)
{
	const uint64_t one = 1;

	(void)ctx;
	(void)!write(wake, &one, sizeof(one));
}

static void durable(void *ctx, int64_t seq)
{
	(void)ctx;
	audit_indexer_durable(indexer, seq);
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

static void open_journal(const char *path, const struct crypto_identity *id)
{
	struct audit_writer_options o = {.path = path,
		.fsync = CONFIG_FSYNC_BATCH,
		.identity = id,
		.checkpoint_rows = 1000,
		.checkpoint_seconds = 60,
		.notify = notify,
		.durable = indexer ? durable : NULL};

	if (audit_writer_open(&o, &writer) != RC_OK)
		die("the journal can't be opened");
}

/* What one side has done, and in which time. */
struct side {
	double rows, batches, bytes, us;
};

static void journal(const char *path, int n, double seconds, struct side *j)
{
	struct pollfd fd = {.fd = wake, .events = POLLIN};
	struct audit_stats before, after;
	struct stat was, is;
	uint64_t ignored;
	int64_t began;

	audit_writer_stats(writer, &before);
	if (stat(path, &was) != 0)
		die("the journal is gone");
	began = clock_mono_us();
	end_us = began + (int64_t)(seconds * 1e6);
	for (int i = 0; i < n; i++)
		add(&callers[i]);
	while (waiting > 0) {
		(void)poll(&fd, 1, -1);
		(void)!read(wake, &ignored, sizeof(ignored));
		audit_writer_reap(writer);
	}
	j->us += (double)(clock_mono_us() - began);
	audit_writer_stats(writer, &after);
	if (stat(path, &is) != 0)
		die("the journal is gone");
	j->rows += (double)(after.rows - before.rows);
	j->batches += (double)(after.batches - before.batches);
	j->bytes += (double)(is.st_size - was.st_size);
}

/* As many bytes at a time as the journal has written until now. */
static void bare(int fd, double seconds, const struct side *j, struct side *limit)
{
	size_t len = (size_t)(j->bytes / j->batches);
	char *bytes = xmalloc(len);
	int64_t began = clock_mono_us(), until = began + (int64_t)(seconds * 1e6);
	double batches = 0;

	memset(bytes, 'x', len);
	for (; clock_mono_us() < until; batches++)
		if (write(fd, bytes, len) != (ssize_t)len || fdatasync(fd) != 0)
			die("can't write the bare loop's file");
	free(bytes);
	limit->us += (double)(clock_mono_us() - began);
	limit->batches += batches;
	limit->rows += batches * j->rows / j->batches;
}

/* In turns, so that what disturbs the machine disturbs both. */
static void measure(const char *dir, int n, double seconds, struct side *j, struct side *limit)
{
	char path[4096], other[4096];
	struct crypto_identity id;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/audit.jsonl", dir);
	(void)snprintf(other, sizeof(other), "%s/bare", dir);
	(void)unlink(path);
	crypto_identity_new(&id);
	fd = open(other, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		die("can't write %s", other);
	open_journal(path, &id);
	for (int i = 0; i < n; i++) {
		fill(&callers[i].entry.record);
		callers[i].entry.done = done;
	}
	for (int turn = 0; turn < TURNS; turn++) {
		journal(path, n, seconds / TURNS, j);
		bare(fd, seconds / TURNS, j, limit);
	}
	audit_writer_close(writer);
	(void)close(fd);
	(void)unlink(path);
	(void)unlink(other);
}

static void print(int n, const struct side *j, const struct side *limit)
{
	qsort(samples, count, sizeof(*samples), by_value);
	(void)printf("{\"callers\":%d,\"rows_per_s\":%.0f,\"limit_rows_per_s\":%.0f,"
		     "\"rows_per_batch\":%.1f,\"row_bytes\":%.0f,\"p50_us\":%u,\"p99_us\":%u,"
		     "\"limit_batch_us\":%.0f}\n",
		n, j->rows * 1e6 / j->us, limit->rows * 1e6 / limit->us, j->rows / j->batches,
		j->bytes / j->rows, samples[count / 2], samples[count * 99 / 100],
		limit->us / limit->batches);
}

int main(int argc, char *argv[])
{
	struct side j = {0}, limit = {0};
	char log[4096], index[4096];
	double seconds;
	int n;

	if ((argc != 4 && (argc != 5 || strcmp(argv[4], "indexed") != 0)) ||
		(n = atoi(argv[2])) < 1 || n > CALLERS_MAX ||
		(seconds = strtod(argv[3], NULL)) <= 0)
		die("usage: audit_rows DIRECTORY CALLERS SECONDS [indexed]");
	log_init("audit_rows", 2, LOG_FORMAT_TEXT);
	log_set_level(LOG_LEVEL_ERROR);
	crypto_init();
	wake = eventfd(0, EFD_CLOEXEC);
	samples = xcalloc(SAMPLES_MAX, sizeof(*samples));
	(void)snprintf(log, sizeof(log), "%s/audit.jsonl", argv[1]);
	(void)snprintf(index, sizeof(index), "%s/audit-index.db", argv[1]);
	audit_index_remove(index);
	if (argc == 5 && audit_indexer_open(log, index, &indexer) != RC_OK)
		die("the indexer can't be started");
	measure(argv[1], n, seconds, &j, &limit);
	audit_indexer_close(indexer);
	audit_index_remove(index);
	print(n, &j, &limit);
	free(samples);
	return EXIT_SUCCESS;
}
