/* relay_internal: what relay.c (the servers) and relay_route.c (the calls) share. Not for others.
 */
#ifndef WORKER_RELAY_INTERNAL_H
#define WORKER_RELAY_INTERNAL_H

#include <ev.h>
#include <sys/queue.h>

#include "worker/backoff.h"
#include "worker/relay.h"

#define RELAY_METHOD_MAX 64
#define RELAY_TASKS_MAX 4096

struct server {
	struct relay *relay;
	const struct wconfig_upstream *conf;
	struct upstream *u;
	struct upstream_stdio *stdio; /* one of these two */
	struct upstream_http *http;
	bool stop; /* the HTTP server is given up, at the next tick */
	char **env;
	struct backoff backoff;
	int64_t restart_at; /* 0: it runs */
	int64_t up_at;
	unsigned garbage;
};

/* A call of the tunnel that is with upstreams. */
struct rcall {
	LIST_ENTRY(rcall) entry;
	struct link_call in; /* its request stays here until the end */
	char tenant_id[80];
	struct jscan root, id, params;
	char method[RELAY_METHOD_MAX];
	bool modern;
	bool listen, joined; /* a subscription; one that we put together ourselves */
	bool trying; /* the next server is asked when this one does not know */
	bool paging; /* cursors name the server */
	size_t at; /* the server that is asked */
	int64_t started_ms, deadline_ms;
	size_t result_max;
};

struct tool_name {
	char name[65];
	struct server *server;
};

struct task {
	uint8_t digest[16];
	struct server *server;
};

struct relay {
	struct ev_loop *loop;
	const struct mcp_server *server;
	struct relay_owner owner;
	struct server *servers;
	size_t count;
	LIST_HEAD(, rcall) calls;
	size_t call_count;
	ev_timer tick;
	int64_t started_at;
	bool settled;
	struct tool_name *names;
	size_t name_count;
	struct task tasks[RELAY_TASKS_MAX]; /* a ring */
	size_t task_count;
};

bool server_offers(const struct server *s, const char *what);
void route_result(struct relay *r, struct server *s, struct rcall *c, const char *outcome,
	struct buf *payload);
void route_notified(struct relay *r, const char *method, struct jscan message);

#endif
