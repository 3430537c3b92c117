/* dispatch: the client side of tunneld's unix socket. One connection, one exchange at a time;
 * closing it in the middle of a call cancels the call. Blocking, with deadlines. The messages, all
 * in the codec of msg.h:
 *
 * CALL {"tenant_id","method","tool"?,"affinity"? (hex digest of the subject),"key_id","key_name",
 * "rate"? (per minute; none: no limit),"era","traceparent"?,"tracestate"?,"timeout_ms"?,"rpc_id"?
 * (the JSON-RPC id as it is spelt, or a digest of a long one) and "client"? (the agent's
 * Mcp-Session-Id), by which CANCEL finds it,"audit":{audit_put() object: actor, key, tool, method,
 * request_id, remote_ip, bytes_in}} + the JSON-RPC message (split by "more" when longer than
 * MSG_PART_DEFAULT) -> EVENT*, then RESULT {"outcome","status":"ok"} + payload (parts; the last one
 * is released only when the audit row is durable), or FAIL {"code":<problem code>,"detail"?,
 * "retry_after_ms"?}: the row is durable then too, unless the code is audit_unavailable, draining
 * or bad_request (a malformed CALL: a defect of the caller).
 *
 * DETACH on a connection with a call: the agent of an old protocol hung up, which is no
 * cancellation: the call goes on, its answer is dropped. No answer; the connection is then closed.
 *
 * REPLY {"id" (of the call),"tenant_id"} + the agent's JSON-RPC response to a server-to-client
 * request of that call (which is on another connection), in one message -> REPLY when it was passed
 * on; FAIL not_found when the call is over or another tenant's.
 *
 * CANCEL {"tenant_id","key_id","client"?,"rpc_id"} -> CANCEL_OK {"count"}: the key's calls with
 * that id (and client) are told to stop; without a client only when there is exactly one.
 *
 * AUDIT {"audit":{...}} -> AUDIT_OK when the row is durable, or FAIL.
 *
 * FLUSH {"tenant_id"?} -> FLUSH_OK when every outbox row committed before it is in the journal;
 * sessions of revoked workers and suspended tenants have been told to go by then. FAIL otherwise.
 *
 * PING -> PONG {"version","pool_version"?,"uptime_s","sessions","calls","audit_ok":bool,
 * "audit_durable" (the last row on disk),"audit_queue","audit_free_bytes","draining":bool};
 * pool_version is that of the connected pool processes, and where they differ one that is not
 * "version"; "unknown" when it did not say; absent when none is connected
 *
 * SESSIONS {"tenant_id"?} -> SESSIONS_OK + JSON array [{"session_id","worker_id","tenant_id",
 * "agent","remote_ip","connected_at","calls_in_flight","calls_total","last_pong_at"}], of one
 * tenant also "newest","tools" (how many) and, where its tools are not the newest session's,
 * "differs":{"extra_count","extra":[names],"missing_count","missing","changed_count","changed"}
 *
 * MANY {"version","places"?,"place_bytes"?} as the first message of a connection: from here on it
 * carries many calls, each message behind the name of its call (struct frame_ref), and of the above
 * CALL and DETACH alone, and GONE {slow?}: the agent hung up or, when slow, does not read; the call
 * is cancelled. No answer to MANY or GONE. When the connection ends, all calls on it are cancelled.
 * With "places" a file descriptor comes along, of memory for so many results of so many bytes
 * (shelf.h). A result that is long, or that its worker sends in parts, may then be put there, and
 * RESULT {"outcome","status","place","length"} without a payload names it, once the row is durable.
 * The place is the caller's from then on until its PLACE_FREE {"place"}, which has no answer and
 * comes for a RESULT that crossed a GONE, too.
 *
 * AUDIT_WATCH {"tenant"?,"actor"?,"tool"?,"outcome"?,"event"?,"q"? (a filter, audit_filter.h),
 * "org_id"? (none: every org),"after"? (the last row that the watcher has),"expires_at"? (UTC
 * seconds)} -> AUDIT_WATCH_OK {"ticket"}: the front may fetch the stream with it from audit.sock,
 * once, within AUDIT_STREAM_TICKET_MS; or FAIL.
 *
 * STAMP {"from","seq","lines","end"? (flag),"runs","header","digest","prev"} (a bundle's stamp,
 * shared/audit_form.h; of the runs their hash; hashes in base64) -> STAMP_OK {"ts","key","sig"}, or
 * FAIL bad_request.
 *
 * LISTEN {"tenant_id","key_id","key_name","rate"?,"era","subscription"? (the request's id, raw
 * JSON; modern),"client"? (Mcp-Session-Id; legacy),"tools"?,"prompts"?,"resources"? (flags: list
 * changes to be told of),"worker"? (flag),"headers"? (complete lines for the answer),
 * "audit":{...}} + with "worker" the request, for a worker to subscribe to; otherwise the
 * acknowledgement, if the era has one -> LISTEN_OK {"ticket"} when the row is durable: the front
 * may fetch the stream with it from listen.sock, once, within LISTEN_TICKET_MS; or FAIL.
 *
 * WATCH {"tenant_id","key_id","client"?,"off"? (flag)} + the URI of a resource -> WATCH_OK, or
 * FAIL: what a client of an older version has subscribed to; its GET stream then tells of it.
 *
 * MANIFEST_GET {"tenant_id","have"? (digest)} -> MANIFEST_OK {"digest","same":bool} + manifest
 * unless same; FAIL no_worker.
 */
#ifndef SHARED_DISPATCH_H
#define SHARED_DISPATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "shared/msg.h"
#include "shared/rc.h"

struct dispatch;

/* RC_UNAVAILABLE when tunneld is not there. */
enum rc dispatch_open(const char *socket_path, struct dispatch **out) MUST_CHECK;
void dispatch_close(struct dispatch *d);

/* Starts a message: returns the buffer to append one msg (msg_begin .. msg_end) to; dispatch_send()
 * frames and writes it. */
struct buf *dispatch_message(struct dispatch *d);
enum rc dispatch_send(struct dispatch *d) MUST_CHECK;

enum dispatch_event {
	DISPATCH_MESSAGE, /* *out points into d until the next call */
	DISPATCH_TIMEOUT,
	DISPATCH_HANGUP, /* watch_fd's peer went away: close d to cancel */
	DISPATCH_LOST, /* tunneld went away or sent nonsense */
	DISPATCH_BEHIND, /* more waits than may: said by who keeps messages, not by dispatch_wait()
			  */
};
/* Waits for a message until deadline (clock_mono_ms; -1: for ever). watch_fd (-1: none) is polled
 * for a hang-up meanwhile. */
enum dispatch_event dispatch_wait(
	struct dispatch *d, int watch_fd, int64_t deadline_ms, struct msg *out);

/* Sends the message begun with dispatch_message() and waits 5 s for its answer, the parts of a long
 * one joined (its header is then the last part's). RC_OK: *out is of that type or a FAIL, and
 * points into d until the next call. */
enum rc dispatch_ask(struct dispatch *d, enum msg_type answer, struct msg *out) MUST_CHECK;

/* Simple exchanges, 5 s each. On a FAIL answer: RC_UNAVAILABLE. */
struct audit_record;
enum rc dispatch_audit(struct dispatch *d, const struct audit_record *r) MUST_CHECK;
enum rc dispatch_flush(struct dispatch *d, const char *tenant_id) MUST_CHECK;
/* *out points into d. */
enum rc dispatch_ping(struct dispatch *d, struct msg *out) MUST_CHECK;
enum rc dispatch_sessions(struct dispatch *d, const char *tenant_id, struct msg *out) MUST_CHECK;
/* Fills in its ts, key and sig. */
struct audit_stamp;
enum rc dispatch_stamp(struct dispatch *d, struct audit_stamp *s) MUST_CHECK;

/* One connection a thread, kept between requests: returns the calling thread's connection, opening
 * it when needed. *fresh is true when it was opened just now (so a failed first exchange on an old
 * one may be retried once: tunneld restarted). */
enum rc dispatch_mine(const char *socket_path, struct dispatch **out, bool *fresh) MUST_CHECK;
/* Drops the thread's connection: after any error and to cancel a call. */
void dispatch_mine_drop(void);

#endif
