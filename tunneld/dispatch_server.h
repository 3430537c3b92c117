/* dispatch_server: the unix socket on which fcgi-app hands over calls and audit rows and asks about
 * sessions (shared/dispatch.h). One exchange at a time on each connection, but for those that carry
 * many calls (dispatch_many.h). */
#ifndef TUNNELD_DISPATCH_SERVER_H
#define TUNNELD_DISPATCH_SERVER_H

#include <stdbool.h>

#include "shared/msg.h"
#include "shared/rc.h"
#include "tunneld/hub.h"

/* A client that lets more than this pile up is cut off. */
#define DISPATCH_BACKLOG_MAX ((size_t)64 * 1024 * 1024)

struct ev_loop;
struct dispatch_conn;
struct dispatch_server;

/* Connections that the pool can hold at the same time, and some for the moments when one pool
 * replaces another. */
size_t dispatch_server_max(const struct config *c);
/* RC_UNAVAILABLE: the socket can't be made (logged). */
enum rc dispatch_server_open(
	struct ev_loop *loop, struct hub *hub, struct dispatch_server **out) MUST_CHECK;
/* Closes every connection. NULL is fine. */
void dispatch_server_close(struct dispatch_server *s);

/* For dispatch_conn.c. False: the message is malformed or out of turn. */
bool dispatch_server_handle(struct dispatch_conn *c, const struct msg *m) MUST_CHECK;
void dispatch_server_add(struct dispatch_conn *c);
void dispatch_server_remove(struct dispatch_conn *c);
/* It has something to send, together with what else comes before the loop waits. */
void dispatch_server_unsent(struct dispatch_conn *c);
struct hub *dispatch_server_hub(const struct dispatch_server *s);
struct ev_loop *dispatch_server_loop(const struct dispatch_server *s);

#endif
