/* Rotation of the audit journal: the chain goes on over the files, whatever instant a crash comes
 * at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/audit_chain.h"
#include "shared/audit_segments.h"
#include "shared/clock.h"
#include "shared/file.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "tunneld/audit_writer.h"
#include "tunneld/journal.h"

#define KILLS 40
#define PATIENCE_MS 30000

struct world {
	char dir[32], path[64];
	struct crypto_identity id;
	struct audit_writer *w;
};

static int setup(void **state)
{
	struct world *t = xcalloc(1, sizeof(*t));

	crypto_init();
	log_init("test", 2, LOG_FORMAT_TEXT);
	log_set_level(LOG_LEVEL_ERROR + 1);
	memcpy(t->dir, "/tmp/test_rotate.XXXXXX", sizeof("/tmp/test_rotate.XXXXXX"));
	assert_non_null(mkdtemp(t->dir));
	(void)snprintf(t->path, sizeof(t->path), "%s/audit.jsonl", t->dir);
	crypto_identity_new(&t->id);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct world *t = *state;
	char command[64];

	audit_writer_close(t->w);
	(void)snprintf(command, sizeof(command), "rm -rf %s", t->dir);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a path of our own */
	free(t);
	return 0;
}

static enum rc open_as(struct world *t, int64_t bytes, int hours)
{
	const struct audit_writer_options o = {.path = t->path,
		.fsync = CONFIG_FSYNC_BATCH,
		.identity = &t->id,
		.checkpoint_rows = 7,
		.checkpoint_seconds = 3600,
		.rotate_bytes = bytes,
		.rotate_hours = hours};

	return audit_writer_open(&o, &t->w);
}

static enum rc append(struct world *t, int64_t outbox_id)
{
	struct audit_record r;
	const struct audit_record *row = &r;
	size_t written;

	audit_init(&r, "tenant.create");
	r.outbox_id = outbox_id;
	return audit_writer_append(t->w, &row, 1, &written);
}

static void close_writer(struct world *t)
{
	audit_writer_close(t->w);
	t->w = NULL;
}

static void feed_file(struct audit_chain *c, const char *path)
{
	char *text, *end, *line;
	size_t len;

	assert_int_equal(file_read(path, 1 << 26, &text, &len), RC_OK);
	for (line = text; (end = strchr(line, '\n')); line = end + 1)
		if (!audit_chain_line(c, line, (size_t)(end - line)))
			fail_msg("%s: %s", path, c->why);
	if (*line)
		fail_msg("%s: its last line has no end", path);
	free(text);
}

/* All files hold as one log, each closed one says in its name what is in it. Returns the last seq.
 */
static int64_t verify(const struct world *t, size_t *segments)
{
	struct audit_chain_options o = {.have_key = true};
	struct audit_segment *list;
	struct audit_chain c;

	memcpy(o.key, t->id.public_key, sizeof(o.key));
	assert_int_equal(audit_segments_list(t->path, &list, segments), RC_OK);
	audit_chain_init(&c, &o);
	for (size_t i = 0; i < *segments; i++) {
		assert_int_equal(list[i].first, c.seq + 1);
		feed_file(&c, list[i].path);
		assert_int_equal(list[i].last, c.seq);
		assert_int_equal(c.signed_seq, c.seq); /* closed with a checkpoint */
	}
	feed_file(&c, t->path);
	if (!audit_chain_end(&c, false))
		fail_msg("%s", c.why);
	audit_chain_free(&c);
	audit_segments_free(list, *segments);
	return c.seq;
}

static void a_journal_is_rotated_by_its_size(void **state)
{
	struct world *t = *state;
	struct audit_stats stats;
	int64_t id = 0, seq;
	char *line = NULL;
	size_t segments;
	struct stat st;

	assert_int_equal(open_as(t, 2000, 0), RC_OK);
	for (int i = 1; i <= 100; i++)
		assert_int_equal(append(t, i), RC_OK);
	close_writer(t);
	seq = verify(t, &segments);
	assert_true(segments >= 5);
	assert_true(seq > 100 && seq < 200);
	assert_int_equal(stat(t->path, &st), 0);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(st.st_mode & 0777, 0600);
	/* Nothing came since: the same file, the same end. */
	assert_int_equal(open_as(t, 2000, 0), RC_OK);
	audit_writer_stats(t->w, &stats);
	assert_int_equal(stats.seq, seq);
	close_writer(t);
	assert_int_equal(verify(t, &segments), seq);
	assert_int_equal(journal_last_outbox(t->path, &id, &line), RC_OK);
	assert_int_equal(id, 100);
	free(line);
}

static void the_last_outbox_row_is_found_in_closed_segments(void **state)
{
	struct world *t = *state;
	int64_t id = 0;
	char *line = NULL;

	assert_int_equal(open_as(t, 1, 0), RC_OK); /* each batch has a file of its own */
	assert_int_equal(append(t, 41), RC_OK);
	assert_int_equal(append(t, -1), RC_OK);
	assert_int_equal(append(t, -1), RC_OK);
	close_writer(t);
	assert_int_equal(journal_last_outbox(t->path, &id, &line), RC_OK);
	assert_int_equal(id, 41);
	free(line);
}

static void a_journal_is_rotated_by_its_age(void **state)
{
	struct world *t = *state;
	char prev[AUDIT_HASH_LEN + 1];
	struct audit_stats stats;
	struct audit_record r;
	struct buf b;
	int64_t deadline = clock_mono_ms() + PATIENCE_MS;
	size_t segments;

	memset(prev, '0', AUDIT_HASH_LEN);
	prev[AUDIT_HASH_LEN] = '\0';
	audit_init(&r, "tool.call");
	buf_init(&b, 4096);
	audit_line(&b, &r, 1, clock_wall_ms() - 3L * 3600000, prev);
	buf_char(&b, '\n');
	assert_int_equal(file_write_atomic(t->path, b.data, b.len, 0600), RC_OK);
	buf_free(&b);
	assert_int_equal(open_as(t, 0, 4), RC_OK);
	assert_int_equal(append(t, -1), RC_OK);
	close_writer(t);
	(void)verify(t, &segments);
	assert_int_equal(segments, 0);
	assert_int_equal(open_as(t, 0, 3), RC_OK);
	do {
		assert_true(clock_mono_ms() < deadline);
		(void)poll(NULL, 0, 10);
		audit_writer_stats(t->w, &stats);
	} while (stats.rotations == 0);
	assert_int_equal(append(t, -1), RC_OK);
	close_writer(t);
	(void)verify(t, &segments);
	assert_int_equal(segments, 1);
}

/* The instants between the steps of a rotation, each as a crash leaves it. */
static void every_step_of_a_rotation_can_be_the_last(void **state)
{
	struct world *t = *state;
	char segment[PATH_MAX], next[PATH_MAX];
	int64_t seq;
	size_t segments;

	assert_int_equal(open_as(t, 0, 0), RC_OK);
	assert_int_equal(append(t, 1), RC_OK);
	close_writer(t);
	seq = verify(t, &segments);
	assert_int_equal(seq, 2);
	/* The next file is there; then the old one has both names. */
	(void)snprintf(next, sizeof(next), "%s.next", t->path);
	assert_int_equal(file_write_atomic(next, "left over", 9, 0600), RC_OK);
	assert_int_equal(audit_segment_path(t->path, 1, seq, segment), RC_OK);
	assert_int_equal(link(t->path, segment), 0);
	assert_int_equal(open_as(t, 0, 0), RC_OK);
	assert_int_equal(append(t, 2), RC_OK);
	close_writer(t);
	assert_int_equal(verify(t, &segments), 4);
	assert_int_equal(segments, 0);
	/* It can be rotated with the leftover in the way. */
	assert_int_equal(open_as(t, 1, 0), RC_OK);
	assert_int_equal(append(t, 3), RC_OK);
	close_writer(t);
	seq = verify(t, &segments);
	assert_true(segments >= 1);
	/* The new file is empty, and even missing. */
	assert_int_equal(unlink(t->path), 0);
	assert_int_equal(open_as(t, 0, 0), RC_OK);
	assert_int_equal(append(t, 4), RC_OK);
	close_writer(t);
	assert_int_equal(verify(t, &segments), seq + 2);
}

static void a_segment_that_is_there_is_never_overwritten(void **state)
{
	struct world *t = *state;
	char segment[PATH_MAX], *text;
	struct journal j;
	size_t len;

	assert_int_equal(open_as(t, 0, 0), RC_OK);
	assert_int_equal(append(t, 1), RC_OK);
	close_writer(t);
	assert_int_equal(journal_open(t->path, &j), RC_OK);
	assert_int_equal(audit_segment_path(t->path, 1, 2, segment), RC_OK);
	assert_int_equal(file_write_atomic(segment, "mine\n", 5, 0600), RC_OK);
	assert_int_equal(journal_rotate(&j), RC_INTERNAL);
	assert_int_equal(j.head.seq, 2);
	assert_true(j.file.size > 0);
	journal_close(&j);
	assert_int_equal(file_read(segment, 100, &text, &len), RC_OK);
	assert_string_equal(text, "mine\n");
	free(text);
	/* And a log whose newest segment is nothing of ours is not continued. */
	assert_int_equal(journal_open(t->path, &j), RC_INVALID);
}

/* Appends until it is killed; tells how many rows it was promised. */
static void child(struct world *t, _Atomic int64_t *acknowledged)
{
	if (open_as(t, 1500, 0) != RC_OK)
		_exit(1);
	for (int64_t i = atomic_load(acknowledged) + 1;; i++) {
		if (append(t, i) != RC_OK)
			_exit(2);
		atomic_store(acknowledged, i);
	}
}

static void killed_at_any_instant_nothing_acknowledged_is_lost(void **state)
{
	struct world *t = *state;
	_Atomic int64_t *acknowledged = mmap(NULL, sizeof(*acknowledged), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int64_t before, deadline, id;
	size_t segments;
	char *line;
	uint32_t random;
	int status;

	assert_true(acknowledged != MAP_FAILED);
	atomic_init(acknowledged, 0);
	for (int i = 0; i < KILLS; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			child(t, acknowledged);
		before = atomic_load(acknowledged);
		deadline = clock_mono_ms() + PATIENCE_MS;
		while (atomic_load(acknowledged) < before + 5) {
			assert_true(clock_mono_ms() < deadline);
			(void)poll(NULL, 0, 1);
		}
		crypto_random(&random, sizeof(random));
		(void)usleep(random % 5000); /* the instant is what is random here */
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		/* The next start repairs what there is to repair, and signs the rest. */
		assert_int_equal(open_as(t, 0, 0), RC_OK);
		close_writer(t);
		(void)verify(t, &segments);
		line = NULL;
		assert_int_equal(journal_last_outbox(t->path, &id, &line), RC_OK);
		free(line);
		/* One more may be there than was promised. */
		assert_true(id == atomic_load(acknowledged) || id == atomic_load(acknowledged) + 1);
		atomic_store(acknowledged, id);
	}
	assert_true(segments > 5);
	(void)munmap((void *)acknowledged, sizeof(*acknowledged));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_journal_is_rotated_by_its_size),
		TEST(the_last_outbox_row_is_found_in_closed_segments),
		TEST(a_journal_is_rotated_by_its_age),
		TEST(every_step_of_a_rotation_can_be_the_last),
		TEST(a_segment_that_is_there_is_never_overwritten),
		TEST(killed_at_any_instant_nothing_acknowledged_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
