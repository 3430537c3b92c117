/* dispatch_conn: the bytes of one connection on the dispatch socket: frames in, frames out,
 * straight on libev because it is the hot path: one read brings a call, one write takes its answer.
 * What a message means is dispatch_server.c's matter. */
#ifndef TUNNELD_DISPATCH_CONN_H
#define TUNNELD_DISPATCH_CONN_H

#include <ev.h>
#include <stdbool.h>

#include "shared/buf.h"
#include "shared/msg.h"
#include "tunneld/relay.h"

struct dispatch_many;
struct dispatch_server;

struct dispatch_conn {
	struct client client;
	struct dispatch_server *server;
	struct dispatch_conn *prev, *next;
	ev_io reader, writer;
	struct buf in; /* the beginning of a frame whose rest has not come */
	struct buf out; /* what the socket did not take */
	size_t sent; /* bytes of out that it took since */
	bool broken;
	struct dispatch_many *many; /* when it carries many calls */
	struct dispatch_conn *next_unsent; /* of those that have something to send */
	bool unsent;
	int passed_fd; /* that came along with bytes; -1: none */
	struct waiting *waiting; /* an exchange other than a call, under way */
};

/* Takes the non-blocking fd over. */
struct dispatch_conn *dispatch_conn_new(
	struct dispatch_server *server, struct ev_loop *loop, int fd);
/* Closes and frees. Cancels what is under way. */
void dispatch_conn_free(struct dispatch_conn *c);

/* Sends one frame: the name of its call where there are many, and the message in two pieces, of
 * which none is kept. Short ones of a connection with many calls leave together, in
 * dispatch_conn_flush(), which the server calls before the loop waits; a long payload goes to the
 * socket from where it is. */
void dispatch_conn_put(struct dispatch_conn *c, const struct frame_ref *ref, const void *head,
	size_t head_len, const void *payload, size_t len);
void dispatch_conn_flush(struct dispatch_conn *c);
/* The file descriptor that came along with bytes, which is the caller's now; -1: none. */
int dispatch_conn_passed_fd(struct dispatch_conn *c);
/* Bytes that the peer has not taken. */
size_t dispatch_conn_backlog(const struct dispatch_conn *c);

#endif
