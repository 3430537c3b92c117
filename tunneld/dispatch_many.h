/* dispatch_many: a dispatch connection that carries many calls at the same time (MANY in
 * shared/dispatch.h): a pool process has one, so that one read brings many calls and one write
 * takes many answers. Hanging up still cancels: the agent's, with GONE; the process's, with the
 * connection. */
#ifndef TUNNELD_DISPATCH_MANY_H
#define TUNNELD_DISPATCH_MANY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/msg.h"
#include "tunneld/relay.h"

struct dispatch_conn;
struct dispatch_many;

/* As the message MANY says, with the file descriptor that came along. */
struct dispatch_many *dispatch_many_new(struct dispatch_conn *conn, const struct msg *m);
/* That of the process at the other end; "unknown" when it did not say. */
const char *dispatch_many_version(const struct dispatch_many *d);
/* Cancels all calls. NULL is fine. */
void dispatch_many_free(struct dispatch_many *d);
/* The body of a frame. False: malformed or out of turn. */
bool dispatch_many_handle(struct dispatch_many *d, const uint8_t *body, size_t len);
/* The peer has caught up. */
void dispatch_many_drained(struct dispatch_many *d);

#endif
