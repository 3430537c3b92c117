/* greeting: the handshake of one tunnel, from CHALLENGE to HELLO_ACK or HELLO_NACK, and what is
 * asked of a manifest. Part of tunnel.c's work, apart because it is over after the first moments.
 */
#ifndef TUNNELD_GREETING_H
#define TUNNELD_GREETING_H

#include "tunneld/tunnel.h"

/* Sends the CHALLENGE. */
void greeting_begin(struct tunnel *t);
/* One HELLO message; the tunnel is ready or refused after the last part. False: the worker broke
 * the protocol. */
bool greeting_hello(struct tunnel *t, const struct msg *m, int64_t now_ms) MUST_CHECK;
/* Wipes and frees the state of the handshake; no effect when it is over. */
void greeting_free(struct tunnel *t);
/* Connections that nobody knows yet share a bounded memory. False: the tunnel has been ended. */
bool greeting_may_buffer(struct tunnel *t, size_t bytes);

/* Joins the parts of a manifest, in t->parts unless it came in one. False when it is too long.
 * *text is complete only with the last part. */
bool greeting_collect(
	struct tunnel *t, const struct msg *m, const uint8_t **text, size_t *len) MUST_CHECK;
/* Checks a manifest; on NACK_NONE *out is its catalog entry. */
enum nack greeting_manifest(
	struct hub *hub, const void *text, size_t len, struct catalog_entry **out);

/* Of tunnel.c: one audit row about a session; last seen, and
 * whether the manifest is news; the first heartbeat. */
void tunnel_note(struct tunnel *t, const char *event, const char *outcome, const char *target);
void tunnel_remember(struct tunnel *t, bool announced);
void tunnel_watch_heartbeat(struct tunnel *t, int64_t now_ms);

#endif
