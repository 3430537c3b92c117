/* loop: the one thread of a pool process that waits for many things at once: for the front's
 * connections, for news of the calls that are with a worker, and for time. A call that needs no
 * waiting but for its worker never leaves it. Everything else (a key's first use, the state, a long
 * answer, a stream) is done by the threads, one request at a time each; but while a key waits for
 * its turn to be verified, its request is back with the loop. */
#ifndef FCGI_APP_LOOP_H
#define FCGI_APP_LOOP_H

#include "fcgi-app/generation.h"
#include "fcgi-app/http.h"

struct loop;

/* How many requests may wait in the loop for something that is neither a worker nor a thread: fewer
 * than it has connections, so that others get through. */
size_t loop_parked_max(const struct config *config);
/* listen_fd must not block; it is shared with the other processes. Ends the process when there is
 * no memory or no epoll. */
struct loop *loop_new(const struct app *app, struct generations *generations, int listen_fd);
/* Serves until loop_stop() and until the last request was answered. */
void loop_run(struct loop *l);
/* Takes no new requests, and closes connections that idle. Any thread. */
void loop_stop(struct loop *l);
/* What a thread does: takes requests from the loop until loop_run() has returned. */
void loop_work(struct loop *l);
/* After loop_run() and every loop_work() have returned. */
void loop_free(struct loop *l);

/* For a request that the loop serves: a message to tunneld that begins its call (mux.h). NULL when
 * it can't be reached, or when the request is deferred. */
struct buf *loop_call_begin(struct loop *l, struct request *rq);
enum rc loop_call_queue(struct loop *l, struct request *rq) MUST_CHECK;

#endif
