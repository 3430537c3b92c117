#include "tunneld/lws_server.h"

#include <libwebsockets.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/log.h"
#include "shared/mem.h"
#include "tunneld/lws_audit.h"
#include "tunneld/lws_listen.h"
#include "tunneld/lws_metrics.h"
#include "tunneld/lws_tunnel.h"

#define HEADER_MAX 16384
#define PIECE 65536
#define METRICS_ADDRESS_MAX 256
/* For the request line and headers of a connection. */
#define REQUEST_S 10

static void emit(int level, const char *line)
{
	int len = (int)strcspn(line, "\n");

	/* Its warnings are about single peers, whom we log ourselves. */
	if (level & LLL_ERR)
		log_warn("libwebsockets: %.*s", len, line);
	else
		log_debug("libwebsockets: %.*s", len, line);
}

static struct lws_context *make_context(struct ev_loop *loop, struct hub *hub)
{
	void *loops[] = {loop};
	const struct lws_context_creation_info info = {
		.options = LWS_SERVER_OPTION_LIBEV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
		.foreign_loops = loops,
		.user = hub,
		.pt_serv_buf_size = PIECE,
		.max_http_header_data = HEADER_MAX,
		.gid = -1,
		.uid = -1,
	};

	lws_set_log_level(LLL_ERR | LLL_WARN, emit);
	return lws_create_context(&info);
}

static bool listen_unix(struct lws_context *server, const char *name, const char *path,
	const struct lws_protocols *protocols)
{
	/* No heartbeat of the library's own: it would start a timer anew with every pong, in a list
	 * that it walks from its beginning, so that a pong costs the more the more tunnels there
	 * are. tunnel.c has ours. */
	static const lws_retry_bo_t no_heartbeat = {0};
	const struct lws_context_creation_info info = {
		.options = LWS_SERVER_OPTION_UNIX_SOCK,
		.port = 0,
		.iface = path,
		.vhost_name = name,
		.protocols = protocols,
		.timeout_secs = REQUEST_S,
		.keepalive_timeout = REQUEST_S,
		.max_http_header_data = HEADER_MAX,
		.retry_and_idle_policy = &no_heartbeat,
	};
	/* 0660 from the first moment on: the front may be in the group, nobody else gets in. */
	mode_t before = umask(0117);
	struct lws_vhost *vhost;

	(void)unlink(path);
	vhost = lws_create_vhost(server, &info);
	(void)umask(before);
	if (vhost && chmod(path, 0660) == 0)
		return true;
	log_err("cannot listen on %s", path);
	return false;
}

static bool listen_metrics(struct lws_context *server, const char *address, int port)
{
	const struct lws_context_creation_info info = {
		.port = port,
		.iface = address,
		.vhost_name = "metrics",
		.protocols = lws_metrics_protocols(),
		.timeout_secs = REQUEST_S,
		.keepalive_timeout = REQUEST_S,
	};

	if (lws_create_vhost(server, &info))
		return true;
	log_err("cannot listen on %s port %d for metrics: set AIRLOCK_CP_METRICS_PORT to a free "
		"port or to 0",
		address, port);
	return false;
}

enum rc lws_server_open(struct ev_loop *loop, struct hub *hub, struct lws_context **out)
{
	const struct config *c = hub->config;
	struct lws_context *server;
	/* libwebsockets keeps these pointers. */
	static char tunnel[108], audit[108], listen[108], address[METRICS_ADDRESS_MAX];

	if (config_socket_path(c, "tunnel.sock", tunnel) != RC_OK ||
		config_socket_path(c, "audit.sock", audit) != RC_OK ||
		config_socket_path(c, "listen.sock", listen) != RC_OK ||
		!str_copy(address, sizeof(address), c->metrics_address)) {
		log_err("server.run_dir is too long for a socket's path, or server.metrics_address "
			"for an address");
		return RC_INVALID;
	}
	server = make_context(loop, hub);
	if (!server) {
		log_err("libwebsockets does not start: is its libev plug-in installed?");
		return RC_UNAVAILABLE;
	}
	if (!listen_unix(server, "tunnel", tunnel, lws_tunnel_protocols()) ||
		!listen_unix(server, "audit", audit, lws_audit_protocols()) ||
		!listen_unix(server, "listen", listen, lws_listen_protocols()) ||
		(c->metrics_port > 0 && !listen_metrics(server, address, c->metrics_port))) {
		lws_context_destroy(server);
		return RC_UNAVAILABLE;
	}
	*out = server;
	return RC_OK;
}

void lws_server_close(struct lws_context *server, const struct hub *hub)
{
	static const char *const names[] = {"tunnel.sock", "audit.sock", "listen.sock"};
	char path[108];

	if (!server)
		return;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (config_socket_path(hub->config, names[i], path) == RC_OK)
			(void)unlink(path);
	lws_context_destroy(server);
}
