#include "tunneld/audit_writer.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "tunneld/audit_batch.h"
#include "tunneld/journal.h"

#define BATCH_ROWS 1024
/* Making the lines of some hundred rows takes as long as a sync. So the disk gets the first of them
 * at once, and the helper makes lines of the rest while it works; it does so many at a time, since
 * the writer may have to wait for it, and only where there are some. */
#define AHEAD_MIN 8
#define AHEAD_ROWS 64
#define PATIENT_MAX 4096
/* How often the free space is looked at, and a journal that failed is tried again. */
#define LOOK_MS 1000
#define ROTATE_RETRY_MS 60000

const int64_t audit_fsync_bounds_us[AUDIT_FSYNC_BUCKETS] = {
	50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 1000000};

/* Rows of one audit_writer_append(): none may be written after one of them failed. */
struct audit_group {
	size_t pending, written;
	bool failed;
};

struct audit_writer {
	struct audit_writer_options o;
	pthread_t thread, helper;
	pthread_mutex_t lock;
	pthread_cond_t wake; /* the thread: there is work */
	pthread_cond_t help, helped; /* the helper: there is work; the thread: it is done */
	pthread_cond_t group_done; /* audit_writer_append(): look again */
	struct audit_queue waiting, through;
	struct audit_queue held; /* patient rows that could not be written */
	bool stop, over; /* to end; the thread has ended */
	bool syncing; /* the disk has a batch; rows that come now are for the one after it */
	bool helping; /* ahead's lines are the helper's for the moment */
	struct audit_batch ahead; /* comes behind the batch that the disk has */
	struct audit_stats stats;
	atomic_bool ok;

	/* The thread's own. */
	struct journal journal;
	struct audit_batch now;
	int64_t looked_ms;
	int64_t unsynced_since_ms; /* -1: everything is on disk */
	int64_t unsigned_rows; /* since the last checkpoint */
	int64_t unsigned_since_ms;
	int64_t rotate_after_ms; /* not before: the last try failed */
	int64_t free_bytes;
	int why; /* errno of the last failure */
};

/* --- the thread ------------------------------------------------------------------ */

static void set_ok(struct audit_writer *w, bool ok, const char *why)
{
	if (atomic_exchange(&w->ok, ok) == ok)
		return;
	if (ok)
		log_info("the audit journal %s can be written again", w->o.path);
	else
		log_err("the audit journal %s can't be written (%s): calls and changes are refused "
			"until it can",
			w->o.path, why);
}

static bool enough_space(struct audit_writer *w)
{
	struct statvfs vfs;

	if (statvfs(w->o.path, &vfs) != 0) {
		set_ok(w, false, strerror(errno));
		return false;
	}
	w->free_bytes = (int64_t)(vfs.f_bavail * vfs.f_frsize);
	if (w->free_bytes >= w->o.min_free_bytes)
		return true;
	set_ok(w, false, "less than audit.min_free_bytes is left on its volume");
	return false;
}

/* Once a second: is there space, and does a journal that failed work again? */
static void look(struct audit_writer *w, bool now)
{
	int64_t now_ms = clock_mono_ms();

	if (!now && now_ms - w->looked_ms < LOOK_MS)
		return;
	w->looked_ms = now_ms;
	if (enough_space(w) && !atomic_load(&w->ok) && journal_probe(&w->journal))
		set_ok(w, true, NULL);
}

static void count_fsync(struct audit_writer *w, int64_t us)
{
	int i = 0;

	while (i < AUDIT_FSYNC_BUCKETS && us > audit_fsync_bounds_us[i])
		i++;
	(void)pthread_mutex_lock(&w->lock);
	w->stats.fsync_bucket[i]++;
	w->stats.fsync_count++;
	w->stats.fsync_us += (uint64_t)us;
	(void)pthread_mutex_unlock(&w->lock);
}

/* Is a checkpoint to follow these rows? At the end it does, whatever the intervals say. */
static bool checkpoint_due(const struct audit_writer *w, size_t rows, bool end)
{
	int64_t unsigned_rows = w->unsigned_rows + (int64_t)rows;

	if (!w->o.identity || unsigned_rows == 0)
		return false;
	return end || unsigned_rows >= w->o.checkpoint_rows ||
		(w->unsigned_rows > 0 &&
			clock_mono_ms() - w->unsigned_since_ms >=
				(int64_t)w->o.checkpoint_seconds * 1000);
}

static void count_unsigned(struct audit_writer *w, size_t rows, bool checkpoint)
{
	if (w->unsigned_rows == 0)
		w->unsigned_since_ms = clock_mono_ms();
	w->unsigned_rows = checkpoint ? 0 : w->unsigned_rows + (int64_t)rows;
	if (!checkpoint)
		return;
	(void)pthread_mutex_lock(&w->lock);
	w->stats.checkpoints++;
	w->stats.head_seq = w->journal.head.seq;
	w->stats.head_ms = clock_wall_ms();
	memcpy(w->stats.head_hash, w->journal.head.prev, sizeof(w->stats.head_hash));
	(void)pthread_mutex_unlock(&w->lock);
}

static void tell_durable(struct audit_writer *w)
{
	(void)pthread_mutex_lock(&w->lock);
	w->stats.durable_seq = w->journal.head.seq;
	(void)pthread_mutex_unlock(&w->lock);
	if (w->o.durable)
		w->o.durable(w->o.durable_ctx, w->journal.head.seq);
}

/* From here on rows that come are made lines of, as if the append had succeeded already. */
static void begin_sync(struct audit_writer *w)
{
	(void)pthread_mutex_lock(&w->lock);
	audit_batch_begin(&w->ahead, &w->now.head);
	w->syncing = true;
	if (w->waiting.count >= AHEAD_MIN)
		(void)pthread_cond_signal(&w->help);
	(void)pthread_mutex_unlock(&w->lock);
}

/* Under the lock. */
static void wait_for_helper(struct audit_writer *w)
{
	w->syncing = false;
	while (w->helping)
		(void)pthread_cond_wait(&w->helped, &w->lock);
}

static bool append(struct audit_writer *w, bool sync)
{
	int64_t before = clock_mono_us();
	bool ok;

	if (sync)
		begin_sync(w);
	ok = journal_append(&w->journal, &w->now.lines, &w->now.head, sync) == RC_OK;
	if (!ok)
		set_ok(w, false, strerror(errno));
	if (ok && sync)
		count_fsync(w, clock_mono_us() - before);
	if (sync) {
		(void)pthread_mutex_lock(&w->lock);
		wait_for_helper(w);
		(void)pthread_mutex_unlock(&w->lock);
	}
	return ok;
}

/* The rows and the checkpoint behind them are one append. */
static bool write_rows(struct audit_writer *w, bool checkpoint)
{
	bool sync = w->o.fsync == CONFIG_FSYNC_BATCH;

	if (checkpoint)
		journal_checkpoint(&w->now.lines, w->o.identity, clock_wall_ms(), &w->now.head);
	if (w->now.lines.failed) {
		set_ok(w, false, "no memory for a batch of rows");
		return false;
	}
	if (!append(w, sync))
		return false;
	if (!sync && w->unsynced_since_ms < 0)
		w->unsynced_since_ms = clock_mono_ms();
	count_unsigned(w, w->now.rows.count, checkpoint);
	if (sync)
		tell_durable(w);
	return true;
}

/* Under no lock: the batch, a checkpoint when one is due, or both. */
static bool write_batch(struct audit_writer *w, struct audit_queue *fresh)
{
	bool checkpoint;

	if (atomic_load(&w->ok))
		audit_batch_lines(&w->now, fresh);
	audit_queue_append(&w->now.rows, fresh);
	checkpoint = checkpoint_due(w, w->now.rows.count, false);
	if (!atomic_load(&w->ok))
		return false;
	return (w->now.rows.count == 0 && !checkpoint) || write_rows(w, checkpoint);
}

/* Under the lock: what was made ready goes back to what waits. */
static void put_back_ahead(struct audit_writer *w)
{
	audit_queue_put_back(&w->waiting, &w->ahead.rows);
}

static bool rotation_due(const struct audit_writer *w)
{
	const struct journal *j = &w->journal;

	if (j->file.size == 0 || clock_mono_ms() < w->rotate_after_ms)
		return false;
	return (w->o.rotate_bytes > 0 && j->file.size >= w->o.rotate_bytes) ||
		(w->o.rotate_hours > 0 &&
			clock_wall_ms() - j->begun_ms >= (int64_t)w->o.rotate_hours * 3600000);
}

/* Under no lock. Lines that were made ahead would come behind it: they are made anew. */
static bool end_with_checkpoint(struct audit_writer *w)
{
	if (!checkpoint_due(w, 0, true))
		return true;
	(void)pthread_mutex_lock(&w->lock);
	put_back_ahead(w);
	(void)pthread_mutex_unlock(&w->lock);
	audit_batch_begin(&w->now, &w->journal.head);
	return write_rows(w, true);
}

/* A closed segment ends with a checkpoint. What fails leaves the log as it is and is tried again
 * later: a file that is too long is no reason to refuse calls. */
static void rotate_when_due(struct audit_writer *w)
{
	if (!atomic_load(&w->ok) || !rotation_due(w))
		return;
	w->rotate_after_ms = clock_mono_ms() + ROTATE_RETRY_MS;
	if (!end_with_checkpoint(w))
		return;
	if (journal_rotate(&w->journal) != RC_OK)
		return;
	w->rotate_after_ms = 0;
	w->unsynced_since_ms = -1;
	tell_durable(w);
	(void)pthread_mutex_lock(&w->lock);
	w->stats.rotations++;
	(void)pthread_mutex_unlock(&w->lock);
	log_info("the audit journal %s was rotated after row %lld", w->o.path,
		(long long)w->journal.head.seq);
}

static void sync_when_due(struct audit_writer *w, bool now)
{
	int64_t before;

	if (w->unsynced_since_ms < 0 ||
		(!now && clock_mono_ms() - w->unsynced_since_ms < w->o.fsync_interval_ms))
		return;
	w->unsynced_since_ms = -1;
	before = clock_mono_us();
	if (journal_sync(&w->journal) != RC_OK) {
		set_ok(w, false, strerror(errno));
		return;
	}
	count_fsync(w, clock_mono_us() - before);
	tell_durable(w);
}

/* Under the lock. */
static void let_go(struct audit_writer *w, struct audit_entry *e, bool durable)
{
	struct audit_group *g = e->group;

	e->durable = durable;
	if (!g) {
		audit_queue_put(&w->through, e);
		return;
	}
	g->pending--;
	if (durable)
		g->written++;
	else
		g->failed = true;
	if (g->pending == 0)
		(void)pthread_cond_broadcast(&w->group_done);
}

/* Under the lock. */
static void lose(struct audit_writer *w, struct audit_entry *e)
{
	w->stats.lost++;
	let_go(w, e, false);
}

/* Under the lock. Rows of a group that has lost one go no further: they would come before it in the
 * journal. */
static void take_waiting(struct audit_writer *w, struct audit_queue *fresh, size_t max)
{
	struct audit_entry *e;

	while (fresh->count < max && (e = audit_queue_take(&w->waiting))) {
		if (e->group && e->group->failed)
			let_go(w, e, false);
		else
			audit_queue_put(fresh, e);
	}
}

/* Under the lock: what was made ready while the last batch was on its way, and what waits. */
static void take_batch(struct audit_writer *w, struct audit_queue *fresh)
{
	struct audit_entry *e;
	size_t room = w->o.fsync == CONFIG_FSYNC_BATCH ? AHEAD_ROWS : BATCH_ROWS;

	audit_queue_init(fresh);
	if (w->ahead.rows.count > 0 && audit_batch_follows(&w->ahead, &w->journal.head)) {
		struct audit_batch ahead = w->ahead;

		w->ahead = w->now;
		audit_queue_init(&w->ahead.rows);
		w->now = ahead;
		audit_queue_init(&w->now.rows);
		audit_queue_put_back(&w->now.rows, &ahead.rows);
		room -= w->now.rows.count < room ? w->now.rows.count : room;
	} else {
		put_back_ahead(w);
		audit_batch_begin(&w->now, &w->journal.head);
	}
	if (atomic_load(&w->ok))
		while (fresh->count < room && (e = audit_queue_take(&w->held)))
			audit_queue_put(fresh, e);
	take_waiting(w, fresh, room);
}

/* Under the lock: rows that are not written yet. */
static size_t queued(const struct audit_writer *w)
{
	return w->waiting.count + w->held.count + w->ahead.rows.count;
}

/* Under the lock. */
static void finish_rows(struct audit_writer *w, struct audit_queue *rows, bool durable)
{
	struct audit_entry *e;

	w->stats.batches += durable && rows->count > 0;
	w->stats.failures += !durable && rows->count > 0;
	w->stats.rows += durable ? rows->count : 0;
	while ((e = audit_queue_take(rows))) {
		if (durable || !e->patient || w->stop)
			let_go(w, e, durable);
		else if (w->held.count < PATIENT_MAX)
			audit_queue_put(&w->held, e);
		else
			lose(w, e);
	}
}

/* Under the lock. What was made ready behind lines that are not there falls with them. */
static void finish_batch(struct audit_writer *w, bool durable)
{
	finish_rows(w, &w->now.rows, durable);
	if (!durable)
		finish_rows(w, &w->ahead.rows, false);
	w->stats.ok = atomic_load(&w->ok);
	w->stats.queue = queued(w);
	w->stats.free_bytes = w->free_bytes;
	w->stats.seq = w->journal.head.seq;
}

/* Under the lock: is there a row that can be written now? */
static bool rows_wait(const struct audit_writer *w)
{
	return w->waiting.count > 0 || w->ahead.rows.count > 0 ||
		(w->held.count > 0 && atomic_load(&w->ok));
}

/* Under the lock: waits for work, or for the next look or sync. */
static void wait_for_work(struct audit_writer *w)
{
	int64_t due = w->looked_ms + LOOK_MS, now = clock_mono_ms();
	struct timespec until;

	if (w->unsynced_since_ms >= 0 && w->unsynced_since_ms + w->o.fsync_interval_ms < due)
		due = w->unsynced_since_ms + w->o.fsync_interval_ms;
	if (w->stop || rows_wait(w) || due <= now)
		return;
	until = (struct timespec){(time_t)(due / 1000), (long)(due % 1000) * 1000000};
	(void)pthread_cond_timedwait(&w->wake, &w->lock, &until);
}

static void *run(void *ctx)
{
	struct audit_writer *w = ctx;
	struct audit_queue fresh;
	bool durable, stopping, news;

	(void)pthread_mutex_lock(&w->lock);
	do {
		wait_for_work(w);
		stopping = w->stop;
		(void)pthread_mutex_unlock(&w->lock);
		look(w, stopping);
		(void)pthread_mutex_lock(&w->lock);
		take_batch(w, &fresh);
		(void)pthread_mutex_unlock(&w->lock);
		durable = write_batch(w, &fresh);
		sync_when_due(w, stopping);
		(void)pthread_mutex_lock(&w->lock);
		finish_batch(w, durable);
		news = w->through.count > 0;
		(void)pthread_mutex_unlock(&w->lock);
		/* Under the lock the loop would wake up only to wait for it. */
		if (news && w->o.notify)
			w->o.notify(w->o.ctx);
		rotate_when_due(w); /* those answers are on their way already */
		(void)pthread_mutex_lock(&w->lock);
	} while (!stopping || rows_wait(w));
	for (struct audit_entry *e; (e = audit_queue_take(&w->held));)
		lose(w, e);
	(void)pthread_mutex_unlock(&w->lock);
	if (atomic_load(&w->ok) && end_with_checkpoint(w))
		sync_when_due(w, true);
	(void)pthread_mutex_lock(&w->lock);
	w->over = true;
	(void)pthread_cond_signal(&w->help);
	(void)pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* --- the helper -------------------------------------------------------------------------------
 */

/* Under the lock. Rows that are held go first, so nothing is made ready before they are written. */
static bool help_is_needed(const struct audit_writer *w)
{
	return w->syncing && w->held.count == 0 && w->waiting.count >= AHEAD_MIN &&
		w->ahead.rows.count + AHEAD_ROWS <= BATCH_ROWS;
}

/* While the disk has a batch, which takes as long as making the lines of the next: so both are done
 * at the same time. */
static void *help(void *ctx)
{
	struct audit_writer *w = ctx;
	struct audit_queue fresh;

	(void)pthread_mutex_lock(&w->lock);
	while (!w->over) {
		if (!help_is_needed(w)) {
			(void)pthread_cond_wait(&w->help, &w->lock);
			continue;
		}
		audit_queue_init(&fresh);
		take_waiting(w, &fresh, AHEAD_ROWS);
		w->helping = true;
		(void)pthread_mutex_unlock(&w->lock);
		audit_batch_lines(&w->ahead, &fresh);
		(void)pthread_mutex_lock(&w->lock);
		audit_queue_append(&w->ahead.rows, &fresh);
		w->helping = false;
		(void)pthread_cond_signal(&w->helped);
	}
	(void)pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* --- the callers' side ------------------------------------------------------------- */

static enum rc start(struct audit_writer *w)
{
	pthread_condattr_t attr;

	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&w->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	(void)pthread_cond_init(&w->help, NULL);
	(void)pthread_cond_init(&w->helped, NULL);
	(void)pthread_cond_init(&w->group_done, NULL);
	(void)pthread_mutex_init(&w->lock, NULL);
	tell_durable(w);
	if (pthread_create(&w->helper, NULL, help, w) != 0) {
		log_err("cannot start the audit writer's helper");
		return RC_INTERNAL;
	}
	if (pthread_create(&w->thread, NULL, run, w) == 0)
		return RC_OK;
	log_err("cannot start the audit writer's thread");
	(void)pthread_mutex_lock(&w->lock);
	w->over = true;
	(void)pthread_cond_signal(&w->help);
	(void)pthread_mutex_unlock(&w->lock);
	(void)pthread_join(w->helper, NULL);
	return RC_INTERNAL;
}

static void writer_free(struct audit_writer *w)
{
	journal_close(&w->journal);
	audit_batch_free(&w->now);
	audit_batch_free(&w->ahead);
	free((char *)w->o.path);
	free(w);
}

enum rc audit_writer_open(const struct audit_writer_options *o, struct audit_writer **out)
{
	struct audit_writer *w = xcalloc(1, sizeof(*w));
	enum rc rc;

	w->o = *o;
	w->o.path = xstrdup(o->path);
	w->journal.file.fd = -1;
	w->unsynced_since_ms = -1;
	atomic_init(&w->ok, true);
	audit_queue_init(&w->waiting);
	audit_queue_init(&w->through);
	audit_queue_init(&w->held);
	audit_batch_init(&w->now);
	audit_batch_init(&w->ahead);
	rc = journal_open(o->path, &w->journal);
	if (rc == RC_OK) {
		w->unsigned_rows = w->journal.head.tally.rows;
		w->unsigned_since_ms = clock_mono_ms();
		look(w, true);
		w->stats.ok = atomic_load(&w->ok);
		w->stats.free_bytes = w->free_bytes;
		w->stats.seq = w->journal.head.seq;
		rc = start(w);
	}
	if (rc == RC_OK)
		*out = w;
	else
		writer_free(w);
	return rc;
}

void audit_writer_close(struct audit_writer *w)
{
	struct audit_entry *e;

	if (!w)
		return;
	(void)pthread_mutex_lock(&w->lock);
	w->stop = true;
	(void)pthread_cond_signal(&w->wake);
	(void)pthread_mutex_unlock(&w->lock);
	(void)pthread_join(w->thread, NULL);
	(void)pthread_join(w->helper, NULL);
	audit_writer_reap(w);
	/* What a done() of those still added. */
	put_back_ahead(w);
	while ((e = audit_queue_take(&w->waiting)))
		e->done(e, false);
	(void)pthread_cond_destroy(&w->wake);
	(void)pthread_cond_destroy(&w->help);
	(void)pthread_cond_destroy(&w->helped);
	(void)pthread_cond_destroy(&w->group_done);
	(void)pthread_mutex_destroy(&w->lock);
	writer_free(w);
}

/* Under the lock. Whom to wake, who may sleep; NULL: nobody. */
static pthread_cond_t *add(struct audit_writer *w, struct audit_entry *e)
{
	e->wall_ms = clock_wall_ms();
	audit_queue_put(&w->waiting, e);
	if (w->syncing)
		return w->waiting.count == AHEAD_MIN ? &w->help : NULL;
	return w->waiting.count == 1 ? &w->wake : NULL;
}

void audit_writer_add(struct audit_writer *w, struct audit_entry *e)
{
	pthread_cond_t *wake;

	(void)pthread_mutex_lock(&w->lock);
	wake = add(w, e);
	(void)pthread_mutex_unlock(&w->lock);
	if (wake)
		(void)pthread_cond_signal(wake);
}

static void note_done(struct audit_entry *e, bool durable)
{
	if (!durable)
		log_err("an audit row of %s was lost: the journal can't be written",
			e->record.event);
	free(e);
}

void audit_writer_note(struct audit_writer *w, const struct audit_record *r)
{
	struct audit_entry *e = xcalloc(1, sizeof(*e));

	e->record = *r;
	e->done = note_done;
	e->patient = true;
	audit_writer_add(w, e);
}

void audit_writer_reap(struct audit_writer *w)
{
	struct audit_entry *e, *next;

	(void)pthread_mutex_lock(&w->lock);
	e = w->through.first;
	audit_queue_init(&w->through);
	(void)pthread_mutex_unlock(&w->lock);
	for (; e; e = next) {
		next = e->next;
		e->done(e, e->durable);
	}
}

enum rc audit_writer_append(struct audit_writer *w, const struct audit_record *const *records,
	size_t count, size_t *written)
{
	struct audit_entry *entries = xcalloc(count, sizeof(*entries));
	struct audit_group group = {.pending = count};
	pthread_cond_t *wake;

	(void)pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < count; i++) {
		entries[i].record = *records[i];
		entries[i].group = &group;
		wake = add(w, &entries[i]);
		if (wake)
			(void)pthread_cond_signal(wake);
	}
	while (group.pending > 0)
		(void)pthread_cond_wait(&w->group_done, &w->lock);
	(void)pthread_mutex_unlock(&w->lock);
	*written = group.written;
	free(entries);
	return group.failed ? RC_UNAVAILABLE : RC_OK;
}

bool audit_writer_ok(const struct audit_writer *w)
{
	return atomic_load(&w->ok);
}

void audit_writer_stats(struct audit_writer *w, struct audit_stats *out)
{
	(void)pthread_mutex_lock(&w->lock);
	*out = w->stats;
	out->queue = queued(w);
	out->ok = atomic_load(&w->ok);
	(void)pthread_mutex_unlock(&w->lock);
}
