/* doctor: looks at a control plane as its operator would, from the configuration to the answer that
 * comes back through the front, changes nothing, and has a remedy for whatever it finds. */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/api.h"
#include "cli/audit_verify.h"
#include "shared/audit_reader.h"
#include "shared/audit_segments.h"
#include "shared/clock.h"
#include "shared/config.h"
#include "shared/crypto.h"
#include "shared/db.h"
#include "shared/dispatch.h"
#include "shared/file.h"
#include "shared/httpclient.h"
#include "shared/mem.h"
#include "shared/text.h"

#define TEXT_MAX 512
/* A volume with less than this part of it left is worth a word. */
#define DISK_LOW_PERCENT 10
/* How far rows may be ahead of the clock. */
#define CLOCK_SLACK_MS 5000
#define ANSWER_MAX 65536

enum grade { GOOD, WARNING, FAULT, SKIPPED };
static const char *const grade_names[] = {"ok", "warning", "fault", "skipped"};

struct doctor {
	const struct args *args;
	json_t *findings;
	bool fault;
	struct config c;
	struct crypto_identity id;
	bool have_key;
};

/* remedy is "" where none is needed. */
static void PRINTF_LIKE(5, 6) find(struct doctor *d, const char *check, enum grade grade,
	const char *remedy, const char *fmt, ...)
{
	char detail[TEXT_MAX];
	json_t *j;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	d->fault = d->fault || grade == FAULT;
	j = json_pack(
		"{s:s, s:s, s:s}", "check", check, "result", grade_names[grade], "detail", detail);
	if (j && *remedy)
		(void)json_object_set_new(j, "remedy", json_string(remedy));
	(void)json_array_append_new(d->findings, j);
}

/* --- configuration ------------------------------------------------------------------------------
 */

static bool check_config(struct doctor *d)
{
	struct config_error err;
	struct buf warnings;
	enum rc rc;

	buf_init(&warnings, 65536);
	rc = config_try(NULL, 0, &d->c, &warnings, &err);
	if (rc != RC_OK)
		find(d, "config", FAULT,
			"Correct it; conf/config.example.yaml explains every key. Run this with "
			"the "
			"daemons' environment.",
			"%s", err.text);
	else if (warnings.len > 0)
		find(d, "config", WARNING, "Unset what is not meant, or correct its name.", "%.*s",
			(int)strcspn((const char *)warnings.data, "\n"),
			(const char *)warnings.data);
	else
		find(d, "config", GOOD, "", "%s is valid", d->c.config_path);
	buf_free(&warnings);
	if (rc != RC_OK)
		return false;
	if (strncmp(d->c.public_url, "https://", 8) != 0 && !d->c.allow_localhost)
		find(d, "public_url", WARNING,
			"End TLS in the web server in front and give AIRLOCK_CP_PUBLIC_URL an "
			"https URL.",
			"%s is not https: keys cross the network in the clear", d->c.public_url);
	if (!d->c.session_secret)
		find(d, "session_secret", WARNING,
			"Set AIRLOCK_SESSION_SECRET (openssl rand -hex 32) to sign in to the "
			"console.",
			"AIRLOCK_SESSION_SECRET is not set: only the operator token works");
	if (d->c.demo_tenants && !d->c.allow_localhost)
		find(d, "demo_tenants", WARNING,
			"Set AIRLOCK_DEMO_TENANT_REGISTER=false and delete what is not yours.",
			"the three demo tenants are registered at start");
	return true;
}

/* --- files ---------------------------------------------------------------------------------------
 */

/* Who owns the state: everything must be of one user, or a daemon can't write it. */
static void check_file(
	struct doctor *d, const char *path, mode_t forbidden, uid_t owner, bool *good)
{
	char remedy[TEXT_MAX];
	struct stat st;

	if (stat(path, &st) != 0) {
		*good = false;
		find(d, "permissions", FAULT,
			"Start the daemons once, or run airlockctl init as their user.", "%s: %s",
			path, strerror(errno));
	} else if (st.st_mode & forbidden) {
		*good = false;
		(void)snprintf(remedy, sizeof(remedy), "chmod %s '%s'",
			S_ISDIR(st.st_mode) ? "700" : "600", path);
		find(d, "permissions", FAULT, remedy, "%s has mode %03o: others may get at it",
			path, (unsigned)(st.st_mode & 0777));
	} else if (st.st_uid != owner) {
		*good = false;
		(void)snprintf(remedy, sizeof(remedy), "chown %ld '%s'", (long)owner, path);
		find(d, "permissions", FAULT, remedy,
			"%s is of user %ld, and the state's directory of user %ld", path,
			(long)st.st_uid, (long)owner);
	}
}

static void check_permissions(struct doctor *d)
{
	char dir[PATH_MAX];
	struct stat st;
	bool good = true;

	if (!file_dir(d->c.state_path, dir) || stat(dir, &st) != 0) {
		find(d, "permissions", FAULT, "Mount the state volume, or run airlockctl init.",
			"%s: %s", d->c.state_path, strerror(errno));
		return;
	}
	check_file(d, dir, 022, st.st_uid, &good);
	check_file(d, d->c.cp_private_key_path, 077, st.st_uid, &good);
	check_file(d, d->c.state_path, 077, st.st_uid, &good);
	check_file(d, d->c.audit_log_path, 027, st.st_uid, &good);
	check_file(d, d->c.snapshot_dir, 077, st.st_uid, &good);
	check_file(d, d->c.config_path, 022, st.st_uid, &good);
	if (good)
		find(d, "permissions", GOOD, "", "the state in %s is for its owner alone", dir);
}

static void check_volume(struct doctor *d, const char *what, const char *path, int64_t min)
{
	struct statvfs v;
	int64_t left;
	int percent;

	if (statvfs(path, &v) != 0) {
		find(d, "disk", FAULT, "Mount the state volume.", "%s: %s", path, strerror(errno));
		return;
	}
	left = (int64_t)(v.f_bavail * v.f_frsize);
	percent = v.f_blocks > 0 ? (int)(v.f_bavail * 100 / v.f_blocks) : 100;
	if (left < min || left < 1048576)
		find(d, "disk", FAULT,
			"Make room or enlarge the volume; service returns by itself. See "
			"docs/audit-log.md "
			"for rotation and retention.",
			"%s: %lld bytes are left, fewer than audit.min_free_bytes: calls are "
			"refused",
			what, (long long)left);
	else if (v.f_files > 0 && v.f_favail < 1000)
		find(d, "disk", FAULT, "Remove files or make a file system with more inodes.",
			"%s: only %lld more files can be made", what, (long long)v.f_favail);
	else if (percent < DISK_LOW_PERCENT)
		find(d, "disk", WARNING, "Make room or enlarge the volume before it is full.",
			"%s: %d%% is left", what, percent);
	else
		find(d, "disk", GOOD, "", "%s: %d%% is left, %lld MB", what, percent,
			(long long)(left / 1000000));
}

static void check_schema(struct doctor *d)
{
	struct db_look look;

	if (db_look(d->c.state_path, &look) != RC_OK)
		find(d, "schema", FAULT, "Restore a backup: airlockctl restore.",
			"%s can't be read as a database", d->c.state_path);
	else if (!look.sound)
		find(d, "schema", FAULT,
			"Stop the daemons and restore a backup: airlockctl restore.",
			"%s is damaged", d->c.state_path);
	else if (look.schema > look.known)
		find(d, "schema", FAULT, "Install the version that wrote it, or restore a backup.",
			"%s has schema %d, and this version knows %d", d->c.state_path, look.schema,
			look.known);
	else if (look.schema < look.known)
		find(d, "schema", WARNING, "Restart the daemons: they bring it up to date.",
			"%s has schema %d, and this version %d", d->c.state_path, look.schema,
			look.known);
	else
		find(d, "schema", GOOD, "", "the database is sound, schema %d", look.schema);
}

static void check_key(struct doctor *d)
{
	d->have_key = crypto_identity_load(d->c.cp_private_key_path, &d->id) == RC_OK;
	if (d->have_key)
		find(d, "key", GOOD, "", "%s is an Ed25519 key", d->c.cp_private_key_path);
	else
		find(d, "key", FAULT,
			"Put the key back from your backup; without it every worker must be "
			"enrolled "
			"again.",
			"%s is no key, or it can't be read", d->c.cp_private_key_path);
}

/* --- the audit log
 * --------------------------------------------------------------------------------- */

/* The newest file by itself: its first row's number says where it begins. False: it is empty. */
static bool first_row(const char *path, int64_t *seq, int64_t *wall_ms)
{
	struct audit_reader *in;
	const char *line;
	size_t len;
	bool ok;

	if (audit_reader_open(path, &in) != RC_OK)
		return false;
	ok = audit_reader_line(in, &line, &len) == RC_OK &&
		audit_line_head(line, len, seq, wall_ms);
	audit_reader_close(in);
	return ok;
}

struct log_list {
	const char **paths;
	size_t count, first; /* the files to check are paths[first] and those behind it */
	struct audit_segment *segments;
	size_t segment_count;
};

static bool list_log(struct doctor *d, struct log_list *l)
{
	struct stat st;

	*l = (struct log_list){0};
	if (audit_segments_list(d->c.audit_log_path, &l->segments, &l->segment_count) != RC_OK)
		return false;
	l->paths = xcalloc(l->segment_count + 1, sizeof(*l->paths));
	for (size_t i = 0; i < l->segment_count; i++)
		l->paths[l->count++] = l->segments[i].path;
	if (stat(d->c.audit_log_path, &st) == 0 && st.st_size > 0)
		l->paths[l->count++] = d->c.audit_log_path;
	if (!args_has(d->args, ARG_FULL) && l->count > 1)
		l->first = l->count - 1;
	return l->count > 0;
}

static void judge_log(struct doctor *d, const struct audit_verify *v, bool all)
{
	const struct audit_chain *c = &v->chain;

	if (c->fault == AUDIT_FAULT_KEY)
		find(d, "audit_chain", FAULT,
			"Put the key back that signed the log; see docs/backup.md.",
			"%s:%lld: the log is signed with another key than %s", v->file,
			(long long)v->line, d->c.cp_private_key_path);
	/* A log that is written has a last line without its end at times, and a young one no
	 * signature. */
	else if (c->fault && c->fault != AUDIT_FAULT_TORN &&
		!(c->fault == AUDIT_FAULT_UNSIGNED && c->checkpoints == 0))
		find(d, "audit_chain", FAULT,
			"Keep the files as they are and find out who changed them; airlockctl "
			"audit "
			"verify says more.",
			"%s:%lld: %s", v->file, (long long)v->line, c->why);
	else
		find(d, "audit_chain", GOOD, "", "%s holds up to row %lld",
			all ? "the whole log" : "the end of the log", (long long)c->seq);
}

/* The newest file and, as long as no signature is in what is looked at, the one before it too. */
static enum rc verify_log(struct log_list *l, struct audit_chain_options *o, struct audit_verify *v)
{
	int64_t ms;
	enum rc rc;

	for (;; l->first--) {
		if (!first_row(l->paths[l->first], &o->first_seq, &ms))
			return RC_INVALID;
		rc = audit_verify(l->paths + l->first, l->count - l->first, o, v);
		if (rc != RC_OK || v->chain.checkpoints > 0 || l->first == 0)
			return rc;
	}
}

static void check_log(struct doctor *d)
{
	struct audit_chain_options o = {.have_key = d->have_key};
	struct audit_verify v;
	struct log_list l;
	bool there = list_log(d, &l);
	enum rc rc;

	if (d->have_key)
		memcpy(o.key, d->id.public_key, sizeof(o.key));
	if (!there) {
		find(d, "audit_chain", SKIPPED, "", "nothing was written to the log yet");
	} else if ((rc = verify_log(&l, &o, &v)) == RC_INVALID) {
		find(d, "audit_chain", FAULT, "airlockctl audit verify says more.",
			"the first line of %s is no row", l.paths[l.first]);
	} else if (rc != RC_OK) {
		find(d, "audit_chain", FAULT, "See who owns it, and whether the volume is sound.",
			"%s: %s", v.file, strerror(errno));
	} else {
		judge_log(d, &v, l.first == 0);
	}
	free(l.paths);
	audit_segments_free(l.segments, l.segment_count);
}

/* --- the clock
 * ---------------------------------------------------------------------------------------- */

/* When the newest row was written, by the clock that it was written with. */
static bool newest_row(const char *path, int64_t *wall_ms)
{
	struct audit_reader *in;
	const char *line;
	size_t len;
	int64_t seq;
	bool ok = false;

	if (audit_reader_open(path, &in) != RC_OK)
		return false;
	while (audit_reader_line(in, &line, &len) == RC_OK)
		ok = audit_line_head(line, len, &seq, wall_ms);
	audit_reader_close(in);
	return ok;
}

static void check_clock(struct doctor *d)
{
	struct timex t = {0};
	int64_t newest;
	int state = adjtimex(&t);

	if (newest_row(d->c.audit_log_path, &newest) && newest > clock_wall_ms() + CLOCK_SLACK_MS)
		find(d, "clock", FAULT,
			"Set the clock; workers refuse a control plane whose clock is off.",
			"the newest audit row is %lld s in the future",
			(long long)((newest - clock_wall_ms()) / 1000));
	else if (state == TIME_ERROR || (state >= 0 && (t.status & STA_UNSYNC)))
		find(d, "clock", WARNING,
			"Run a time service (systemd-timesyncd, chrony) on this machine or its "
			"host.",
			"the kernel says that the clock is not synchronised");
	else
		find(d, "clock", GOOD, "", "no audit row is in the future");
}

/* --- the daemons
 * ----------------------------------------------------------------------------------------- */

static bool connects(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0 && str_copy(a.sun_path, sizeof(a.sun_path), path) &&
		connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0;
	int why = errno;

	if (fd >= 0)
		(void)close(fd);
	errno = why;
	return ok;
}

static void check_socket(struct doctor *d, const char *name, const char *program)
{
	char path[108], remedy[TEXT_MAX];

	(void)snprintf(remedy, sizeof(remedy),
		"Start %s with the same config.yaml; its log says why it ended.", program);
	if (config_socket_path(&d->c, name, path) != RC_OK)
		find(d, "socket", FAULT, "Give server.run_dir a shorter path.",
			"%s in %s: the path is too long", name, d->c.run_dir);
	else if (connects(path))
		find(d, "socket", GOOD, "", "%s answers on %s", program, path);
	else
		find(d, "socket", FAULT, remedy, "%s: %s", path, strerror(errno));
}

/* What the tunnel daemon says of itself. */
static void check_tunneld(struct doctor *d)
{
	char path[108], version[64] = "";
	struct dispatch *conn = NULL;
	struct msg pong;

	if (config_socket_path(&d->c, "dispatch.sock", path) != RC_OK)
		return;
	if (dispatch_open(path, &conn) != RC_OK || dispatch_ping(conn, &pong) != RC_OK) {
		find(d, "tunneld", FAULT,
			"Start airlock-tunneld, and run this as its user: the socket is for it "
			"alone.",
			"%s does not answer", path);
		dispatch_close(conn);
		return;
	}
	if (jscan_str(msg_field(&pong, "version"), version, sizeof(version)) != RC_OK)
		version[0] = '\0';
	if (!msg_flag(&pong, "audit_ok"))
		find(d, "tunneld", FAULT, "Its log says why: mostly the disk is full.",
			"the audit log can't be written, so calls are refused");
	else if (strcmp(version, AIRLOCK_VERSION) != 0)
		find(d, "tunneld", WARNING, "Restart the daemons after an upgrade.",
			"airlock-tunneld is version %.40s, and this is %s", version,
			AIRLOCK_VERSION);
	else
		find(d, "tunneld", GOOD, "", "version %.40s, the audit log can be written",
			version);
	dispatch_close(conn);
}

static enum rc get(const struct doctor *d, const char *path, struct httpclient_answer *out,
	char *why, size_t cap)
{
	char url[2048];
	struct httpclient_request rq = {.method = "GET",
		.url = url,
		.ca_file = d->args->value[ARG_CA_FILE],
		.timeout_ms = 5000,
		.max_answer = ANSWER_MAX};
	int64_t seconds;

	if (d->args->value[ARG_TIMEOUT] &&
		args_duration(d->args->value[ARG_TIMEOUT], &seconds) == RC_OK)
		rq.timeout_ms = (long)(seconds * 1000);
	(void)snprintf(url, sizeof(url), "%s%s", d->c.public_url, path);
	return httpclient_do(&rq, out, why, cap);
}

static bool says(const struct httpclient_answer *a, const char *word)
{
	return a->body.data && memmem(a->body.data, a->body.len, word, strlen(word));
}

/* As an agent and as a worker would come: through the front. */
static void check_front(struct doctor *d)
{
	struct httpclient_answer a;
	char why[256];

	if (get(d, "/health", &a, why, sizeof(why)) != RC_OK) {
		find(d, "front", FAULT,
			"See that the web server runs, that the name resolves and that the "
			"certificate "
			"is good.",
			"%s/health: %s", d->c.public_url, why);
		return;
	}
	if (a.status == 200 && a.body.len == 2 && says(&a, "ok"))
		find(d, "front", GOOD, "", "%s/health says ok", d->c.public_url);
	else
		find(d, "front", FAULT,
			"See that the web server passes /health and /v1/ to server.run_dir's "
			"fcgi.sock "
			"(docs/install.md).",
			"%s/health answers %d instead of ok", d->c.public_url, a.status);
	httpclient_answer_free(&a);
	/* Without an upgrade the tunnel daemon itself refuses: 400. Others would say 404, 426 or
	 * 502. */
	if (get(d, "/v1/tunnel", &a, why, sizeof(why)) != RC_OK) {
		find(d, "front_tunnel", FAULT, "As above.", "%s/v1/tunnel: %s", d->c.public_url,
			why);
		return;
	}
	if (a.status == 400)
		find(d, "front_tunnel", GOOD, "", "%s/v1/tunnel reaches the tunnel daemon",
			d->c.public_url);
	else
		find(d, "front_tunnel", FAULT,
			"See that the web server passes /v1/tunnel to tunnel.sock with WebSocket "
			"upgrade "
			"(docs/install.md).",
			"%s/v1/tunnel answers %d: it does not reach the tunnel daemon",
			d->c.public_url, a.status);
	httpclient_answer_free(&a);
}

/* --- the report
 * -------------------------------------------------------------------------------------------- */

static void show(struct doctor *d)
{
	struct buf text;
	const json_t *f;
	size_t i;

	buf_init(&text, (size_t)1024 * 1024);
	if (args_has(d->args, ARG_JSON)) {
		json_t *all = json_pack("{s:b, s:O}", "ok", !d->fault, "findings", d->findings);

		print_json(&text, all);
		json_decref(all);
	} else {
		json_array_foreach(d->findings, i, f)
		{
			const char *remedy = json_string_value(json_object_get(f, "remedy"));

			buf_printf(&text, "%-8s %-15s ",
				json_string_value(json_object_get(f, "result")),
				json_string_value(json_object_get(f, "check")));
			print_plain(&text, json_string_value(json_object_get(f, "detail")));
			buf_char(&text, '\n');
			if (remedy)
				buf_printf(&text, "%-24s -> %s\n", "", remedy);
		}
	}
	api_out(&text);
	buf_free(&text);
}

enum status cmd_doctor(const struct args *args)
{
	struct doctor d = {.args = args, .findings = json_array()};

	/* What is wrong is said once, in a finding. */
	log_set_level(LOG_LEVEL_ERROR + 1);
	if (check_config(&d)) {
		check_permissions(&d);
		check_volume(&d, "the state's volume", d.c.state_path, 0);
		check_volume(
			&d, "the audit log's volume", d.c.audit_log_path, d.c.audit_min_free_bytes);
		check_schema(&d);
		check_key(&d);
		check_log(&d);
		check_clock(&d);
		check_socket(&d, "fcgi.sock", "airlock-fcgi-app");
		check_socket(&d, "tunnel.sock", "airlock-tunneld");
		check_tunneld(&d);
		check_front(&d);
	}
	show(&d);
	json_decref(d.findings);
	crypto_identity_wipe(&d.id);
	config_clear(&d.c);
	return d.fault ? STATUS_REFUSED : STATUS_OK;
}
