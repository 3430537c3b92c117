#include "fcgi-app/loop.h"

#include <errno.h>
#include <fcgiapp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "fcgi-app/fcgi_record.h"
#include "fcgi-app/mcp.h"
#include "fcgi-app/mux.h"
#include "fcgi-app/routes.h"
#include "fcgi-app/spare.h"
#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"

#define EVENTS 64
/* A request up to this size may be served by the loop. */
#define PEEK_MAX 16384
/* What a connection's socket is asked to take for a front that is slower than we are; the kernel
 * may grant less (net.core.wmem_max). */
#define SOCKET_ROOM (512 * 1024)
/* The kernel's own bookkeeping for each piece counts too. Into this part of the room an answer fits
 * when the connection has nothing else to carry. */
#define ROOM_PART 4
/* How long the front may pause in the middle of a request. */
#define READ_PATIENCE_S 20
/* libfcgi waits with select() for a front that closes slowly: no larger file descriptors. The
 * threads' connections to tunneld and the state need some of them. */
#define FDS_MAX 1000
#define FDS_OTHER 100
#define CONNS_MIN 128
/* accept() failed, most likely for want of file descriptors: that does not pass in an instant. */
#define ACCEPT_PAUSE_MS 100
/* How long a front may take nothing of an answer. */
#define WRITE_PATIENCE_S 30

enum conn_state {
	CONN_IDLE, /* waits for a request */
	CONN_CALLING, /* its call is with a worker */
	CONN_WORKED, /* with a thread, or on the way there or back */
	CONN_PARKED, /* its key waits to be verified */
	CONN_GONE, /* closed; freed once no event can mean it any more */
};

/* Something that happened to a call, kept for a thread. */
struct news {
	struct news *next;
	enum dispatch_event event;
	size_t len; /* of the message in bytes */
	/* A payload that is on the shelf stays there. */
	const uint8_t *payload;
	size_t payload_len;
	uint8_t bytes[];
};

struct news_list {
	struct news *first, **last;
	size_t bytes;
};

/* A connection of the front. While it is with a thread, that owns everything but news and the
 * lists. */
struct conn {
	struct loop *loop;
	FCGX_Request fcgx;
	enum conn_state state;
	struct conn *prev, *next; /* all */
	struct conn *next_job; /* for the threads, or back from them */
	struct conn *next_used; /* of those whose thread needs the result on the shelf no more */
	struct conn *next_ready; /* of those that are to be served again */
	bool listed; /* as one of them */
	struct request *rq; /* NULL: none, or not read yet */
	struct generation *generation;
	struct mux_call call;
	struct news_list news; /* what came meanwhile */
	struct news_list work; /* what the thread is to tell the call */
	size_t backlog_max; /* of news before another event */
	/* While calling or parked. */
	struct conn *earlier, *later; /* by due_ms */
	int64_t due_ms;
	bool timed;
	bool hung_up; /* meanwhile */
	bool readable; /* meanwhile: what came is not looked at yet */
	bool detached; /* its call is not to be cancelled */
	bool ready; /* to be served again, as soon as it is parked */
};

struct jobs {
	struct conn *first, **last;
};

struct loop {
	const struct app *app;
	struct generations *generations;
	struct mux *mux;
	int epoll, listen_fd, wake_fd, mux_fd;
	bool listening;
	int64_t accept_again_ms; /* 0: it is not paused */
	int64_t spare_due_ms;
	atomic_bool stopping;
	struct conn *conns;
	struct conn *gone;
	size_t conn_count, conn_max;
	size_t at_once; /* an answer up to this size can be written without waiting */
	struct conn *first_due, *last_due;
	pthread_mutex_t lock;
	pthread_cond_t work;
	bool over; /* no more jobs will come */
	struct jobs jobs; /* for the threads */
	struct jobs back; /* from them */
	struct conn *used;
	struct conn *ready;
};

/* --- lists -------------------------------------------------------------------------------------
 */

static void jobs_init(struct jobs *j)
{
	*j = (struct jobs){NULL, &j->first};
}

static void jobs_put(struct jobs *j, struct conn *c)
{
	c->next_job = NULL;
	*j->last = c;
	j->last = &c->next_job;
}

static struct conn *jobs_take(struct jobs *j)
{
	struct conn *c = j->first;

	if (!c)
		return NULL;
	j->first = c->next_job;
	if (!j->first)
		j->last = &j->first;
	return c;
}

static void news_init(struct news_list *l)
{
	*l = (struct news_list){NULL, &l->first, 0};
}

static void news_free(struct news_list *l)
{
	struct news *n;

	while ((n = l->first)) {
		l->first = n->next;
		free(n);
	}
	news_init(l);
}

/* For the thread: m's header line, and its payload unless that is on the shelf and stays there. m
 * is NULL where the event says it all. */
static void news_put(struct conn *c, enum dispatch_event event, const struct msg *m)
{
	struct news_list *l = &c->news;
	bool on_shelf = m && c->call.shelf;
	size_t head = m ? m->header.len : 0, payload = m && !on_shelf ? m->payload_len : 0;
	size_t len = m ? head + 1 + payload : 0;
	struct news *n = xmalloc(sizeof(*n) + len);

	*n = (struct news){.event = event, .len = len};
	if (on_shelf) {
		n->payload = m->payload;
		n->payload_len = m->payload_len;
	}
	if (m) {
		memcpy(n->bytes, m->header.p, head);
		n->bytes[head] = '\n';
		memcpy(n->bytes + head + 1, m->payload, payload);
	}
	*l->last = n;
	l->last = &n->next;
	l->bytes += len;
}

static void untime(struct conn *c)
{
	struct loop *l = c->loop;

	if (!c->timed)
		return;
	*(c->earlier ? &c->earlier->later : &l->first_due) = c->later;
	*(c->later ? &c->later->earlier : &l->last_due) = c->earlier;
	c->timed = false;
}

/* Nearly always the last one: calls wait equally long. */
static void set_time(struct conn *c, int64_t due_ms)
{
	struct loop *l = c->loop;

	untime(c);
	c->due_ms = due_ms;
	c->earlier = l->last_due;
	while (c->earlier && c->earlier->due_ms > due_ms)
		c->earlier = c->earlier->earlier;
	c->later = c->earlier ? c->earlier->later : l->first_due;
	*(c->earlier ? &c->earlier->later : &l->first_due) = c;
	*(c->later ? &c->later->earlier : &l->last_due) = c;
	c->timed = true;
}

static void wake(struct loop *l)
{
	const uint64_t one = 1;

	/* It fails only when the loop has 2^64 reasons to wake up. */
	(void)!write(l->wake_fd, &one, sizeof(one));
}

/* --- a request, in the loop or in a thread ------------------------------------------------------
 */

/* It is its key's turn, or that was verified meanwhile. Any thread; it may be told twice. */
static void on_ready(void *ctx)
{
	struct conn *c = ctx;
	struct loop *l = c->loop;

	(void)pthread_mutex_lock(&l->lock);
	if (!c->listed) {
		c->listed = true;
		c->next_ready = l->ready;
		l->ready = c;
	}
	(void)pthread_mutex_unlock(&l->lock);
	wake(l);
}

/* Reads the request that has come. False: the connection is of no more use, and closed. */
static bool begin(struct conn *c)
{
	struct loop *l = c->loop;

	if (FCGX_Accept_r(&c->fcgx) != 0)
		return false;
	c->generation = generation_take(l->generations);
	c->rq = xcalloc(1, sizeof(*c->rq));
	c->rq->place = (struct turnstile_place){.ready = on_ready, .ctx = c};
	return true;
}

static void finish(struct conn *c)
{
	apikey_leave(c->loop->app->keys, &c->rq->place);
	routes_log(c->rq);
	c->detached = c->rq->detached;
	http_finish(c->rq);
	free(c->rq);
	c->rq = NULL;
	generation_put(c->loop->generations, c->generation);
}

/* --- in a thread ---------------------------------------------------------------------------------
 */

/* The result has been written, all but the end of the answer: its place is told to be free before
 * the agent can make its next call, which then needs no other one. */
static void used(struct conn *c)
{
	struct loop *l = c->loop;

	(void)pthread_mutex_lock(&l->lock);
	c->next_used = l->used;
	l->used = c;
	(void)pthread_mutex_unlock(&l->lock);
	wake(l);
}

static bool read_news(const struct news *n, struct msg *m)
{
	if (msg_parse(n->bytes, n->len, m) != RC_OK)
		return false;
	if (n->payload) {
		m->payload = n->payload;
		m->payload_len = n->payload_len;
	}
	return true;
}

static void tell_news(struct conn *c)
{
	struct news *n;
	struct msg m;
	bool goes_on = true, on_shelf = false;

	while (goes_on && (n = c->work.first)) {
		c->work.first = n->next;
		on_shelf = n->payload != NULL;
		/* It was parsed before. */
		if (n->event != DISPATCH_MESSAGE || read_news(n, &m))
			goes_on = mcp_event(c->rq->call, n->event, &m);
		free(n);
	}
	if (!goes_on) {
		if (on_shelf)
			used(c);
		finish(c);
	} else {
		log_context(NULL, NULL, NULL);
	}
}

static void work(struct conn *c)
{
	if (c->rq && c->rq->call) {
		tell_news(c);
		return;
	}
	if (c->rq) {
		http_again(c->rq);
		routes_serve(c->rq);
	} else if (!begin(c)) {
		return;
	} else if (http_start(c->rq, c->loop->app, c->generation->config, &c->fcgx)) {
		routes_serve(c->rq);
	}
	if (c->rq->deferred)
		log_context(NULL, NULL, NULL);
	else
		finish(c);
}

void loop_work(struct loop *l)
{
	struct conn *c;
	bool first;

	(void)pthread_mutex_lock(&l->lock);
	for (;;) {
		while (!(c = jobs_take(&l->jobs)) && !l->over)
			(void)pthread_cond_wait(&l->work, &l->lock);
		if (!c)
			break;
		(void)pthread_mutex_unlock(&l->lock);
		work(c);
		(void)pthread_mutex_lock(&l->lock);
		first = !l->back.first;
		jobs_put(&l->back, c);
		if (first)
			wake(l);
	}
	(void)pthread_mutex_unlock(&l->lock);
}

/* --- connections
 * ----------------------------------------------------------------------------------- */

static void conn_close(struct conn *c)
{
	struct loop *l = c->loop;

	untime(c);
	*(c->prev ? &c->prev->next : &l->conns) = c->next;
	if (c->next)
		c->next->prev = c->prev;
	l->conn_count--;
	if (c->fcgx.ipcFd >= 0)
		(void)close(c->fcgx.ipcFd);
	news_free(&c->news);
	news_free(&c->work);
	c->state = CONN_GONE;
	c->next = l->gone;
	l->gone = c;
}

static void free_gone(struct loop *l)
{
	struct conn *c;

	while ((c = l->gone)) {
		l->gone = c->next;
		free(c);
	}
}

static void make_room(struct loop *l, int fd)
{
	int room = SOCKET_ROOM;
	socklen_t len = sizeof(room);

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, &len) == 0 && room > 0)
		l->at_once = (size_t)room / ROOM_PART;
}

static void conn_new(struct loop *l, int fd)
{
	const struct timeval patience = {.tv_sec = READ_PATIENCE_S},
			     write_patience = {.tv_sec = WRITE_PATIENCE_S};
	struct conn *c = xcalloc(1, sizeof(*c));
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = c};

	c->loop = l;
	news_init(&c->news);
	news_init(&c->work);
	/* Without a listening socket: libfcgi is to accept nothing itself. */
	(void)FCGX_InitRequest(&c->fcgx, -1, FCGI_FAIL_ACCEPT_ON_INTR);
	c->fcgx.ipcFd = fd;
	c->fcgx.keepConnection = 1; /* until the first request says otherwise */
	c->next = l->conns;
	if (c->next)
		c->next->prev = c;
	l->conns = c;
	l->conn_count++;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &write_patience, sizeof(write_patience));
	make_room(l, fd);
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
		log_err("a connection can't be watched: %s", strerror(errno));
		conn_close(c);
	}
}

static void to_thread(struct conn *c)
{
	struct loop *l = c->loop;

	untime(c);
	c->ready = false;
	c->state = CONN_WORKED;
	c->work = c->news;
	if (!c->work.first)
		news_init(&c->work);
	news_init(&c->news);
	(void)pthread_mutex_lock(&l->lock);
	jobs_put(&l->jobs, c);
	(void)pthread_mutex_unlock(&l->lock);
	(void)pthread_cond_signal(&l->work);
}

static void look(struct conn *c);

/* The request was answered: the connection waits for the next one, or ends. */
static void conn_done(struct conn *c)
{
	untime(c);
	mux_leave(c->loop->mux, &c->call, c->detached ? MSG_DETACH : MSG_GONE);
	mux_release(c->loop->mux, &c->call);
	news_free(&c->news);
	c->state = CONN_IDLE;
	c->hung_up = c->detached = c->ready = false;
	if (c->fcgx.ipcFd < 0 || c->loop->stopping)
		conn_close(c);
	else if (c->readable)
		look(c);
}

static void serve(struct conn *c)
{
	struct request *rq;

	if (!begin(c)) {
		conn_close(c);
		return;
	}
	rq = c->rq;
	rq->loop = c->loop;
	rq->conn = c;
	c->backlog_max = (size_t)c->generation->config->call_backlog_bytes;
	if (http_start(rq, c->loop->app, c->generation->config, &c->fcgx))
		routes_serve(rq);
	if (rq->deferred) {
		to_thread(c);
	} else if (rq->call) {
		rq->loop = NULL;
		c->state = CONN_CALLING;
		set_time(c, mcp_due(rq->call));
		log_context(NULL, NULL, NULL);
	} else {
		finish(c);
		conn_done(c);
	}
}

/* An idle connection may have something to read: a request, or its end. */
static void look(struct conn *c)
{
	/* Of the loop's one thread. */
	static uint8_t bytes[PEEK_MAX];
	ssize_t n;

	c->readable = false;
	do
		n = recv(c->fcgx.ipcFd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return;
	if (n <= 0)
		conn_close(c);
	else if (fcgi_record_whole(bytes, (size_t)n))
		serve(c);
	else
		to_thread(c);
}

/* --- calls
 * ----------------------------------------------------------------------------------------- */

/* A thread is busy with the call, maybe waiting for its agent to read. An agent that takes too
 * slowly what its worker says is given up; a result, which has a bound of its own, may wait behind
 * that. */
static void keep(struct conn *c, enum dispatch_event event, const struct msg *m)
{
	bool slow =
		event == DISPATCH_MESSAGE && m->type == MSG_EVENT && c->news.bytes > c->backlog_max;

	if (!slow || !c->call.open) {
		news_put(c, event, m);
		return;
	}
	mux_cut(c->loop->mux, &c->call);
	news_put(c, DISPATCH_BEHIND, NULL);
}

static void tell(struct conn *c, enum dispatch_event event, const struct msg *m)
{
	if (c->state == CONN_WORKED) {
		keep(c, event, m);
		return;
	}
	if (mcp_needs_thread(c->rq->call, event, m, c->loop->at_once)) {
		news_put(c, event, m);
		to_thread(c);
	} else if (!mcp_event(c->rq->call, event, m)) {
		finish(c);
		conn_done(c);
	}
}

static void on_call(struct mux_call *call, enum dispatch_event event, const struct msg *m)
{
	tell((struct conn *)(void *)((char *)call - offsetof(struct conn, call)), event, m);
}

struct buf *loop_call_begin(struct loop *l, struct request *rq)
{
	/* A thread begins it then, and it must not be made twice. */
	return rq->deferred ? NULL : mux_begin(l->mux, &rq->conn->call);
}

enum rc loop_call_queue(struct loop *l, struct request *rq)
{
	return mux_queue(l->mux, &rq->conn->call);
}

static void unpark(struct conn *c)
{
	if (c->state == CONN_PARKED)
		to_thread(c);
	else
		c->ready = true;
}

static struct conn *next_ready(struct loop *l)
{
	struct conn *c;

	(void)pthread_mutex_lock(&l->lock);
	c = l->ready;
	if (c) {
		l->ready = c->next_ready;
		c->listed = false;
	}
	(void)pthread_mutex_unlock(&l->lock);
	return c;
}

static void take_ready(struct loop *l)
{
	struct conn *c;

	while ((c = next_ready(l)))
		unpark(c);
}

/* Its agent waits no longer for a turn, which somebody else may have. */
static void leave_line(struct conn *c)
{
	struct request *rq = c->rq;

	/* Not parked any more, whatever it is told until it has left. */
	c->state = CONN_WORKED;
	apikey_leave(c->loop->app->keys, &rq->place);
	take_ready(c->loop);
	rq->answered = true;
	rq->status = problem_status(PROBLEM_CANCELLED);
	log_context(rq->request_id, NULL, rq->remote_ip);
	log_info("the agent hung up before its key was verified");
	finish(c);
	conn_done(c);
}

/* Until its key's turn, or the time that it may wait for that. */
static void park(struct conn *c)
{
	if (c->hung_up) {
		leave_line(c);
		return;
	}
	if (c->ready) {
		to_thread(c);
		return;
	}
	c->state = CONN_PARKED;
	set_time(c, c->rq->place.until_ms);
}

static void on_conn(struct conn *c, uint32_t events)
{
	bool hung_up = events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);

	switch (c->state) {
	case CONN_IDLE:
		look(c);
		break;
	case CONN_CALLING:
		c->readable = true;
		if (hung_up)
			tell(c, DISPATCH_HANGUP, NULL);
		break;
	case CONN_WORKED:
		c->readable = true;
		c->hung_up = c->hung_up || hung_up;
		break;
	case CONN_PARKED:
		c->readable = true;
		if (hung_up)
			leave_line(c);
		break;
	case CONN_GONE:
		break;
	}
}

/* Its thread is done with it. */
static void on_back(struct conn *c)
{
	news_free(&c->work);
	if (!c->rq) {
		c->readable = true;
		conn_done(c);
		return;
	}
	if (c->rq->deferred) {
		park(c);
		return;
	}
	c->state = CONN_CALLING;
	if (c->hung_up && !c->news.first)
		news_put(c, DISPATCH_HANGUP, NULL);
	if (c->news.first)
		to_thread(c);
	else
		set_time(c, mcp_due(c->rq->call));
}

static void release_used(struct loop *l)
{
	struct conn *c;

	(void)pthread_mutex_lock(&l->lock);
	c = l->used;
	l->used = NULL;
	(void)pthread_mutex_unlock(&l->lock);
	for (; c; c = c->next_used)
		mux_release(l->mux, &c->call);
}

static void take_back(struct loop *l)
{
	uint64_t count;
	struct conn *c, *next;

	(void)!read(l->wake_fd, &count, sizeof(count));
	(void)pthread_mutex_lock(&l->lock);
	c = l->back.first;
	jobs_init(&l->back);
	(void)pthread_mutex_unlock(&l->lock);
	/* They may be freed below. */
	release_used(l);
	/* Before those that are back: they may be at their end, and are told nothing more then. */
	take_ready(l);
	for (; c; c = next) {
		next = c->next_job;
		on_back(c);
	}
}

/* --- waiting
 * ------------------------------------------------------------------------------------------ */

static void watch_listener(struct loop *l, bool on)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.ptr = &l->listen_fd};

	if (on == l->listening)
		return;
	if (epoll_ctl(l->epoll, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, l->listen_fd, &event) != 0)
		log_err("the socket can't be watched: %s", strerror(errno));
	l->listening = on;
}

/* One at a time: the other processes want some too. */
static void accept_one(struct loop *l)
{
	int fd = accept4(l->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0) {
		conn_new(l, fd);
	} else if (errno == EINVAL) {
		/* The parent has shut the socket down, its SIGTERM is on the way. */
		watch_listener(l, false);
		return;
	} else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
		log_warn("can't accept a connection: %s", strerror(errno));
		l->accept_again_ms = clock_mono_ms() + ACCEPT_PAUSE_MS;
	}
	if (l->conn_count >= l->conn_max || l->accept_again_ms)
		watch_listener(l, false);
}

static void watch_mux(void *ctx, int fd, bool write)
{
	struct loop *l = ctx;
	struct epoll_event event = {
		.events = EPOLLIN | (write ? EPOLLOUT : 0U), .data.ptr = &l->mux_fd};

	if (fd < 0)
		(void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, l->mux_fd, NULL);
	else if (epoll_ctl(l->epoll, l->mux_fd < 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event) !=
		0)
		log_err("the tunnel daemon can't be watched: %s", strerror(errno));
	l->mux_fd = fd;
}

static void on_time(struct conn *c)
{
	if (c->state == CONN_PARKED)
		to_thread(c);
	else
		tell(c, DISPATCH_TIMEOUT, NULL);
}

static void on_due(struct loop *l)
{
	int64_t now = clock_mono_ms();

	if (l->accept_again_ms && l->accept_again_ms <= now)
		l->accept_again_ms = 0;
	if (!l->stopping && !l->accept_again_ms && l->conn_count < l->conn_max)
		watch_listener(l, true);
	while (l->first_due && l->first_due->due_ms <= now)
		on_time(l->first_due);
	l->spare_due_ms = spare_trim(l->app->spare, now);
}

/* Milliseconds for epoll_wait(), -1 for ever. */
static int time_left(const struct loop *l)
{
	int64_t due = l->first_due ? l->first_due->due_ms : INT64_MAX, left;

	if (l->accept_again_ms && l->accept_again_ms < due)
		due = l->accept_again_ms;
	if (l->spare_due_ms < due)
		due = l->spare_due_ms;
	if (due == INT64_MAX)
		return -1;
	left = due - clock_mono_ms();
	return left <= 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

static void close_idle(struct loop *l)
{
	struct conn *next;

	watch_listener(l, false);
	for (struct conn *c = l->conns; c; c = next) {
		next = c->next;
		if (c->state == CONN_IDLE)
			conn_close(c);
	}
}

static void handle(struct loop *l, const struct epoll_event *e)
{
	void *what = e->data.ptr;

	if (what == &l->listen_fd)
		accept_one(l);
	else if (what == &l->wake_fd)
		take_back(l);
	else if (what == &l->mux_fd)
		mux_readable(l->mux);
	else
		on_conn(what, e->events);
}

void loop_run(struct loop *l)
{
	struct epoll_event events[EVENTS];

	watch_listener(l, true);
	while (!l->stopping || l->conns) {
		int n;

		mux_flush(l->mux);
		n = epoll_wait(l->epoll, events, EVENTS, time_left(l));
		/* Before the requests that have come: an agent's next one is behind the end of its
		 * result. */
		release_used(l);
		for (int i = 0; i < n; i++)
			handle(l, &events[i]);
		on_due(l);
		if (l->stopping)
			close_idle(l);
		free_gone(l);
	}
	(void)pthread_mutex_lock(&l->lock);
	l->over = true;
	(void)pthread_mutex_unlock(&l->lock);
	(void)pthread_cond_broadcast(&l->work);
}

void loop_stop(struct loop *l)
{
	l->stopping = true;
	wake(l);
}

/* --- beginning and end
 * ----------------------------------------------------------------------------------- */

static size_t conns(const struct config *config)
{
	int left = FDS_MAX - FDS_OTHER - config->pool_threads;

	return left > CONNS_MIN ? (size_t)left : CONNS_MIN;
}

size_t loop_parked_max(const struct config *config)
{
	return conns(config) / 2;
}

struct loop *loop_new(const struct app *app, struct generations *generations, int listen_fd)
{
	struct loop *l = xcalloc(1, sizeof(*l));
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = &l->wake_fd};
	const struct mux_owner owner = {on_call, watch_mux, l};

	l->app = app;
	l->generations = generations;
	l->listen_fd = listen_fd;
	l->mux_fd = -1;
	l->spare_due_ms = INT64_MAX;
	l->conn_max = conns(app->config);
	jobs_init(&l->jobs);
	jobs_init(&l->back);
	(void)pthread_mutex_init(&l->lock, NULL);
	(void)pthread_cond_init(&l->work, NULL);
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->epoll < 0 || l->wake_fd < 0 ||
		epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->wake_fd, &event) != 0)
		die("the event loop does not start: %s", strerror(errno));
	l->mux = mux_new(app->dispatch_path, (size_t)app->config->max_result_bytes, &owner);
	return l;
}

void loop_free(struct loop *l)
{
	mux_free(l->mux);
	(void)close(l->wake_fd);
	(void)close(l->epoll);
	(void)pthread_cond_destroy(&l->work);
	(void)pthread_mutex_destroy(&l->lock);
	free(l);
}
