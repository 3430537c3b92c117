/* dialer: keeps the tunnel up: looks the control plane's name up, connects, runs a link over the
 * connection, and dials again when it ends. One per process, on the loop's thread. */
#ifndef WORKER_DIALER_H
#define WORKER_DIALER_H

#include <stdbool.h>

#include "shared/buf.h"
#include "shared/rc.h"
#include "worker/link.h"

struct dialer;
struct ev_loop;

struct dialer_config {
	struct ev_loop *loop;
	const struct crypto_identity *identity; /* borrowed, as all here */
	const struct enrolled *enrolled;
	const struct endpoint *endpoint; /* of the tunnel */
	const char *ca_file; /* or NULL */
	const char *agent;
	const struct buf *manifest;
};

struct dialer_owner {
	void *ctx;
	void (*opened)(void *ctx, struct link *l);
	void (*call)(void *ctx, struct link *l, struct link_call *call);
	void (*cancel)(void *ctx, const char *id);
	void (*reply)(void *ctx, const char *id, const void *text, size_t len);
	void (*lost)(void *ctx); /* the session is over; the link is gone after this */
	void (*refill)(
		void *ctx, struct link *l); /* there is room again for what waits to be sent */
	void (*left)(void *ctx); /* after dialer_leave(): it is over for good */
};

enum rc dialer_new(const struct dialer_config *config, const struct dialer_owner *owner,
	struct dialer **out) MUST_CHECK;
/* Dials at once, and from then on whenever it has to. */
void dialer_start(struct dialer *d);
/* The session that stands, or NULL. */
struct link *dialer_link(struct dialer *d);
/* Tells the control plane that this worker goes; a session that has not come to be is dropped. No
 * new dialling after this. */
void dialer_goodbye(struct dialer *d);
/* Closes for good; the owner's left follows, perhaps from within. */
void dialer_leave(struct dialer *d);
/* Ends the session that stands and dials again. */
void dialer_again(struct dialer *d);
/* A call has ended: perhaps the control plane's GOAWAY can be followed now. */
void dialer_poke(struct dialer *d);
void dialer_free(struct dialer *d);

#endif
