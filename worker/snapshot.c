#include "worker/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/crypto.h"
#include "shared/file.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/sidecar.h"
#include "shared/text.h"

#define NAME_BYTES 16 /* random bytes in a file's name */
#define NAME_CHARS TEXT_B32_LEN(NAME_BYTES)
#define TMPFS 0x01021994
#define RAMFS 0x858458f6
/* The owner of a call sets a flag and can't signal us: who waits for an export looks this often. */
#define LOOK_MS 20
#define IDLE_MS 60000

struct entry {
	struct snapshot pub; /* first: a held snapshot is its entry */
	char *subject;
	char *path;
	int holders;
	bool listed;
	TAILQ_ENTRY(entry) link; /* in used order or among the dropped */
};
TAILQ_HEAD(entries, entry);

/* An export in progress. */
struct flight {
	const char *subject;
	atomic_int wanted; /* calls that still want it */
	int watchers; /* calls that look at this struct; the last one frees it */
	bool done;
	enum export_status status;
	struct engine_message message;
	struct entry *entry;
	TAILQ_ENTRY(flight) link;
};
TAILQ_HEAD(flights, flight);

struct snapshots {
	const struct wconfig *c;
	const struct engine_ops *engine;
	const atomic_bool *closing;
	tools_snapshot_fn *notify;
	void *ctx;
	int lock_fd;
	pthread_mutex_t lock; /* over all below */
	pthread_cond_t landed;
	struct entries list; /* used last first */
	int count;
	struct flights flights;
};

/* --- data_dir ---------------------------------------------------------------------- */

/* Only names that make_path() gives. */
static bool is_ours(const char *name)
{
	size_t len = strlen(name);

	if (strncmp(name, "s_", 2) != 0 || len < 2 + NAME_CHARS + 3)
		return false;
	if (strspn(name + 2, "abcdefghijklmnopqrstuvwxyz234567") != NAME_CHARS)
		return false;
	name += 2 + NAME_CHARS;
	return strcmp(name, ".db") == 0 || strcmp(name, ".tmp") == 0 ||
		strcmp(name, ".tmp-journal") == 0 || strcmp(name, ".tmp.wal") == 0 ||
		strcmp(name, ".db.wal") == 0;
}

static void remove_leftovers(const char *dir)
{
	DIR *d = opendir(dir);
	int removed = 0;
	struct dirent *e;

	if (!d)
		return;
	while ((e = readdir(d)))
		if (is_ours(e->d_name) && unlinkat(dirfd(d), e->d_name, 0) == 0)
			removed++;
	closedir(d);
	if (removed > 0)
		log_warn("removed %d snapshot files that an earlier run left in data_dir", removed);
}

static enum rc dir_failed(struct wconfig_error *err, const char *dir, const char *what)
{
	snprintf(err->text, sizeof(err->text), "worker.data_dir %s: %s", dir, what);
	return RC_INVALID;
}

static enum rc check_dir(const char *dir, struct wconfig_error *err)
{
	struct stat st;
	struct statfs fs;

	if (file_make_dirs(dir, 0700) != RC_OK)
		return dir_failed(err, dir, strerror(errno));
	if (lstat(dir, &st) != 0)
		return dir_failed(err, dir, strerror(errno));
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid())
		return dir_failed(
			err, dir, "it must be a directory that belongs to the worker's user");
	if ((st.st_mode & 07777) != 0700 && chmod(dir, 0700) != 0)
		return dir_failed(err, dir, strerror(errno));
	if (statfs(dir, &fs) == 0 && (unsigned long)fs.f_type != TMPFS &&
		(unsigned long)fs.f_type != RAMFS)
		log_warn("worker.data_dir is not on tmpfs: masked snapshots will be written to a "
			 "disk");
	return RC_OK;
}

static enum rc take_dir(struct snapshots *s, struct wconfig_error *err)
{
	const char *dir = s->c->data_dir;
	char path[4200];
	enum rc rc = check_dir(dir, err);

	if (rc != RC_OK)
		return rc;
	snprintf(path, sizeof(path), "%s/.lock", dir);
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		return dir_failed(err, dir, strerror(errno));
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0)
		return dir_failed(
			err, dir, "another worker uses it: give each worker a data_dir of its own");
	remove_leftovers(dir);
	return RC_OK;
}

static char *make_path(const char *dir, const char *name, const char *suffix)
{
	struct buf b;

	buf_init(&b, 8192);
	buf_printf(&b, "%s/s_%s%s", dir, name, suffix);
	return buf_steal(&b);
}

/* --- entries ------------------------------------------------------------------------ */

static void put_names(struct buf *b, const char *member, const struct plan_table *t, bool excluded)
{
	bool any = false;

	buf_printf(b, ",\"%s\":[", member);
	for (size_t i = 0; i < t->column_count; i++) {
		const struct plan_column *c = &t->columns[i];

		if (excluded ? c->shown : !c->shown || c->mask.kind == MASK_KEEP)
			continue;
		if (any)
			buf_char(b, ',');
		any = true;
		buf_json(b, c->name);
	}
	buf_char(b, ']');
}

static void put_sidecar(
	struct buf *b, const struct snapshots *s, const struct snapshot *sn, bool with_columns)
{
	buf_printf(b,
		"{\"snapshot_id\":\"%s\",\"engine\":\"%s\",\"subject_digest\":\"%s\",\"created_"
		"at\":%lld,\"expires_at\":%lld,"
		"\"bytes\":%lld,\"tables\":[",
		sn->id, s->engine->name, sn->subject_digest, (long long)sn->created_at,
		(long long)sn->expires_at, (long long)sn->bytes);
	for (size_t i = 0; i < sn->plan->table_count; i++) {
		buf_str(b, i ? ",{\"name\":" : "{\"name\":");
		buf_json(b, sn->plan->tables[i].conf->name);
		buf_printf(b, ",\"rows\":%lld", (long long)sn->rows[i]);
		if (with_columns) {
			put_names(b, "masked_columns", &sn->plan->tables[i], false);
			put_names(b, "excluded_columns", &sn->plan->tables[i], true);
		}
		buf_char(b, '}');
	}
	buf_str(b, "]}");
}

static void tell_made(const struct snapshots *s, const struct snapshot *sn)
{
	struct buf b;

	/* A sidecar has a bound of its own; a schema with thousands of columns goes without their
	 * names. */
	buf_init(&b, SIDECAR_MAX);
	put_sidecar(&b, s, sn, true);
	if (b.failed) {
		buf_free(&b);
		put_sidecar(&b, s, sn, false);
	}
	if (!b.failed)
		s->notify(s->ctx, sn->id, (const char *)b.data, b.len);
	buf_free(&b);
}

/* Of an entry that nobody holds and no list has. Not under the lock: it tells the owner. */
static void destroy(struct snapshots *s, struct entry *e)
{
	s->engine->close(e->pub.engine);
	if (unlink(e->path) != 0)
		log_err("can't remove a snapshot's file: %s", strerror(errno));
	s->notify(s->ctx, e->pub.id, NULL, 0);
	canary_free(e->pub.canaries);
	plan_release(e->pub.plan);
	free(e->pub.rows);
	mem_free_secret(e->subject);
	free(e->path);
	free(e);
}

static void destroy_all(struct snapshots *s, struct entries *dropped)
{
	struct entry *e;

	while ((e = TAILQ_FIRST(dropped))) {
		TAILQ_REMOVE(dropped, e, link);
		destroy(s, e);
	}
}

/* The one place where an entry leaves the list; if held, its last holder destroys it. */
static void drop(struct snapshots *s, struct entry *e, struct entries *dropped)
{
	TAILQ_REMOVE(&s->list, e, link);
	e->listed = false;
	s->count--;
	if (e->holders == 0)
		TAILQ_INSERT_TAIL(dropped, e, link);
}

static void drop_expired(struct snapshots *s, int64_t now_mono_ms, struct entries *dropped)
{
	struct entry *e, *next;

	for (e = TAILQ_FIRST(&s->list); e; e = next) {
		next = TAILQ_NEXT(e, link);
		if (e->pub.expires_mono_ms <= now_mono_ms)
			drop(s, e, dropped);
	}
}

static void insert(struct snapshots *s, struct entry *e, struct entries *dropped)
{
	e->listed = true;
	TAILQ_INSERT_HEAD(&s->list, e, link);
	s->count++;
	while (s->count > s->c->snapshots_max)
		drop(s, TAILQ_LAST(&s->list, entries), dropped);
}

static struct entry *find(struct snapshots *s, const char *subject)
{
	struct entry *e;

	TAILQ_FOREACH(e, &s->list, link)
	{
		if (strcmp(e->subject, subject) != 0)
			continue;
		TAILQ_REMOVE(&s->list, e, link);
		TAILQ_INSERT_HEAD(&s->list, e, link);
		e->holders++;
		return e;
	}
	return NULL;
}

/* --- exports ------------------------------------------------------------------------- */

/* Whether one call still wants its answer. */
static enum budget_state call_state(const struct snapshots *s, const struct snapshot_wish *w)
{
	if (atomic_load(s->closing) || (w->cancelled && atomic_load(w->cancelled)))
		return BUDGET_CANCELLED;
	return clock_mono_ms() >= w->deadline_mono_ms ? BUDGET_TIMEOUT : BUDGET_GO;
}

struct lead {
	struct snapshots *s;
	const struct snapshot_wish *wish;
	struct flight *flight;
	enum budget_state state; /* of the call that leads */
};

/* The export's budget: it goes on while anybody wants it, though the call that started it may be
 * gone. */
static enum budget_state lead_check(void *ctx)
{
	struct lead *l = ctx;

	if (atomic_load(l->s->closing))
		return BUDGET_CANCELLED;
	if (l->state == BUDGET_GO) {
		l->state = call_state(l->s, l->wish);
		if (l->state != BUDGET_GO)
			atomic_fetch_sub(&l->flight->wanted, 1);
	}
	if (atomic_load(&l->flight->wanted) > 0)
		return BUDGET_GO;
	return l->state == BUDGET_GO ? BUDGET_CANCELLED : l->state;
}

static enum export_status make_entry(
	struct lead *l, struct entry **out, struct engine_message *message)
{
	struct snapshots *s = l->s;
	const struct snapshot_wish *w = l->wish;
	struct budget budget = {.check = lead_check, .ctx = l};
	struct entry *e = xcalloc(1, sizeof(*e));
	uint8_t random[NAME_BYTES];
	char name[NAME_CHARS + 1];
	char *unfinished;
	struct export_job job = {.source_ops = w->source_ops,
		.source = w->source,
		.engine_ops = s->engine,
		.plan = w->plan,
		.mask = w->mask,
		.subject = w->value,
		.max_rows = s->c->snapshot_max_rows,
		.max_bytes = s->c->snapshot_max_bytes,
		.budget = &budget,
		.canaries = &e->pub.canaries};
	enum export_status status;

	crypto_random(random, sizeof(random));
	text_b32(random, sizeof(random), name);
	job.unfinished_path = unfinished = make_path(s->c->data_dir, name, ".tmp");
	job.path = e->path = make_path(s->c->data_dir, name, ".db");
	status = export_run(&job, &e->pub.engine, &e->pub.rows, &e->pub.bytes, message);
	free(unfinished);
	if (status != EXPORT_OK) {
		free(e->path);
		free(e);
		return status;
	}
	crypto_id("snap", e->pub.id, sizeof(e->pub.id));
	mask_subject_digest(w->mask, w->subject, strlen(w->subject), e->pub.subject_digest);
	e->pub.plan = plan_hold(w->plan);
	e->pub.created_at = clock_wall_ms();
	e->pub.expires_at = e->pub.created_at + (int64_t)s->c->snapshot_ttl_s * 1000;
	e->pub.expires_mono_ms = clock_mono_ms() + (int64_t)s->c->snapshot_ttl_s * 1000;
	e->subject = xstrdup(w->subject);
	*out = e;
	return EXPORT_OK;
}

/* Called with the lock held. */
static void leave(struct flight *f)
{
	if (--f->watchers == 0)
		free(f);
}

static enum export_status given_up(enum budget_state state, struct engine_message *m)
{
	bool late = state == BUDGET_TIMEOUT;

	snprintf(m->text, sizeof(m->text), "%s",
		late ? "copying this subject's rows took too long" : "the call was cancelled");
	return late ? EXPORT_TIMEOUT : EXPORT_CANCELLED;
}

/* Exports for this call and all that join. Called and returns with the lock held. */
static enum export_status lead(struct snapshots *s, const struct snapshot_wish *w,
	struct snapshot **out, struct engine_message *m, struct entries *dropped)
{
	struct flight *f = xcalloc(1, sizeof(*f));
	struct lead l = {.s = s, .wish = w, .flight = f};
	enum export_status status;

	f->subject = w->subject;
	f->watchers = 1;
	atomic_init(&f->wanted, 1);
	TAILQ_INSERT_TAIL(&s->flights, f, link);
	pthread_mutex_unlock(&s->lock);
	status = make_entry(&l, &f->entry, &f->message);
	/* Told before anybody can use it, so that its end is never told first. */
	if (status == EXPORT_OK)
		tell_made(s, &f->entry->pub);
	pthread_mutex_lock(&s->lock);
	f->status = status;
	f->done = true;
	TAILQ_REMOVE(&s->flights, f, link);
	*m = f->message;
	if (status == EXPORT_OK) {
		/* The watchers' holds keep it alive even when it is dropped at once. */
		f->entry->holders = f->watchers;
		insert(s, f->entry, dropped);
		*out = &f->entry->pub;
	}
	pthread_cond_broadcast(&s->landed);
	leave(f);
	return status;
}

static void wait_a_little(struct snapshots *s)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += LOOK_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	pthread_cond_timedwait(&s->landed, &s->lock, &until);
}

/* Waits for another call's export. Called and returns with the lock held. False: it was given up,
 * try again. */
static bool join(struct snapshots *s, struct flight *f, const struct snapshot_wish *w,
	enum export_status *status, struct snapshot **out, struct engine_message *m)
{
	enum budget_state state = BUDGET_GO;
	bool settled = true;

	f->watchers++;
	atomic_fetch_add(&f->wanted, 1);
	while (!f->done && (state = call_state(s, w)) == BUDGET_GO)
		wait_a_little(s);
	if (!f->done) {
		atomic_fetch_sub(&f->wanted, 1);
		*status = given_up(state, m);
	} else if (f->status == EXPORT_TIMEOUT || f->status == EXPORT_CANCELLED) {
		settled = false;
	} else {
		*status = f->status;
		*m = f->message;
		if (f->entry)
			*out = &f->entry->pub;
	}
	leave(f);
	return settled;
}

static struct flight *find_flight(struct snapshots *s, const char *subject)
{
	struct flight *f;

	TAILQ_FOREACH(f, &s->flights, link)
	if (strcmp(f->subject, subject) == 0)
		return f;
	return NULL;
}

enum export_status snapshots_get(struct snapshots *s, const struct snapshot_wish *w,
	struct snapshot **out, struct engine_message *message)
{
	struct entries dropped = TAILQ_HEAD_INITIALIZER(dropped);
	enum export_status status = EXPORT_OK;
	enum budget_state state;
	struct flight *f;
	struct entry *e;
	bool settled = false;

	pthread_mutex_lock(&s->lock);
	while (!settled) {
		drop_expired(s, clock_mono_ms(), &dropped);
		settled = true;
		if ((state = call_state(s, w)) != BUDGET_GO)
			status = given_up(state, message);
		else if ((e = find(s, w->subject)))
			*out = &e->pub;
		else if ((f = find_flight(s, w->subject)))
			settled = join(s, f, w, &status, out, message);
		else
			status = lead(s, w, out, message, &dropped);
	}
	pthread_mutex_unlock(&s->lock);
	destroy_all(s, &dropped);
	return status;
}

void snapshots_put(struct snapshots *s, struct snapshot *held)
{
	struct entry *e = (struct entry *)held;
	bool last;

	pthread_mutex_lock(&s->lock);
	last = --e->holders == 0 && !e->listed;
	pthread_mutex_unlock(&s->lock);
	if (last)
		destroy(s, e);
}

int snapshots_waiting(struct snapshots *s)
{
	struct flight *f;
	int n = 0;

	pthread_mutex_lock(&s->lock);
	TAILQ_FOREACH(f, &s->flights, link)
	n += f->watchers - 1;
	pthread_mutex_unlock(&s->lock);
	return n;
}

int64_t snapshots_expire(struct snapshots *s, int64_t now_mono_ms)
{
	struct entries dropped = TAILQ_HEAD_INITIALIZER(dropped);
	int64_t wait = IDLE_MS;
	struct entry *e;

	pthread_mutex_lock(&s->lock);
	drop_expired(s, now_mono_ms, &dropped);
	TAILQ_FOREACH(e, &s->list, link)
	if (e->pub.expires_mono_ms - now_mono_ms < wait)
		wait = e->pub.expires_mono_ms - now_mono_ms;
	pthread_mutex_unlock(&s->lock);
	destroy_all(s, &dropped);
	return wait;
}

enum rc snapshots_open(const struct wconfig *c, const struct engine_ops *engine,
	const atomic_bool *closing, tools_snapshot_fn *notify, void *ctx, struct snapshots **out,
	struct wconfig_error *err)
{
	struct snapshots *s = xcalloc(1, sizeof(*s));
	pthread_condattr_t attr;
	enum rc rc;

	s->c = c;
	s->engine = engine;
	s->closing = closing;
	s->notify = notify;
	s->ctx = ctx;
	s->lock_fd = -1;
	TAILQ_INIT(&s->list);
	TAILQ_INIT(&s->flights);
	rc = take_dir(s, err);
	if (rc != RC_OK) {
		if (s->lock_fd >= 0)
			close(s->lock_fd);
		free(s);
		return rc;
	}
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->landed, &attr);
	pthread_condattr_destroy(&attr);
	*out = s;
	return RC_OK;
}

void snapshots_close(struct snapshots *s)
{
	struct entries dropped = TAILQ_HEAD_INITIALIZER(dropped);

	if (!s)
		return;
	while (!TAILQ_EMPTY(&s->list))
		drop(s, TAILQ_FIRST(&s->list), &dropped);
	destroy_all(s, &dropped);
	pthread_cond_destroy(&s->landed);
	pthread_mutex_destroy(&s->lock);
	close(s->lock_fd);
	free(s);
}
