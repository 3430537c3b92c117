/* The snapshot engine that is a DuckDB file: written by one process, then read by others, each of
 * which runs one statement at a time. A process is kept for the next statement on its snapshot; one
 * that is late, or failed, is ended, and the next statement gets a new one. */
#include "worker/engine.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "worker/duckdb_process.h"
#include "worker/repair.h"

/* How long a statement that was told to stop may take to do so. */
#define GRACE_MS 200
/* Processes of all snapshots that wait for a statement. */
#define IDLE_MAX 8
/* Processes that have loaded the library and wait for work, since loading it takes longer than most
 * statements: a first call needs one that writes and one that reads. */
#define SPARE_MAX 2

struct engine_build {
	struct duckdb_process *process;
	char *path;
	const struct engine_shape *shape;
	size_t table; /* of the frame that is being written */
	size_t begin; /* where it begins */
	bool writing;
	enum rc rc; /* the first failure */
};

struct engine {
	char *path;
	pthread_mutex_t lock; /* over idle */
	struct duckdb_process *idle; /* or NULL */
};

/* Written by init() before anything else, then constant. */
static struct {
	char *library;
	int64_t max_memory;
} settings;
static pthread_mutex_t idle_lock = PTHREAD_MUTEX_INITIALIZER; /* over all below */
static int idle_count;
static struct duckdb_process *spares[SPARE_MAX];
static int spare_count;

/* --- processes ------------------------------------------------------------------------ */

static struct duckdb_process *take_spare(void)
{
	struct duckdb_process *p = NULL;

	pthread_mutex_lock(&idle_lock);
	if (spare_count > 0) {
		/* The oldest: it is ready, or the nearest to it. */
		p = spares[0];
		spare_count--;
		for (int i = 0; i < spare_count; i++)
			spares[i] = spares[i + 1];
	}
	pthread_mutex_unlock(&idle_lock);
	/* It may have died while it waited: nobody looks after it then. */
	if (p && !duckdb_process_alive(p)) {
		duckdb_process_end(p);
		p = NULL;
	}
	return p;
}

/* Starts what is missing, for the next call; not while this one still has work for the machine. */
static void fill_spares(void)
{
	struct duckdb_process *p;

	pthread_mutex_lock(&idle_lock);
	while (spare_count < SPARE_MAX && duckdb_process_spawn(settings.library, &p) == RC_OK)
		spares[spare_count++] = p;
	pthread_mutex_unlock(&idle_lock);
}

static void end_spares(void)
{
	pthread_mutex_lock(&idle_lock);
	while (spare_count > 0)
		duckdb_process_end(spares[--spare_count]);
	pthread_mutex_unlock(&idle_lock);
}

static enum rc start(enum wire_mode mode, const char *path, int64_t max_file,
	struct duckdb_process **out, struct engine_message *why)
{
	struct duckdb_start s = {.mode = mode,
		.path = path,
		.max_memory = settings.max_memory,
		.max_file = max_file};
	struct duckdb_process *p = take_spare();
	enum rc rc = p ? RC_OK : duckdb_process_spawn(settings.library, &p);

	if (rc == RC_OK)
		rc = duckdb_process_start(p, &s, why->text, sizeof(why->text));
	if (rc == RC_OK)
		*out = p;
	else
		duckdb_process_end(p);
	return rc;
}

static enum rc duckdb_init(const struct engine_settings *s, struct engine_message *why)
{
	struct duckdb_process *p = NULL;
	enum rc rc;

	end_spares();
	free(settings.library);
	settings.library = s->library ? xstrdup(s->library) : NULL;
	settings.max_memory = s->max_memory;
	why->text[0] = '\0';
	rc = start(WIRE_PROBE, "", 0, &p, why);
	duckdb_process_end(p);
	if (rc != RC_OK && !why->text[0])
		snprintf(why->text, sizeof(why->text), "the snapshot engine can't be started");
	if (rc == RC_OK)
		fill_spares();
	return rc;
}

/* --- building ------------------------------------------------------------------------ */

static void build_free(struct engine_build *b)
{
	duckdb_process_end(b->process);
	free(b->path);
	free(b);
}

static void remove_file(const char *path, const char *suffix)
{
	char name[4200];

	if (snprintf(name, sizeof(name), "%s%s", path, suffix) >= (int)sizeof(name))
		return;
	if (unlink(name) != 0 && errno != ENOENT)
		log_err("snapshot engine: can't remove an unfinished snapshot: %s",
			strerror(errno));
}

static void duckdb_abandon(struct engine_build *b)
{
	if (!b)
		return;
	/* The process first, lest it makes them again. */
	duckdb_process_end(b->process);
	b->process = NULL;
	remove_file(b->path, "");
	remove_file(b->path, ".wal");
	build_free(b);
}

/* What the process says at its end; or that it has none. */
static enum rc outcome(struct engine_build *b)
{
	struct budget none = {.check = NULL};
	struct wire_frame f;
	unsigned status;

	if (duckdb_process_receive(b->process, &none, &f) != RC_OK || f.kind != WIRE_DONE) {
		log_err("the snapshot engine's process ended while it wrote a snapshot");
		return RC_INTERNAL;
	}
	status = wire_get_u8(&f.payload);
	(void)wire_get_u8(&f.payload);
	if (f.payload.bad || status == ENGINE_FAILED) {
		log_err("snapshot engine: DuckDB failed: %.*s", (int)(f.payload.end - f.payload.p),
			(const char *)f.payload.p);
		return RC_INTERNAL;
	}
	return status == ENGINE_OK ? RC_OK : RC_LIMIT;
}

static enum rc flush(struct engine_build *b)
{
	struct buf *out = duckdb_process_out(b->process);

	if (b->rc != RC_OK)
		return b->rc;
	if (b->writing)
		wire_end(out, b->begin);
	b->writing = false;
	if (out->failed)
		b->rc = RC_LIMIT;
	else if (duckdb_process_send(b->process) != RC_OK) {
		b->rc = outcome(b);
		if (b->rc == RC_OK)
			b->rc = RC_INTERNAL; /* all is well, before it has all? */
	}
	return b->rc;
}

static enum rc duckdb_create(const char *path, const struct engine_shape *shape, int64_t max_bytes,
	struct engine_build **out)
{
	struct engine_message why = {.text = ""};
	struct engine_build *b;
	struct buf *o;
	enum rc rc;

	if (access(path, F_OK) == 0) {
		log_err("snapshot engine: a file of that name is there already");
		return RC_INTERNAL;
	}
	b = xcalloc(1, sizeof(*b));
	b->path = xstrdup(path);
	b->shape = shape;
	rc = start(WIRE_BUILD, path, max_bytes, &b->process, &why);
	if (rc != RC_OK) {
		if (why.text[0])
			log_err("snapshot engine: %s", why.text);
		remove_file(path, "");
		build_free(b);
		return rc == RC_INVALID ? RC_LIMIT : rc;
	}
	o = duckdb_process_out(b->process);
	for (size_t i = 0; i < shape->table_count; i++) {
		const struct engine_table *t = &shape->tables[i];
		size_t begin = wire_begin(o, WIRE_TABLE);

		wire_str(o, t->name, strlen(t->name));
		for (size_t k = 0; k < t->column_count; k++) {
			wire_u8(o, t->columns[k].kind);
			wire_str(o, t->columns[k].name, strlen(t->columns[k].name));
		}
		wire_end(o, begin);
	}
	rc = flush(b);
	if (rc != RC_OK) {
		duckdb_abandon(b);
		return rc;
	}
	*out = b;
	return RC_OK;
}

static enum rc duckdb_insert(struct engine_build *b, size_t table, const struct value *row)
{
	struct buf *out = duckdb_process_out(b->process);

	if (b->rc != RC_OK)
		return b->rc;
	if (b->writing && b->table != table) {
		wire_end(out, b->begin);
		b->writing = false;
	}
	if (!b->writing) {
		b->begin = wire_begin(out, WIRE_ROWS);
		wire_u16(out, (unsigned)table);
		b->table = table;
		b->writing = true;
	}
	for (size_t i = 0; i < b->shape->tables[table].column_count; i++)
		wire_value(out, &row[i]);
	return out->len < WIRE_BATCH ? RC_OK : flush(b);
}

static enum rc duckdb_seal(struct engine_build *b, const char *path)
{
	struct buf *out = duckdb_process_out(b->process);
	enum rc rc = flush(b);

	if (rc == RC_OK) {
		wire_end(out, wire_begin(out, WIRE_SEAL));
		rc = flush(b);
	}
	if (rc == RC_OK)
		rc = outcome(b);
	if (rc == RC_OK && rename(b->path, path) != 0) {
		log_err("snapshot engine: can't put a snapshot in place: %s", strerror(errno));
		rc = RC_INTERNAL;
	}
	if (rc == RC_OK)
		build_free(b);
	else
		duckdb_abandon(b);
	return rc;
}

/* --- reading ----------------------------------------------------------------------------- */

static enum rc start_reader(const struct engine *e, struct duckdb_process **out)
{
	struct engine_message why = {.text = ""};
	enum rc rc = start(WIRE_READ, e->path, 0, out, &why);

	if (rc == RC_INVALID)
		log_err("snapshot engine: %s", why.text);
	return rc == RC_OK ? RC_OK : RC_INTERNAL;
}

static bool take_place(void)
{
	bool ok;

	pthread_mutex_lock(&idle_lock);
	ok = idle_count < IDLE_MAX;
	idle_count += ok;
	pthread_mutex_unlock(&idle_lock);
	return ok;
}

static void leave_place(void)
{
	pthread_mutex_lock(&idle_lock);
	idle_count--;
	pthread_mutex_unlock(&idle_lock);
}

static enum rc take(struct engine *e, struct duckdb_process **out)
{
	pthread_mutex_lock(&e->lock);
	*out = e->idle;
	e->idle = NULL;
	pthread_mutex_unlock(&e->lock);
	if (*out)
		leave_place();
	/* It may have died while it waited: nobody looks after it then. */
	if (*out && duckdb_process_alive(*out))
		return RC_OK;
	duckdb_process_end(*out);
	return start_reader(e, out);
}

static void give(struct engine *e, struct duckdb_process *p)
{
	pthread_mutex_lock(&e->lock);
	if (!e->idle && take_place()) {
		e->idle = p;
		p = NULL;
	}
	pthread_mutex_unlock(&e->lock);
	duckdb_process_end(p);
}

static void duckdb_close(struct engine *e)
{
	if (!e)
		return;
	if (e->idle)
		leave_place();
	duckdb_process_end(e->idle);
	pthread_mutex_destroy(&e->lock);
	free(e->path);
	free(e);
}

static enum rc duckdb_open(const char *path, const struct engine_shape *shape, struct engine **out)
{
	struct engine *e = xcalloc(1, sizeof(*e));
	struct duckdb_process *p = NULL;
	enum rc rc;

	(void)shape; /* the file has it */
	pthread_mutex_init(&e->lock, NULL);
	e->path = xstrdup(path);
	rc = start_reader(e, &p);
	if (rc != RC_OK) {
		duckdb_close(e);
		return rc;
	}
	give(e, p);
	fill_spares();
	*out = e;
	return RC_OK;
}

/* One statement on its way. */
struct run {
	struct duckdb_process *process;
	const struct engine_query *q;
	const struct engine_sink *sink;
	struct engine_message *message;
	struct value *row;
	size_t count;
	bool enough; /* the sink wants no more */
	bool spoilt; /* the process is of no more use */
};

static enum rc take_names(struct run *r, struct wire_cursor *c)
{
	const char **names = NULL;
	size_t count = 0;
	enum rc rc;

	while (wire_more(c)) {
		names = xrealloc(names, (count + 1) * sizeof(*names));
		if ((names[count] = wire_dup_str(c)))
			count++;
		else if (!c->bad)
			break;
	}
	free(r->row);
	r->row = xcalloc(count + 1, sizeof(*r->row));
	r->count = count;
	rc = c->bad ? RC_UNAVAILABLE : r->sink->columns(r->sink->ctx, names, count);
	for (size_t i = 0; i < count; i++)
		free((char *)names[i]);
	free(names);
	return rc;
}

static enum rc take_rows(struct run *r, struct wire_cursor *c)
{
	enum rc rc = r->count ? RC_OK : RC_UNAVAILABLE;

	while (rc == RC_OK && wire_more(c)) {
		for (size_t i = 0; i < r->count; i++)
			r->row[i] = wire_get_value(c);
		rc = c->bad ? RC_UNAVAILABLE : r->sink->row(r->sink->ctx, r->row, r->count);
	}
	return rc;
}

struct grace {
	int64_t until;
};

static enum budget_state grace_check(void *ctx)
{
	const struct grace *g = ctx;

	return clock_mono_ms() >= g->until ? BUDGET_TIMEOUT : BUDGET_GO;
}

/* Asks it to stop and takes what it had sent meanwhile; one that does not come to an end soon is of
 * no more use. */
static void stop(struct run *r)
{
	struct grace g = {.until = clock_mono_ms() + GRACE_MS};
	struct budget budget = {.check = grace_check, .ctx = &g};
	struct buf *out = duckdb_process_out(r->process);
	struct wire_frame f = {.kind = WIRE_STOP};
	enum rc rc;

	wire_end(out, wire_begin(out, WIRE_STOP));
	rc = duckdb_process_send(r->process);
	while (rc == RC_OK && f.kind != WIRE_DONE)
		rc = duckdb_process_receive(r->process, &budget, &f);
	r->spoilt = rc != RC_OK || f.payload.end - f.payload.p < 2 || f.payload.p[1] != 0;
}

static enum engine_status out_of_budget(struct run *r)
{
	enum budget_state state = budget_check(r->q->budget);

	stop(r);
	return state == BUDGET_CANCELLED ? ENGINE_CANCELLED : ENGINE_TIMEOUT;
}

static enum engine_status finished(struct run *r, struct wire_cursor *c)
{
	unsigned status = wire_get_u8(c);

	r->spoilt = wire_get_u8(c) != 0;
	if (c->bad || status > ENGINE_FAILED || status == ENGINE_TIMEOUT ||
		status == ENGINE_CANCELLED) {
		r->spoilt = true;
		return ENGINE_FAILED;
	}
	snprintf(r->message->text, sizeof(r->message->text), "%.*s", (int)(c->end - c->p),
		(const char *)c->p);
	return (enum engine_status)status;
}

static enum engine_status crashed(struct run *r)
{
	r->spoilt = true;
	log_warn("a statement ended the snapshot engine's process; the next one gets a new one");
	return repair_refuse(r->message,
		"the statement needs too much memory, or is too complex: select fewer rows or "
		"columns, sort or join less");
}

static enum engine_status converse(struct run *r)
{
	struct buf *out = duckdb_process_out(r->process);
	size_t begin = wire_begin(out, WIRE_QUERY);
	struct wire_frame f;
	enum rc rc;

	wire_i64(out, r->q->max_memory);
	buf_add(out, r->q->sql, r->q->len);
	wire_end(out, begin);
	if (duckdb_process_send(r->process) != RC_OK)
		return crashed(r);
	for (;;) {
		rc = duckdb_process_receive(r->process, r->q->budget, &f);
		if (rc == RC_LIMIT)
			return out_of_budget(r);
		if (rc == RC_OK && f.kind == WIRE_DONE)
			return finished(r, &f.payload);
		if (rc == RC_OK && f.kind == WIRE_NAMES)
			rc = take_names(r, &f.payload);
		else if (rc == RC_OK && f.kind == WIRE_ROWS)
			rc = take_rows(r, &f.payload);
		else
			return crashed(r);
		if (rc == RC_UNAVAILABLE)
			return crashed(r);
		if (rc != RC_OK) {
			stop(r);
			return rc == RC_LIMIT ? ENGINE_OK : ENGINE_FAILED;
		}
		/* A process that always has more to say must not outlive the budget either. */
		if (budget_check(r->q->budget) != BUDGET_GO)
			return out_of_budget(r);
	}
}

static enum engine_status duckdb_query(struct engine *e, const struct engine_query *q,
	const struct engine_sink *sink, struct engine_message *message)
{
	struct run r = {.q = q, .sink = sink, .message = message};
	enum engine_status status;

	message->text[0] = '\0';
	if (q->len >= WIRE_BATCH)
		return repair_refuse(message, "the statement is too long");
	if (take(e, &r.process) != RC_OK)
		return ENGINE_FAILED;
	status = converse(&r);
	free(r.row);
	if (r.spoilt)
		duckdb_process_end(r.process);
	else
		give(e, r.process);
	fill_spares();
	return status;
}

const struct engine_ops engine_duckdb = {
	.name = "duckdb",
	.dialect = "DuckDB",
	.init = duckdb_init,
	.create = duckdb_create,
	.insert = duckdb_insert,
	.seal = duckdb_seal,
	.abandon = duckdb_abandon,
	.open = duckdb_open,
	.query = duckdb_query,
	.close = duckdb_close,
	.stop = end_spares,
};
