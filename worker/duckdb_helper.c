#include "worker/duckdb_helper.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/mem.h"
#include "worker/confine.h"
#include "worker/duckdb_build.h"
#include "worker/duckdb_session.h"
#include "worker/duckdb_wire.h"

#define SOCKET DUCKDB_HELPER_FD
#define WARM_MEMORY ((int64_t)16 << 20)

struct helper {
	struct duckdb_api api;
	struct duckdb_session *session;
	struct buf in, out;
	size_t used; /* bytes of in that the last frame took */
	int64_t base_memory; /* what the process had before its first statement; or -1 */
	/* Between the thread that listens and the one that works. */
	pthread_mutex_t lock;
	pthread_cond_t came;
	char *sql; /* the next statement, or NULL */
	size_t sql_len;
	int64_t max_memory;
	bool busy, stop;
};

/* --- the socket: whatever is wrong with it, nobody is there to tell -------------------- */

static void send_out(struct helper *h)
{
	size_t sent = 0;

	if (h->out.failed)
		_exit(1);
	while (sent < h->out.len) {
		ssize_t n = send(SOCKET, h->out.data + sent, h->out.len - sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(0);
		sent += (size_t)n;
	}
	buf_reset(&h->out);
}

/* Blocks. The frame is valid until the next call. */
static struct wire_frame receive(struct helper *h)
{
	struct wire_frame f = {.size = 0};
	enum wire_status status;

	buf_consume(&h->in, h->used);
	while ((status = wire_parse(h->in.data, h->in.len, &f)) == WIRE_MORE) {
		uint8_t *room = buf_reserve(&h->in, WIRE_BATCH);
		ssize_t n = room ? recv(SOCKET, room, WIRE_BATCH, 0) : 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(0);
		buf_commit(&h->in, (size_t)n);
	}
	if (status == WIRE_BAD)
		_exit(1);
	h->used = f.size;
	return f;
}

static void send_done(struct helper *h, enum engine_status status, bool spent, const char *text)
{
	size_t begin = wire_begin(&h->out, WIRE_DONE);

	wire_u8(&h->out, status);
	wire_u8(&h->out, spent);
	buf_str(&h->out, text);
	wire_end(&h->out, begin);
	send_out(h);
}

static void send_ready(struct helper *h)
{
	size_t begin = wire_begin(&h->out, WIRE_READY);

	buf_str(&h->out, h->api.library_version());
	wire_end(&h->out, begin);
	send_out(h);
}

static int give_up(struct helper *h, const char *text)
{
	send_done(h, ENGINE_FAILED, true, text);
	return 1;
}

/* --- writing a snapshot ------------------------------------------------------------------ */

static int build(struct helper *h)
{
	struct duckdb_build *b = duckdb_build_new(&h->api, duckdb_session_connection(h->session));
	const char *why = "a frame";
	enum rc rc = RC_OK;
	bool sealed = false;

	while (rc == RC_OK && !sealed) {
		struct wire_frame f = receive(h);

		if (f.kind == WIRE_TABLE) {
			rc = duckdb_build_table(b, &f.payload, &why);
		} else if (f.kind == WIRE_ROWS) {
			rc = duckdb_build_rows(b, &f.payload, &why);
		} else if (f.kind == WIRE_SEAL) {
			rc = duckdb_build_seal(b, &why);
			sealed = true;
		} else {
			rc = RC_INVALID;
		}
	}
	duckdb_build_free(b);
	if (rc == RC_OK) {
		duckdb_session_close(h->session);
		h->session = NULL;
	}
	send_done(h,
		rc == RC_OK              ? ENGINE_OK
			: rc == RC_LIMIT ? ENGINE_REFUSED
					 : ENGINE_FAILED,
		true, rc == RC_OK ? "" : why);
	return rc != RC_OK;
}

/* --- reading one ------------------------------------------------------------------------ */

static enum rc sink_columns(void *ctx, const char *const *names, size_t count)
{
	struct helper *h = ctx;
	size_t begin = wire_begin(&h->out, WIRE_NAMES);

	for (size_t i = 0; i < count; i++)
		wire_str(&h->out, names[i], strlen(names[i]));
	wire_end(&h->out, begin);
	if (h->out.failed)
		return RC_INTERNAL;
	send_out(h);
	wire_begin(&h->out, WIRE_ROWS);
	return RC_OK;
}

static bool stopped(struct helper *h)
{
	bool stop;

	pthread_mutex_lock(&h->lock);
	stop = h->stop;
	pthread_mutex_unlock(&h->lock);
	return stop;
}

static enum rc sink_row(void *ctx, const struct value *values, size_t count)
{
	struct helper *h = ctx;

	for (size_t i = 0; i < count; i++)
		wire_value(&h->out, &values[i]);
	if (h->out.len < WIRE_BATCH)
		return RC_OK;
	wire_end(&h->out, 0);
	if (h->out.failed || stopped(h))
		return RC_INTERNAL;
	send_out(h);
	wire_begin(&h->out, WIRE_ROWS);
	return RC_OK;
}

/* Whether so much is left of past statements that the next one would miss it: more than what DuckDB
 * may keep of the file. */
static bool too_full(const struct helper *h, int64_t max_memory)
{
	if (h->base_memory < 0 || confine_memory_now() - h->base_memory < max_memory)
		return false;
	(void)malloc_trim(0);
	return confine_memory_now() - h->base_memory >= max_memory;
}

static void run(struct helper *h, const char *sql, size_t len, int64_t max_memory)
{
	struct engine_sink sink = {.columns = sink_columns, .row = sink_row, .ctx = h};
	struct engine_message message;
	enum engine_status status;
	bool spent;

	/* DuckDB keeps to max_memory with what it counts: pages of the file, hash tables, sorts. It
	 * does not count everything, texts above all; that is the kernel's to bound. */
	if (h->base_memory >= 0)
		confine_memory(h->base_memory + 2 * max_memory);
	status = duckdb_session_query(h->session, sql, len, &sink, &message, &spent);
	confine_memory(0);
	spent = spent || too_full(h, max_memory);
	if (h->out.failed) {
		h->out.failed = false;
		buf_reset(&h->out);
		status = ENGINE_REFUSED;
		snprintf(message.text, sizeof(message.text),
			"one row is too large: select fewer columns, or substr() of them");
	}
	/* A batch of rows is begun when the columns are told. */
	if (h->out.len > WIRE_HEAD && status == ENGINE_OK) {
		wire_end(&h->out, 0);
		send_out(h);
	}
	buf_reset(&h->out);
	pthread_mutex_lock(&h->lock);
	h->busy = false;
	pthread_mutex_unlock(&h->lock);
	send_done(h, status, spent, message.text);
	if (spent)
		_exit(0);
}

/* Hears a STOP while a statement runs, and the worker's end at any time. */
static void *listen_to_worker(void *ctx)
{
	struct helper *h = ctx;

	for (;;) {
		struct wire_frame f = receive(h);
		int64_t max_memory;

		pthread_mutex_lock(&h->lock);
		if (f.kind == WIRE_QUERY && !h->busy && !h->sql) {
			max_memory = wire_get_i64(&f.payload);
			h->sql_len = (size_t)(f.payload.end - f.payload.p);
			h->sql = xmalloc(h->sql_len + 1);
			memcpy(h->sql, f.payload.p, h->sql_len);
			h->max_memory = max_memory;
			h->busy = true;
			h->stop = false;
			pthread_cond_signal(&h->came);
		} else if (f.kind == WIRE_STOP && h->busy) {
			h->stop = true;
			duckdb_session_interrupt(h->session);
		} else if (f.kind != WIRE_STOP) {
			_exit(1);
		}
		pthread_mutex_unlock(&h->lock);
	}
	return NULL;
}

static int serve(struct helper *h)
{
	pthread_t listener;

	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->came, NULL);
	if (pthread_create(&listener, NULL, listen_to_worker, h) != 0)
		return give_up(h, "no thread can be made");
	h->base_memory = confine_memory_now();
	if (confine_calls() != RC_OK)
		return give_up(h, "its process can't be confined: seccomp is not available");
	send_ready(h);
	for (;;) {
		char *sql;

		pthread_mutex_lock(&h->lock);
		while (!h->sql)
			pthread_cond_wait(&h->came, &h->lock);
		sql = h->sql;
		h->sql = NULL;
		pthread_mutex_unlock(&h->lock);
		run(h, sql, h->sql_len, h->max_memory);
		free(sql);
	}
}

/* --- starting ---------------------------------------------------------------------------- */

/* What takes longest, done before there is work: the first database of a process costs more than
 * the next. */
static int load(struct helper *h, const char *library)
{
	char why[512];

	if (duckdb_api_load(*library ? library : NULL, &h->api, why, sizeof(why)) != RC_OK)
		return give_up(h, why);
	duckdb_session_close(duckdb_session_open(&h->api, NULL, true, WARM_MEMORY));
	return 0;
}

static int start(struct helper *h, enum wire_mode mode, int64_t max_memory, int64_t max_file,
	const char *path)
{
	if (mode == WIRE_PROBE) {
		send_ready(h);
		return 0;
	}
	if (confine_process(mode == WIRE_BUILD ? max_file : 0) != RC_OK)
		return give_up(h, "its process can't be confined");
	h->session = duckdb_session_open(&h->api, path, mode == WIRE_BUILD, max_memory);
	if (!h->session)
		return give_up(h,
			mode == WIRE_BUILD ? "DuckDB can't make the snapshot's file"
					   : "DuckDB can't open the snapshot");
	if (mode == WIRE_READ)
		return serve(h);
	send_ready(h);
	return build(h);
}

int duckdb_helper_run(void)
{
	struct helper *h = xcalloc(1, sizeof(*h));
	struct wire_frame f;
	unsigned mode;
	int64_t max_memory, max_file;
	char *library, *path;

	/* One arena: what is freed can be used by the next statement. */
	(void)mallopt(M_ARENA_MAX, 1);
	umask(077);
	buf_init(&h->in, WIRE_FRAME_MAX + WIRE_HEAD + WIRE_BATCH);
	buf_init(&h->out, WIRE_FRAME_MAX + WIRE_HEAD);
	f = receive(h);
	library = wire_dup_str(&f.payload);
	if (f.kind != WIRE_LOAD || f.payload.bad || load(h, library) != 0)
		return 1;
	f = receive(h);
	mode = wire_get_u8(&f.payload);
	max_memory = wire_get_i64(&f.payload);
	max_file = wire_get_i64(&f.payload);
	path = wire_dup_str(&f.payload);
	if (f.kind != WIRE_HELLO || f.payload.bad || mode > WIRE_READ)
		return 1;
	return start(h, (enum wire_mode)mode, max_memory, max_file, path);
}
