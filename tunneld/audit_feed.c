#include "tunneld/audit_feed.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/audit_log.h"
#include "shared/audit_search.h"
#include "shared/audit_words.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/store.h"

#define TENANTS_A_PAGE 500
#define WORDS_MAX 96
/* What one look back may cost before the live rows have their turn again. */
#define REPLAY_LINES_MAX 20000
/* Of an event around a row. */
#define EVENT_OVERHEAD 64
#define ASKED_MAX (5 + AUDIT_FILTER_TERMS_MAX)

enum state { FRESH, REPLAYING, LIVE, TOO_SLOW };

struct audit_watcher {
	struct audit_watcher *prev, *next;
	struct audit_filter filter;
	struct audit_scope scope; /* of an org */
	char org_id[STORE_ID_MAX + 1];
	uint32_t asked[ASKED_MAX];
	int asked_count;
	enum state state;
	int64_t after; /* everything up to this row was looked at */
	int64_t joined; /* what was on disk when it came */
	int64_t queued; /* the last row in a queue, or what "start" said */
	struct buf queue;
	bool ready; /* filled since the last reap */
	bool busy, gone; /* the thread works for it without the lock; unwatched meanwhile */
	uint64_t scope_round;
	void *owner;
};

struct audit_feed {
	struct audit_feed_options o;
	pthread_t thread;

	/* What wakes the thread. A lock of its own, held for a moment only: the journal's writer
	 * passes here. */
	pthread_mutex_t wake_lock;
	pthread_cond_t wake;
	int64_t durable;
	bool watched; /* there are watchers */
	bool fresh; /* there were none for a while: nothing was followed */
	bool changed; /* one came, or took from its queue */
	bool stop;

	pthread_mutex_t lock; /* the watchers */
	struct audit_watcher *first;

	/* The thread's own. */
	struct audit_log *log;
	struct audit_place next; /* behind the last line that was read */
	bool placed; /* the log's walk is there */
	int64_t live; /* the last row that live watchers were given */
	uint64_t scope_round; /* counts how often tenants have changed */
	struct db *db;
	struct buf replay;
};

/* What a row has, so that most watchers need not look at it. */
struct row_words {
	uint32_t word[WORDS_MAX];
	int count;
	bool all; /* there was room for all */
};

/* --- queues: under the lock ------------------------------------------------------------------ */

static void put_event(struct buf *b, const char *event, int64_t seq, const char *data, size_t len)
{
	if (event)
		buf_printf(b, "event: %s\n", event);
	buf_printf(b, "id: %lld\ndata: ", (long long)seq);
	buf_add(b, data, len);
	buf_str(b, "\n\n");
}

static void set_ready(struct audit_watcher *w, bool *news)
{
	w->ready = true;
	*news = true;
}

static void put_start(struct audit_watcher *w)
{
	char data[40];
	int n = snprintf(data, sizeof(data), "{\"after\":%lld}", (long long)w->after);

	put_event(&w->queue, "start", w->after, data, (size_t)n);
	w->queued = w->after;
}

static bool room_for(const struct audit_feed *f, const struct audit_watcher *w, size_t len)
{
	return w->queue.len + len + EVENT_OVERHEAD <= f->o.backlog_bytes;
}

/* --- which rows are whose ----------------------------------------------------------------------
 */

static bool add_word(void *ctx, enum audit_word_kind kind, const char *word, size_t len)
{
	struct row_words *r = ctx;

	r->all = r->count < WORDS_MAX;
	if (r->all)
		r->word[r->count++] = audit_word_hash(kind, word, len);
	return r->all;
}

static void ask(struct audit_watcher *w, enum audit_word_kind kind, const char *word, size_t len)
{
	if (len > 0)
		w->asked[w->asked_count++] = audit_word_hash(kind, word, len);
}

static void ask_all(struct audit_watcher *w)
{
	const struct audit_filter *f = &w->filter;

	ask(w, AUDIT_WORD_TENANT, f->tenant, strlen(f->tenant));
	ask(w, AUDIT_WORD_ACTOR, f->actor, strlen(f->actor));
	ask(w, AUDIT_WORD_TOOL, f->tool, strlen(f->tool));
	ask(w, AUDIT_WORD_OUTCOME, f->outcome, strlen(f->outcome));
	ask(w, AUDIT_WORD_EVENT, f->event, strlen(f->event));
	for (int i = 0; i < f->term_count; i++)
		ask(w, AUDIT_WORD_TEXT, f->text + f->term[i].at, f->term[i].len);
}

static bool may_match(const struct audit_watcher *w, const struct row_words *r)
{
	for (int i = 0; r->all && i < w->asked_count; i++) {
		int k = 0;

		while (k < r->count && r->word[k] != w->asked[i])
			k++;
		if (k == r->count)
			return false;
	}
	return true;
}

static enum rc load_page(
	struct db *db, const char *org_id, struct audit_scope *s, char after[STORE_CURSOR_MAX + 1])
{
	char next[STORE_CURSOR_MAX + 1] = "";
	struct tenant *page = NULL;
	size_t count = 0;
	enum rc rc = tenant_list(db, org_id, after, TENANTS_A_PAGE, &page, &count, next);

	if (rc != RC_OK)
		return rc;
	s->tenants = xrealloc(s->tenants, (s->count + count + 1) * sizeof(*s->tenants));
	for (size_t i = 0; i < count; i++) {
		struct audit_scope_tenant *t = &s->tenants[s->count++];

		*t = (struct audit_scope_tenant){.since_ms = page[i].created_at * 1000};
		(void)str_copy(t->id, sizeof(t->id), page[i].id);
	}
	free(page);
	memcpy(after, next, sizeof(next));
	return RC_OK;
}

/* The tenants of an org, as they are now. When they can't be read there are none. */
static void load_scope(struct audit_feed *f, const char *org_id, struct audit_scope *s)
{
	char after[STORE_CURSOR_MAX + 1] = "";
	enum rc rc = f->db ? RC_OK : db_open(f->o.state_path, &f->db);

	if (rc != RC_OK)
		f->db = NULL;
	do
		rc = rc == RC_OK ? load_page(f->db, org_id, s, after) : rc;
	while (rc == RC_OK && *after);
	if (rc != RC_OK)
		s->count = 0;
	audit_scope_sort(s);
}

static void free_watcher(struct audit_watcher *w)
{
	buf_free(&w->queue);
	free(w->scope.tenants);
	free(w);
}

/* Under the lock. */
static struct audit_watcher *with_old_scope(const struct audit_feed *f)
{
	for (struct audit_watcher *w = f->first; w; w = w->next)
		if (w->scope_round != f->scope_round)
			return w;
	return NULL;
}

/* Under the lock, but for reading the state. */
static void refresh_scopes(struct audit_feed *f)
{
	struct audit_watcher *w;

	while ((w = with_old_scope(f))) {
		struct audit_scope scope = {0}, old;

		w->scope_round = f->scope_round;
		if (!*w->org_id)
			continue;
		w->busy = true;
		(void)pthread_mutex_unlock(&f->lock);
		load_scope(f, w->org_id, &scope);
		(void)pthread_mutex_lock(&f->lock);
		w->busy = false;
		old = w->scope;
		w->scope = scope;
		w->filter.scope = &w->scope;
		free(old.tenants);
		if (w->gone)
			free_watcher(w);
	}
}

/* --- live rows ---------------------------------------------------------------------------------
 */

static bool about_tenants(const char *line, size_t len)
{
	static const char event[] = "\"event\":\"tenant.";

	return memmem(line, len, event, sizeof(event) - 1) != NULL;
}

/* Under the lock. */
static void offer(struct audit_feed *f, struct audit_watcher *w, const struct audit_line *line,
	const struct row_words *words, bool *news)
{
	if (line->seq <= w->after)
		return;
	w->after = line->seq;
	if (!may_match(w, words) || !audit_filter_match(&w->filter, line->text, line->len))
		return;
	if (room_for(f, w, line->len)) {
		put_event(&w->queue, NULL, line->seq, line->text, line->len);
		w->queued = line->seq;
	} else {
		w->state = TOO_SLOW;
	}
	set_ready(w, news);
}

static void give_line(struct audit_feed *f, const struct audit_line *line)
{
	struct row_words words = {.all = true};
	bool news = false;

	(void)audit_words(line->text, line->len, add_word, &words);
	f->scope_round += about_tenants(line->text, line->len);
	(void)pthread_mutex_lock(&f->lock);
	refresh_scopes(f);
	for (struct audit_watcher *w = f->first; w; w = w->next)
		if (w->state == LIVE)
			offer(f, w, line, &words, &news);
	(void)pthread_mutex_unlock(&f->lock);
	if (news)
		f->o.notify(f->o.ctx);
}

static enum rc reopen(struct audit_feed *f)
{
	enum rc rc;

	audit_log_close(f->log);
	f->log = NULL;
	rc = audit_log_open(f->o.log_path, &f->log);
	if (rc != RC_OK)
		return rc;
	rc = f->placed ? audit_log_seek(f->log, f->next) : RC_NOTFOUND;
	if (rc != RC_OK)
		rc = audit_search_seek(f->log, f->o.index_path, f->live + 1);
	f->placed = rc == RC_OK;
	return rc;
}

/* The next line. At the end of a file that was closed meanwhile the log is opened anew. */
static enum rc next_line(struct audit_feed *f, struct audit_line *line)
{
	enum rc rc = f->log && f->placed ? audit_log_next(f->log, line) : RC_NOTFOUND;

	if (rc == RC_NOTFOUND) {
		rc = reopen(f);
		if (rc == RC_OK)
			rc = audit_log_next(f->log, line);
	}
	if (rc == RC_OK)
		f->next = (struct audit_place){
			line->at.segment, line->at.offset + (int64_t)line->len + 1};
	return rc;
}

/* What was read ahead by then was not on disk yet: rows may have been taken back since, and others
 * have come in their place. */
static void forget_ahead(struct audit_feed *f)
{
	if (f->log && f->placed)
		f->placed = audit_log_seek(f->log, f->next) == RC_OK;
}

static void follow(struct audit_feed *f, int64_t durable)
{
	struct audit_line line;
	enum rc rc = RC_OK;

	forget_ahead(f);
	while (f->live < durable && rc == RC_OK) {
		rc = next_line(f, &line);
		if (rc != RC_OK || line.seq <= f->live)
			continue;
		give_line(f, &line);
		f->live = line.seq;
	}
	if (rc == RC_OK)
		return;
	/* The next rows can be read, perhaps. */
	log_err("the audit log can't be followed behind row %lld: %s", (long long)f->live,
		rc_name(rc));
	f->placed = false;
	f->live = durable;
}

/* --- what was missed ---------------------------------------------------------------------------
 */

struct replay {
	struct audit_feed *f;
	size_t room;
	int64_t last;
	bool full;
};

static bool replay_row(void *ctx, int64_t seq, const char *line, size_t len)
{
	struct replay *r = ctx;
	struct buf *b = &r->f->replay;

	r->full = b->len + len + EVENT_OVERHEAD > r->room;
	if (r->full)
		return false;
	put_event(b, NULL, seq, line, len);
	r->last = seq;
	return true;
}

/* Not under the lock: w is busy, so it stays. */
static void look_back(struct audit_feed *f, struct audit_watcher *w, size_t room)
{
	struct replay r = {.f = f, .room = room, .last = w->after};
	const struct audit_search s = {.log_path = f->o.log_path,
		.index_path = f->o.index_path,
		.filter = &w->filter,
		.oldest_first = true,
		.from = w->after,
		.durable = f->live,
		.lines_max = REPLAY_LINES_MAX};
	struct audit_search_end end = {0};
	bool failed;

	buf_reset(&f->replay);
	failed = audit_search(&s, replay_row, &r, &end) != RC_OK;
	(void)pthread_mutex_lock(&f->lock);
	if (failed) {
		w->state = TOO_SLOW; /* so far and no further: it may come back */
	} else {
		buf_add(&w->queue, f->replay.data, f->replay.len);
		if (f->replay.len > 0)
			w->queued = r.last;
		w->after = r.full ? r.last : end.next > 0 ? end.next : f->live;
		if (w->after >= f->live)
			w->state = LIVE;
	}
	w->ready = w->ready || w->queue.len > 0 || failed;
	(void)pthread_mutex_unlock(&f->lock);
}

/* Under the lock: a watcher with something to look back for, and room for it. */
static struct audit_watcher *to_look_back(const struct audit_feed *f)
{
	for (struct audit_watcher *w = f->first; w; w = w->next)
		if (w->state == REPLAYING && w->queue.len <= f->o.backlog_bytes / 2)
			return w;
	return NULL;
}

/* Live rows have their turn, or it is the end. */
static bool urgent(struct audit_feed *f)
{
	bool yes;

	(void)pthread_mutex_lock(&f->wake_lock);
	yes = f->stop || f->changed || f->durable > f->live;
	(void)pthread_mutex_unlock(&f->wake_lock);
	return yes;
}

/* True when there is more to look back for at once. */
static bool replay_all(struct audit_feed *f)
{
	struct audit_watcher *w;
	size_t room;
	bool more;

	(void)pthread_mutex_lock(&f->lock);
	while ((w = to_look_back(f)) && !urgent(f)) {
		w->busy = true;
		room = f->o.backlog_bytes - w->queue.len;
		(void)pthread_mutex_unlock(&f->lock);
		look_back(f, w, room);
		f->o.notify(f->o.ctx);
		(void)pthread_mutex_lock(&f->lock);
		w->busy = false;
		if (w->gone)
			free_watcher(w);
	}
	more = w != NULL;
	(void)pthread_mutex_unlock(&f->lock);
	return more;
}

/* --- the thread --------------------------------------------------------------------------------
 */

static void greet(struct audit_feed *f)
{
	bool news = false;

	(void)pthread_mutex_lock(&f->lock);
	refresh_scopes(f);
	for (struct audit_watcher *w = f->first; w; w = w->next) {
		if (w->state != FRESH)
			continue;
		if (w->after < 0 || w->after > w->joined)
			w->after = w->joined;
		w->state = w->after < f->live ? REPLAYING : LIVE;
		put_start(w);
		set_ready(w, &news);
	}
	(void)pthread_mutex_unlock(&f->lock);
	if (news)
		f->o.notify(f->o.ctx);
}

/* Waits until there is something to do; *durable gets how far the log is. False at the end. While
 * nobody watches, nothing is followed. */
static bool wait_for_work(struct audit_feed *f, bool more, int64_t *durable)
{
	bool stop;

	(void)pthread_mutex_lock(&f->wake_lock);
	while (!f->stop && !more && (!f->watched || (!f->changed && f->durable <= f->live)))
		(void)pthread_cond_wait(&f->wake, &f->wake_lock);
	if (f->fresh) {
		f->live = f->durable;
		f->placed = false;
	}
	f->fresh = false;
	f->changed = false;
	*durable = f->durable;
	stop = f->stop;
	(void)pthread_mutex_unlock(&f->wake_lock);
	return !stop;
}

static void *run(void *ctx)
{
	struct audit_feed *f = ctx;
	int64_t durable;
	bool more = false;

	while (wait_for_work(f, more, &durable)) {
		greet(f);
		follow(f, durable);
		more = replay_all(f);
	}
	return NULL;
}

enum rc audit_feed_open(const struct audit_feed_options *o, struct audit_feed **out)
{
	struct audit_feed *f = xcalloc(1, sizeof(*f));

	f->o = *o;
	f->o.log_path = xstrdup(o->log_path);
	f->o.index_path = xstrdup(o->index_path);
	f->o.state_path = xstrdup(o->state_path);
	buf_init(&f->replay, o->backlog_bytes + EVENT_OVERHEAD);
	f->scope_round = 1;
	(void)pthread_cond_init(&f->wake, NULL);
	(void)pthread_mutex_init(&f->wake_lock, NULL);
	(void)pthread_mutex_init(&f->lock, NULL);
	if (pthread_create(&f->thread, NULL, run, f) != 0) {
		log_err("cannot start the audit feed's thread");
		free((char *)f->o.log_path);
		free((char *)f->o.index_path);
		free((char *)f->o.state_path);
		free(f);
		return RC_INTERNAL;
	}
	*out = f;
	return RC_OK;
}

void audit_feed_close(struct audit_feed *f)
{
	if (!f)
		return;
	(void)pthread_mutex_lock(&f->wake_lock);
	f->stop = true;
	(void)pthread_cond_signal(&f->wake);
	(void)pthread_mutex_unlock(&f->wake_lock);
	(void)pthread_join(f->thread, NULL);
	(void)pthread_cond_destroy(&f->wake);
	(void)pthread_mutex_destroy(&f->wake_lock);
	(void)pthread_mutex_destroy(&f->lock);
	audit_log_close(f->log);
	db_close(f->db);
	buf_free(&f->replay);
	free((char *)f->o.log_path);
	free((char *)f->o.index_path);
	free((char *)f->o.state_path);
	free(f);
}

void audit_feed_durable(struct audit_feed *f, int64_t seq)
{
	(void)pthread_mutex_lock(&f->wake_lock);
	if (seq > f->durable)
		f->durable = seq;
	if (f->watched)
		(void)pthread_cond_signal(&f->wake);
	(void)pthread_mutex_unlock(&f->wake_lock);
}

/* watched: whether there are watchers now. */
static void tell_thread(struct audit_feed *f, bool watched, bool changed)
{
	(void)pthread_mutex_lock(&f->wake_lock);
	f->fresh = f->fresh || (watched && !f->watched);
	f->watched = watched;
	f->changed = f->changed || changed;
	(void)pthread_cond_signal(&f->wake);
	(void)pthread_mutex_unlock(&f->wake_lock);
}

/* --- the loop's side ---------------------------------------------------------------------------
 */

struct audit_watcher *audit_feed_watch(struct audit_feed *f, const struct audit_filter *filter,
	const char *org_id, int64_t after, void *owner)
{
	struct audit_watcher *w = xcalloc(1, sizeof(*w));

	w->filter = *filter;
	w->filter.scope = NULL;
	(void)str_copy(w->org_id, sizeof(w->org_id), org_id);
	w->after = after;
	w->owner = owner;
	ask_all(w);
	buf_init(&w->queue, f->o.backlog_bytes + (size_t)2 * EVENT_OVERHEAD);
	(void)pthread_mutex_lock(&f->wake_lock);
	w->joined = f->durable;
	(void)pthread_mutex_unlock(&f->wake_lock);
	(void)pthread_mutex_lock(&f->lock);
	w->next = f->first;
	if (w->next)
		w->next->prev = w;
	f->first = w;
	(void)pthread_mutex_unlock(&f->lock);
	tell_thread(f, true, true);
	return w;
}

void audit_feed_unwatch(struct audit_feed *f, struct audit_watcher *w)
{
	bool watched;

	(void)pthread_mutex_lock(&f->lock);
	*(w->prev ? &w->prev->next : &f->first) = w->next;
	if (w->next)
		w->next->prev = w->prev;
	w->gone = true;
	if (!w->busy)
		free_watcher(w);
	watched = f->first != NULL;
	(void)pthread_mutex_unlock(&f->lock);
	tell_thread(f, watched, false);
}

bool audit_feed_take(struct audit_feed *f, struct audit_watcher *w, struct buf *out)
{
	bool keeps_up, replaying;
	char data[80];
	int n;

	(void)pthread_mutex_lock(&f->lock);
	buf_add(out, w->queue.data, w->queue.len);
	buf_free(&w->queue);
	keeps_up = w->state != TOO_SLOW;
	if (!keeps_up) {
		n = snprintf(data, sizeof(data), "{\"reason\":\"too_slow\",\"after\":%lld}",
			(long long)w->queued);
		put_event(out, "dropped", w->queued, data, (size_t)n);
	}
	replaying = w->state == REPLAYING;
	(void)pthread_mutex_unlock(&f->lock);
	if (replaying)
		tell_thread(f, true, true);
	return keeps_up;
}

void audit_feed_reap(struct audit_feed *f, void (*ready)(void *owner))
{
	(void)pthread_mutex_lock(&f->lock);
	for (struct audit_watcher *w = f->first; w; w = w->next) {
		if (w->ready)
			ready(w->owner);
		w->ready = false;
	}
	(void)pthread_mutex_unlock(&f->lock);
}
