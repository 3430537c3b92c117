#include "tunneld/state_writer.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/sidecar.h"
#include "tunneld/journal.h"
#include "tunneld/lineup.h"

#define DRAIN_ROWS 64
#define DRAIN_MS 1000
#define SWEEP_MS 30000
/* Sidecars that wait for the disk; a worker that makes more has the rest dropped. */
#define JOBS_MAX 4096

enum job_kind { JOB_SEEN, JOB_SIDECAR, JOB_SIDECAR_GONE };
struct job {
	enum job_kind kind;
	struct job *next;
	char tenant_id[STORE_ID_MAX + 1];
	char id[STORE_ID_MAX + 1]; /* worker or snapshot */
	char version[32];
	int64_t seen_at;
	struct catalog_entry *manifest;
	bool announced;
	struct buf json;
};

struct changed_tenant {
	struct changed_tenant *next;
	char id[AUDIT_ID_MAX + 1];
};

struct state_writer {
	struct state_writer_options o;
	struct db *db;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stop;
	struct job *jobs, **last_job;
	size_t job_count;
	struct job *done_jobs;
	struct changed_tenant *changed;
	uint64_t asked; /* the last drain that was asked for */
	uint64_t round; /* the last drain that ended */
	uint64_t good_round; /* the last drain that ended well */

	/* The loop's own. */
	struct flush_ticket *tickets, **last_ticket;

	/* The thread's own. */
	int64_t journaled; /* outbox rows up to this id are in the journal */
	int64_t drained_ms, swept_ms;
};

/* --- the outbox ------------------------------------------------------------------- */

static void note_changed(struct state_writer *w, const char *tenant_id)
{
	struct changed_tenant *c;

	if (!*tenant_id)
		return;
	(void)pthread_mutex_lock(&w->lock);
	for (c = w->changed; c; c = c->next)
		if (!strcmp(c->id, tenant_id))
			break;
	if (!c) {
		c = xcalloc(1, sizeof(*c));
		(void)str_copy(c->id, sizeof(c->id), tenant_id);
		c->next = w->changed;
		w->changed = c;
	}
	(void)pthread_mutex_unlock(&w->lock);
}

/* A row that stays in the table is harmless: w->journaled keeps it from being written twice, and a
 * new process finds it in the journal. */
static void forget_journaled(struct state_writer *w)
{
	if (outbox_delete(w->db, w->journaled) != RC_OK)
		log_warn(
			"audit rows up to %lld stay in the outbox for now; they are in the journal",
			(long long)w->journaled);
}

static enum rc journal_rows(struct state_writer *w, struct outbox_row *rows, size_t count)
{
	const struct audit_record *records[DRAIN_ROWS];
	size_t written = 0;
	enum rc rc;

	for (size_t i = 0; i < count; i++) {
		rows[i].record.outbox_id = rows[i].id;
		records[i] = &rows[i].record;
	}
	rc = audit_writer_append(w->o.audit, records, count, &written);
	for (size_t i = 0; i < written; i++)
		note_changed(w, rows[i].record.tenant_id);
	if (written > 0) {
		w->journaled = rows[written - 1].id;
		forget_journaled(w);
	}
	return rc;
}

static enum rc drain(struct state_writer *w)
{
	struct outbox_row *rows;
	size_t count;
	enum rc rc;

	do {
		rows = NULL;
		count = 0;
		rc = outbox_list(w->db, w->journaled, DRAIN_ROWS, &rows, &count);
		if (rc == RC_OK && count > 0)
			rc = journal_rows(w, rows, count);
		free(rows);
	} while (rc == RC_OK && count == DRAIN_ROWS);
	return rc;
}

/* Is this outbox row what that journal line says? A state that was restored or made anew may use
 * the same ids again. */
static bool same_row(const struct outbox_row *row, const char *line)
{
	struct audit_record r = row->record;
	struct buf b;
	bool same;

	r.outbox_id = row->id;
	buf_init(&b, 65536);
	audit_put(&b, &r);
	/* The line holds the members without the record's own braces. */
	same = !b.failed && b.len > 2 && memmem(line, strlen(line), b.data + 1, b.len - 2);
	buf_free(&b);
	return same;
}

/* A process that died between the journal and the outbox left rows that are in both. They left in
 * order, so the journal's last one tells. */
static enum rc resume(struct state_writer *w)
{
	struct outbox_row *rows = NULL;
	size_t count = 0;
	char *line = NULL;
	int64_t id;
	enum rc rc = outbox_list(w->db, 0, 1, &rows, &count);

	free(rows);
	if (rc != RC_OK || count == 0)
		return rc;
	rc = journal_last_outbox(w->o.audit_path, &id, &line);
	if (rc != RC_OK)
		return rc == RC_NOTFOUND ? RC_OK : rc;
	rows = NULL;
	rc = outbox_list(w->db, id - 1, 1, &rows, &count);
	if (rc == RC_OK && count == 1 && rows[0].id == id && same_row(&rows[0], line)) {
		log_info("audit rows up to %lld were in the journal already", (long long)id);
		w->journaled = id;
		forget_journaled(w);
	}
	free(rows);
	free(line);
	return rc;
}

/* --- the thread -------------------------------------------------------------------- */

static void tell_changed(void *ctx, const char *tool)
{
	const struct job *j = ctx;

	log_warn("worker %s (%s): the tool %s is no longer what was pinned "
		 "(airlockctl tool show %s %s)",
		j->id, j->tenant_id, tool, j->tenant_id, tool);
}

/* Before the new manifest takes the old one's place. */
static void compare_with_before(struct state_writer *w, const struct job *j)
{
	struct toolset before;
	char *text;
	size_t len;

	if (worker_other_manifest(w->db, j->id, j->manifest->digest, &text, &len) != RC_OK)
		return;
	if (toolset_read(text, len, &before) == RC_OK) {
		lineup_changes(j->id, j->tenant_id, &before, &j->manifest->tools);
		toolset_free(&before);
	}
	free(text);
}

static enum rc seen(struct state_writer *w, struct job *j)
{
	struct audit_record who;
	enum rc rc;

	if (j->announced)
		compare_with_before(w, j);
	rc = worker_seen(w->db, j->id, j->version, j->seen_at, j->manifest->text, j->manifest->len,
		j->manifest->digest);

	if (rc != RC_OK || !j->announced || w->o.pinning == CONFIG_PINNING_OFF)
		return rc;
	audit_init(&who, "");
	(void)str_copy(who.actor_kind, sizeof(who.actor_kind), "worker");
	(void)str_copy(who.actor_id, sizeof(who.actor_id), j->id);
	(void)str_copy(who.worker_id, sizeof(who.worker_id), j->id);
	return tool_pin_notice(w->db, j->tenant_id, &j->manifest->tools, &who, tell_changed, j);
}

static void do_job(struct state_writer *w, struct job *j)
{
	enum rc rc = RC_OK;

	switch (j->kind) {
	case JOB_SEEN:
		rc = seen(w, j);
		break;
	case JOB_SIDECAR:
		rc = sidecar_write(
			w->o.snapshot_dir, j->tenant_id, j->id, j->json.data, j->json.len);
		break;
	case JOB_SIDECAR_GONE:
		rc = sidecar_remove(w->o.snapshot_dir, j->tenant_id, j->id);
		break;
	}
	/* A worker may be deleted, and a sidecar swept, before the job's turn comes. */
	if (rc != RC_OK && rc != RC_NOTFOUND)
		log_warn("%s of %s could not be written: %s",
			j->kind == JOB_SEEN ? "last seen" : "snapshot meta", j->id, rc_name(rc));
}

/* One transaction for all workers seen: after a restart they come back at once. */
static void do_jobs(struct state_writer *w, struct job *jobs)
{
	bool open = false;

	for (struct job *j = jobs; j; j = j->next) {
		if (j->kind == JOB_SEEN && !open)
			open = db_begin(w->db) == RC_OK;
		if (j->kind != JOB_SEEN || open)
			do_job(w, j);
	}
	if (open && db_commit(w->db) != RC_OK) {
		log_warn("workers' last-seen times could not be written");
		db_rollback(w->db);
	}
}

static void give_back(struct state_writer *w, struct job *jobs, uint64_t round, bool drained)
{
	struct job *next;
	bool news;

	(void)pthread_mutex_lock(&w->lock);
	news = jobs || w->changed || w->round != round;
	for (; jobs; jobs = next) {
		next = jobs->next;
		jobs->next = w->done_jobs;
		w->done_jobs = jobs;
	}
	w->round = round;
	if (drained)
		w->good_round = round;
	(void)pthread_mutex_unlock(&w->lock);
	if (news)
		w->o.notify(w->o.notify_ctx);
}

/* Under the lock. True when there is something to do before the next regular round. */
static bool wanted(const struct state_writer *w)
{
	return w->stop || w->jobs || w->asked > w->round;
}

/* Under the lock. */
static void wait_for_work(struct state_writer *w)
{
	int64_t due = w->drained_ms + DRAIN_MS;
	struct timespec until = {(time_t)(due / 1000), (long)(due % 1000) * 1000000};

	while (!wanted(w) && clock_mono_ms() < due)
		(void)pthread_cond_timedwait(&w->wake, &w->lock, &until);
}

static void sweep_when_due(struct state_writer *w)
{
	int removed;

	if (clock_mono_ms() - w->swept_ms < SWEEP_MS)
		return;
	w->swept_ms = clock_mono_ms();
	removed = sidecar_sweep(w->o.snapshot_dir, clock_wall_ms());
	if (removed > 0)
		log_debug("%d expired snapshot sidecars were removed", removed);
}

static void *run(void *ctx)
{
	struct state_writer *w = ctx;
	struct job *jobs;
	uint64_t round;
	bool stop, asked, drained;

	do {
		(void)pthread_mutex_lock(&w->lock);
		wait_for_work(w);
		stop = w->stop;
		jobs = w->jobs;
		w->jobs = NULL;
		w->last_job = &w->jobs;
		w->job_count = 0;
		round = w->asked;
		asked = w->asked > w->round;
		(void)pthread_mutex_unlock(&w->lock);
		/* Somebody waits for the drain; nobody waits for the jobs. */
		drained = false;
		if (asked || stop || clock_mono_ms() - w->drained_ms >= DRAIN_MS) {
			drained = drain(w) == RC_OK;
			w->drained_ms = clock_mono_ms();
		}
		give_back(w, NULL, round, drained);
		do_jobs(w, jobs);
		give_back(w, jobs, round, false);
		sweep_when_due(w);
	} while (!stop);
	return NULL;
}

/* --- the loop's side ---------------------------------------------------------------- */

static enum rc start(struct state_writer *w)
{
	pthread_condattr_t attr;

	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&w->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	(void)pthread_mutex_init(&w->lock, NULL);
	if (pthread_create(&w->thread, NULL, run, w) != 0) {
		log_err("cannot start the state writer's thread");
		return RC_INTERNAL;
	}
	return RC_OK;
}

static void writer_free(struct state_writer *w)
{
	db_close(w->db);
	free((char *)w->o.snapshot_dir);
	free((char *)w->o.audit_path);
	free(w);
}

enum rc state_writer_open(const struct state_writer_options *o, struct state_writer **out)
{
	struct state_writer *w = xcalloc(1, sizeof(*w));
	enum rc rc;

	w->o = *o;
	w->o.snapshot_dir = xstrdup(o->snapshot_dir);
	w->o.audit_path = xstrdup(o->audit_path);
	w->last_job = &w->jobs;
	w->last_ticket = &w->tickets;
	w->swept_ms = clock_mono_ms() - SWEEP_MS;
	w->asked = 1; /* the start-up's drain */
	rc = db_open(o->state_path, &w->db);
	if (rc == RC_OK)
		rc = resume(w);
	if (rc == RC_OK)
		rc = start(w);
	if (rc == RC_OK)
		*out = w;
	else
		writer_free(w);
	return rc;
}

void state_writer_close(struct state_writer *w)
{
	if (!w)
		return;
	(void)pthread_mutex_lock(&w->lock);
	w->stop = true;
	(void)pthread_cond_signal(&w->wake);
	(void)pthread_mutex_unlock(&w->lock);
	(void)pthread_join(w->thread, NULL);
	state_writer_reap(w);
	(void)pthread_cond_destroy(&w->wake);
	(void)pthread_mutex_destroy(&w->lock);
	writer_free(w);
}

void state_writer_flush(struct state_writer *w, struct flush_ticket *t)
{
	(void)pthread_mutex_lock(&w->lock);
	/* A drain under way may have read the table already: this ticket needs the one after it. */
	t->round = ++w->asked;
	(void)pthread_cond_signal(&w->wake);
	(void)pthread_mutex_unlock(&w->lock);
	t->next = NULL;
	*w->last_ticket = t;
	w->last_ticket = &t->next;
}

static void job_free(struct job *j)
{
	buf_free(&j->json);
	free(j);
}

static enum rc add_job(struct state_writer *w, struct job *j, bool may_drop)
{
	bool full;

	(void)pthread_mutex_lock(&w->lock);
	full = may_drop && w->job_count >= JOBS_MAX;
	if (!full) {
		*w->last_job = j;
		w->last_job = &j->next;
		w->job_count++;
		(void)pthread_cond_signal(&w->wake);
	}
	(void)pthread_mutex_unlock(&w->lock);
	if (full)
		job_free(j);
	return full ? RC_LIMIT : RC_OK;
}

static struct job *job_new(enum job_kind kind, const char *tenant_id, const char *id)
{
	struct job *j = xcalloc(1, sizeof(*j));

	j->kind = kind;
	(void)str_copy(j->tenant_id, sizeof(j->tenant_id), tenant_id);
	(void)str_copy(j->id, sizeof(j->id), id);
	return j;
}

void state_writer_seen(struct state_writer *w, const struct state_seen *seen)
{
	struct job *j = job_new(JOB_SEEN, seen->tenant_id, seen->worker_id);

	(void)str_copy_len(j->version, sizeof(j->version), seen->version,
		strnlen(seen->version, sizeof(j->version) - 1));
	j->seen_at = seen->at;
	j->manifest = seen->manifest;
	j->announced = seen->announced;
	/* Bounded by the connections, so never dropped. */
	(void)add_job(w, j, false);
}

enum rc state_writer_sidecar(
	struct state_writer *w, const char *tenant_id, const char *snapshot_id, struct buf *json)
{
	struct job *j = job_new(JOB_SIDECAR, tenant_id, snapshot_id);

	j->json = *json;
	buf_init(json, json->max);
	return add_job(w, j, true);
}

enum rc state_writer_sidecar_gone(
	struct state_writer *w, const char *tenant_id, const char *snapshot_id)
{
	return add_job(w, job_new(JOB_SIDECAR_GONE, tenant_id, snapshot_id), true);
}

static void finish_tickets(struct state_writer *w, uint64_t round, uint64_t good_round)
{
	struct flush_ticket *t;

	while ((t = w->tickets) && t->round <= round) {
		w->tickets = t->next;
		if (!w->tickets)
			w->last_ticket = &w->tickets;
		t->done(t, t->round <= good_round);
	}
}

void state_writer_reap(struct state_writer *w)
{
	struct changed_tenant *changed, *next_changed;
	struct job *jobs, *next_job;
	uint64_t round, good_round;

	(void)pthread_mutex_lock(&w->lock);
	changed = w->changed;
	w->changed = NULL;
	jobs = w->done_jobs;
	w->done_jobs = NULL;
	round = w->round;
	good_round = w->good_round;
	(void)pthread_mutex_unlock(&w->lock);
	for (; changed; changed = next_changed) {
		next_changed = changed->next;
		w->o.changed(w->o.ctx, changed->id);
		free(changed);
	}
	for (; jobs; jobs = next_job) {
		next_job = jobs->next;
		if (jobs->manifest)
			w->o.release(w->o.ctx, jobs->manifest);
		job_free(jobs);
	}
	finish_tickets(w, round, good_round);
}
