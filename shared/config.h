/* config: the environment and config.yaml, loaded once into one const struct. One table
 * (config_yaml.c) names every key with type, default and range; conf/config.example.yaml documents
 * the same keys and a test holds the two together. */
#ifndef SHARED_CONFIG_H
#define SHARED_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/buf.h"
#include "shared/log.h"
#include "shared/rc.h"

#define CONFIG_ORIGINS_MAX 32
#define CONFIG_PROXIES_MAX 32

enum config_fsync { CONFIG_FSYNC_BATCH, CONFIG_FSYNC_INTERVAL };
enum config_pinning { CONFIG_PINNING_OFF, CONFIG_PINNING_WARN, CONFIG_PINNING_ENFORCE };

struct config {
	/* Environment */
	char *operator_token; /* secret; also from AIRLOCK_CP_OPERATOR_TOKEN_FILE */
	char *session_secret; /* secret or NULL; also from AIRLOCK_SESSION_SECRET_FILE */
	char *public_url; /* no trailing slash */
	char *config_path;
	char *state_path; /* always the .db */
	char *import_path; /* the .yaml that AIRLOCK_CP_STATE_PATH named, or NULL */
	char *snapshot_dir;
	enum log_level log_level;
	char *origins[CONFIG_ORIGINS_MAX];
	int origin_count;
	int metrics_port; /* 0: off */
	int max_sessions_per_tenant;
	bool demo_tenants;
	bool allow_localhost;

	/* server: */
	char *cp_private_key_path; /* /state/cp_ed25519.pem */
	char *audit_log_path; /* /state/audit.jsonl */
	char *run_dir; /* /run/airlock: sockets and pid files */
	bool public_status; /* true */
	char *trusted_proxies[CONFIG_PROXIES_MAX]; /* CIDRs; default 127.0.0.0/8, ::1/128 */
	int trusted_proxy_count;
	char *metrics_address; /* 127.0.0.1 */
	enum config_pinning tool_pinning; /* warn */
	/* What SIGHUP re-reads. A running process's environment can't be changed from outside, so
	 * both are keys of the file too; when set there they win over the variable and have already
	 * been taken over into log_level and origins. */
	char *log_level_name; /* "": AIRLOCK_CP_LOG_LEVEL decides */
	char *allowed_origins[CONFIG_ORIGINS_MAX];
	int allowed_origin_count; /* 0: AIRLOCK_CP_ALLOWED_ORIGINS decides */

	/* pool: */
	int pool_processes; /* 2, 1..64 */
	int pool_threads; /* 96 a process, 1..1024: for what has to wait */

	/* limits: */
	int64_t max_request_bytes; /* 4 MiB */
	int64_t max_result_bytes; /* 16 MiB */
	int64_t max_manifest_bytes; /* 1 MiB */
	int call_timeout_ms; /* 60000 */
	int calls_per_session; /* 128 in flight */
	int calls_per_tenant; /* 96 in flight: below the threads of the pool */
	int key_requests_per_minute; /* 6000; 0: no limit */
	int argon2_concurrency; /* 2 a process */
	int key_wait_ms; /* 10000 for its turn */
	int idempotency_ttl_s; /* 86400 */
	int streams; /* 10000 that listen for changes, of all tenants */
	int streams_per_tenant; /* 2000 */
	int64_t call_backlog_bytes; /* 16 MiB of events that a call's agent has not taken: then it
				       ends */
	int64_t stream_backlog_bytes; /* 64 KiB that a reader has not taken: then it is cut off */
	int stream_keepalive_ms; /* 15000 */

	/* tunnel: */
	int heartbeat_ms; /* 15000 */
	int heartbeat_timeout_ms; /* 10000 more without an answer ends the session */
	int handshake_timeout_ms; /* 10000 */
	int clock_skew_s; /* 300 */
	int drain_timeout_ms; /* 25000 */
	int max_connections; /* 16000: tunnels, including those not yet through the handshake */

	/* audit: */
	enum config_fsync audit_fsync; /* batch */
	int audit_fsync_interval_ms; /* 1000, for interval */
	int64_t audit_min_free_bytes; /* 16 MiB: below it calls and writes are refused */
	int audit_checkpoint_rows; /* 1000: a signed checkpoint after so many rows */
	int audit_checkpoint_seconds; /* 60: or after this time, when there are rows */
	int64_t audit_rotate_bytes; /* 256 MiB: audit.jsonl is closed and goes on in a new file; 0:
				       never */
	int audit_rotate_hours; /* 24; 0: never */
	bool audit_compress; /* true: closed files, with zstd */
	int audit_keep_days; /* 0: for ever; whole closed files */
	int64_t audit_keep_bytes; /* 0: as many as there are; of all closed files */
	int audit_tenant_keep_days; /* 0: for ever; rows of tenants without a rule of their own */
	char *audit_archive_command; /* "": none */
	char *audit_head_command; /* "": none */
	int audit_command_timeout_s; /* 300 */
	int audit_streams; /* 1000 that watch the log */
	int64_t audit_stream_backlog_bytes; /* 256 KiB that a watcher has not taken: then it is let
					       go */
	int audit_stream_keepalive_ms; /* 15000 */
	char *audit_index_path; /* "": beside the log (audit_index_path()) */
};

/* One message for people, complete with file, line and what to do. */
struct config_error {
	char text[512];
};

/* Reads the environment (env is a NULL-terminated NAME=value list, environ in production).
 * RC_INVALID with *err filled: public URL missing or local without the override, operator token
 * missing, number out of range, unreadable secret file. Unknown AIRLOCK_CP_* names are appended to
 * warnings, a line each (Kubernetes' *_SERVICE_*, *_PORT_<n>_* and *_PORT=tcp://... names are
 * silent). */
enum rc config_load_env(struct config *c, char *const env[], struct buf *warnings,
	struct config_error *err) MUST_CHECK;
/* Parses config.yaml text over the defaults. name is used in messages. Unknown key: "file:line:
 * unknown key 'x' in server; did you mean 'y'?". Pure. c is zeroed or loaded before; after a
 * failure it is fit for config_clear() only. */
enum rc config_load_yaml(struct config *c, const char *name, const char *text, size_t len,
	struct config_error *err) MUST_CHECK;
/* What daemons call: environment, first boot's seeding (firstboot_config()), file, derived paths
 * (state_path defaults to <audit dir>/state.db). Exits through die() with the hint on error; logs
 * warnings. */
const struct config *config_open(void);
/* The same for those who want to know rather than to end: makes nothing, and reads text instead of
 * the file where it is not NULL. The secrets stay in the environment. RC_INVALID with *err filled;
 * c is then fit for config_clear() only. */
enum rc config_try(const char *text, size_t len, struct config *c, struct buf *warnings,
	struct config_error *err) MUST_CHECK;
/* SIGHUP: re-reads log level and origins alone; logs and keeps the old ones when the file is wrong.
 * Returns the new config, which shares nothing with the old; the old one is freed by the caller
 * with config_free() once no thread reads it. NULL on error. */
struct config *config_reload(void);
void config_free(struct config *c);
/* Frees what a struct in the caller's memory holds, secrets wiped, and zeroes it. */
void config_clear(struct config *c);
/* Appends "section.key: value" lines for every key of config.yaml, in the table's order. Nothing
 * secret is among them. */
void config_describe(const struct config *c, struct buf *out);
/* The name of a socket in run_dir: "fcgi.sock", "dispatch.sock", "tunnel.sock", "listen.sock".
 * RC_LIMIT when too long for sun_path. */
enum rc config_socket_path(const struct config *c, const char *name, char out[108]) MUST_CHECK;

#endif
