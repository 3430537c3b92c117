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
#include "cli/doctor_internal.h"
#include "cli/restore_dir.h"
#include "shared/audit_log.h"
#include "shared/clock.h"
#include "shared/config.h"
#include "shared/crypto.h"
#include "shared/db.h"
#include "shared/dispatch.h"
#include "shared/file.h"
#include "shared/httpclient.h"
#include "shared/mem.h"
#include "shared/restoremark.h"
#include "shared/text.h"

#define TEXT_MAX 512
/* A volume with less than this part of it left is worth a word. */
#define DISK_LOW_PERCENT 10
/* One with less than this is as good as full. */
#define DISK_FULL_BYTES 1048576
/* How far rows may be ahead of the clock. */
#define CLOCK_SLACK_MS 5000
#define ANSWER_MAX 65536

static const char *const grade_names[] = {"ok", "warning", "fault", "skipped"};

void doctor_find(struct doctor *d, const char *check, enum doctor_grade grade, const char *remedy,
	const char *fmt, ...)
{
	char detail[TEXT_MAX];
	json_t *j;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	d->fault = d->fault || grade == DOCTOR_FAULT;
	j = json_pack(
		"{s:s, s:s, s:s}", "check", check, "result", grade_names[grade], "detail", detail);
	if (j && *remedy)
		(void)json_object_set_new(j, "remedy", json_string(remedy));
	(void)json_array_append_new(d->findings, j);
}

/* --- a restore -----------------------------------------------------------------------------------
 */

/* What it has put in place so far is judged by nobody: the other checks would advise to start the
 * daemons, or to make what is missing. */
static bool finished_beside(struct doctor *d, const char *path)
{
	char remedy[PATH_MAX + 128];
	struct restoremark m;

	if (!restoremark_find(path, &m))
		return true;
	if (*m.backup)
		(void)snprintf(remedy, sizeof(remedy),
			"Run airlockctl restore '%s' again, unless one is at work. Until it ends "
			"well no daemon starts.",
			m.backup);
	else
		(void)str_copy(remedy, sizeof(remedy),
			"Empty the state, this mark too, and restore a backup; see docs/backup.md. "
			"Until then no daemon starts.");
	doctor_find(d, "restore", DOCTOR_FAULT, remedy,
		"a restore has begun and is not complete: %s", m.path);
	return false;
}

/* Beside config.yaml, even where there is none yet, and beside the audit log that it names. */
static bool check_restore(struct doctor *d, bool have_config)
{
	char left[PATH_MAX], remedy[PATH_MAX + 128];

	if (!d->c.config_path)
		return true; /* the environment is wrong, which is said already */
	if (!finished_beside(d, d->c.config_path) ||
		(have_config && !finished_beside(d, d->c.audit_log_path)))
		return false;
	if (restore_dir_left(d->c.config_path, left)) {
		(void)snprintf(remedy, sizeof(remedy), "rm -r '%s'", left);
		doctor_find(d, "restore", DOCTOR_WARNING, remedy,
			"%s is what a restore unpacked that was killed before it began to put "
			"files in place; the private key may be in it",
			left);
	}
	return true;
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
	if (!check_restore(d, rc == RC_OK)) {
		buf_free(&warnings);
		return false;
	}
	if (rc != RC_OK)
		doctor_find(d, "config", DOCTOR_FAULT,
			"Correct it; conf/config.example.yaml explains every key. Run this with "
			"the "
			"daemons' environment.",
			"%s", err.text);
	else if (warnings.len > 0)
		doctor_find(d, "config", DOCTOR_WARNING,
			"Unset what is not meant, or correct its name.", "%.*s",
			(int)strcspn((const char *)warnings.data, "\n"),
			(const char *)warnings.data);
	else
		doctor_find(d, "config", DOCTOR_GOOD, "", "%s is valid", d->c.config_path);
	buf_free(&warnings);
	if (rc != RC_OK)
		return false;
	if (strncmp(d->c.public_url, "https://", 8) != 0 && !d->c.allow_localhost)
		doctor_find(d, "public_url", DOCTOR_WARNING,
			"End TLS in the web server in front and give AIRLOCK_CP_PUBLIC_URL an "
			"https URL.",
			"%s is not https: keys cross the network in the clear", d->c.public_url);
	if (!d->c.session_secret)
		doctor_find(d, "session_secret", DOCTOR_WARNING,
			"Set AIRLOCK_SESSION_SECRET (openssl rand -hex 32) to sign in to the "
			"console.",
			"AIRLOCK_SESSION_SECRET is not set: only the operator token works");
	if (d->c.demo_tenants && !d->c.allow_localhost)
		doctor_find(d, "demo_tenants", DOCTOR_WARNING,
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
		doctor_find(d, "permissions", DOCTOR_FAULT,
			"Start the daemons once, or run airlockctl init as their user.", "%s: %s",
			path, strerror(errno));
	} else if (st.st_mode & forbidden) {
		*good = false;
		(void)snprintf(remedy, sizeof(remedy), "chmod %s '%s'",
			S_ISDIR(st.st_mode) ? "700" : "600", path);
		doctor_find(d, "permissions", DOCTOR_FAULT, remedy,
			"%s has mode %03o: others may get at it", path,
			(unsigned)(st.st_mode & 0777));
	} else if (st.st_uid != owner) {
		*good = false;
		(void)snprintf(remedy, sizeof(remedy), "chown %ld '%s'", (long)owner, path);
		doctor_find(d, "permissions", DOCTOR_FAULT, remedy,
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
		doctor_find(d, "permissions", DOCTOR_FAULT,
			"Mount the state volume, or run airlockctl init.", "%s: %s",
			d->c.state_path, strerror(errno));
		return;
	}
	check_file(d, dir, 022, st.st_uid, &good);
	check_file(d, d->c.cp_private_key_path, 077, st.st_uid, &good);
	check_file(d, d->c.state_path, 077, st.st_uid, &good);
	check_file(d, d->c.audit_log_path, 027, st.st_uid, &good);
	check_file(d, d->c.snapshot_dir, 077, st.st_uid, &good);
	check_file(d, d->c.config_path, 022, st.st_uid, &good);
	if (good)
		doctor_find(d, "permissions", DOCTOR_GOOD, "",
			"the state in %s is for its owner alone", dir);
}

static void check_volume(struct doctor *d, const char *what, const char *path, int64_t min)
{
	static const char make_room[] =
		"Make room or enlarge the volume; service returns by itself. See "
		"docs/audit-log.md for rotation and retention.";
	struct statvfs v;
	int64_t left;
	int percent;

	if (statvfs(path, &v) != 0) {
		doctor_find(d, "disk", DOCTOR_FAULT, "Mount the state volume.", "%s: %s", path,
			strerror(errno));
		return;
	}
	left = (int64_t)(v.f_bavail * v.f_frsize);
	percent = v.f_blocks > 0 ? (int)(v.f_bavail * 100 / v.f_blocks) : 100;
	if (left < min)
		doctor_find(d, "disk", DOCTOR_FAULT, make_room,
			"%s: %lld bytes are left, fewer than audit.min_free_bytes: calls are "
			"refused",
			what, (long long)left);
	else if (left < DISK_FULL_BYTES)
		doctor_find(d, "disk", DOCTOR_FAULT, make_room, "%s: only %lld bytes are left",
			what, (long long)left);
	else if (v.f_files > 0 && v.f_favail < 1000)
		doctor_find(d, "disk", DOCTOR_FAULT,
			"Remove files or make a file system with more inodes.",
			"%s: only %lld more files can be made", what, (long long)v.f_favail);
	else if (percent < DISK_LOW_PERCENT)
		doctor_find(d, "disk", DOCTOR_WARNING,
			"Make room or enlarge the volume before it is full.", "%s: %d%% is left",
			what, percent);
	else
		doctor_find(d, "disk", DOCTOR_GOOD, "", "%s: %d%% is left, %lld MB", what, percent,
			(long long)(left / 1000000));
}

static void check_schema(struct doctor *d)
{
	struct db_look look;

	if (db_look(d->c.state_path, &look) != RC_OK)
		doctor_find(d, "schema", DOCTOR_FAULT, "Restore a backup: airlockctl restore.",
			"%s can't be read as a database", d->c.state_path);
	else if (!look.sound)
		doctor_find(d, "schema", DOCTOR_FAULT,
			"Stop the daemons and restore a backup: airlockctl restore.",
			"%s is damaged", d->c.state_path);
	else if (look.schema > look.known)
		doctor_find(d, "schema", DOCTOR_FAULT,
			"Install the version that wrote it, or restore a backup.",
			"%s has schema %d, and this version knows %d", d->c.state_path, look.schema,
			look.known);
	else if (look.schema < look.known)
		doctor_find(d, "schema", DOCTOR_WARNING,
			"Restart the daemons: they bring it up to date.",
			"%s has schema %d, and this version %d", d->c.state_path, look.schema,
			look.known);
	else
		doctor_find(d, "schema", DOCTOR_GOOD, "", "the database is sound, schema %d",
			look.schema);
}

static void check_key(struct doctor *d)
{
	d->have_key = crypto_identity_load(d->c.cp_private_key_path, &d->id) == RC_OK;
	if (d->have_key)
		doctor_find(d, "key", DOCTOR_GOOD, "", "%s is an Ed25519 key",
			d->c.cp_private_key_path);
	else
		doctor_find(d, "key", DOCTOR_FAULT,
			"Put the key back from your backup; without it every worker must be "
			"enrolled "
			"again.",
			"%s is no key, or it can't be read", d->c.cp_private_key_path);
}

/* --- the clock
 * ---------------------------------------------------------------------------------------- */

/* When the newest row was written, by the clock that it was written with. After a rotation it is in
 * the file that was closed, until there is another. */
static bool newest_row(const char *path, int64_t *wall_ms)
{
	struct audit_place at = {0};
	struct audit_line line;
	struct audit_log *log;
	uint64_t stamp;
	size_t files;

	*wall_ms = 0;
	if (audit_log_open(path, &log) != RC_OK)
		return false;
	files = audit_log_files(log);
	if (files > 0)
		at.segment = audit_log_file(log, files - 1, &stamp);
	if (files > 0 && audit_log_seek(log, at) == RC_OK)
		while (audit_log_next(log, &line) == RC_OK)
			*wall_ms = line.wall_ms;
	audit_log_close(log);
	return *wall_ms > 0;
}

static void check_clock(struct doctor *d)
{
	struct timex t = {0};
	int64_t newest;
	int state = adjtimex(&t);

	if (newest_row(d->c.audit_log_path, &newest) && newest > clock_wall_ms() + CLOCK_SLACK_MS)
		doctor_find(d, "clock", DOCTOR_FAULT,
			"Set the clock; workers refuse a control plane whose clock is off.",
			"the newest audit row is %lld s in the future",
			(long long)((newest - clock_wall_ms()) / 1000));
	else if (state == TIME_ERROR || (state >= 0 && (t.status & STA_UNSYNC)))
		doctor_find(d, "clock", DOCTOR_WARNING,
			"Run a time service (systemd-timesyncd, chrony) on this machine or its "
			"host.",
			"the kernel says that the clock is not synchronised");
	else
		doctor_find(d, "clock", DOCTOR_GOOD, "", "no audit row is in the future");
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
		doctor_find(d, "socket", DOCTOR_FAULT, "Give server.run_dir a shorter path.",
			"%s in %s: the path is too long", name, d->c.run_dir);
	else if (connects(path))
		doctor_find(d, "socket", DOCTOR_GOOD, "", "%s answers on %s", program, path);
	else
		doctor_find(d, "socket", DOCTOR_FAULT, remedy, "%s: %s", path, strerror(errno));
}

/* Daemons that were not all restarted after an upgrade. False: it is the same version as this. */
static bool other_version(
	struct doctor *d, const char *check, const char *program, const char *version)
{
	if (!strcmp(version, AIRLOCK_VERSION))
		return false;
	doctor_find(d, check, DOCTOR_WARNING, "Restart the daemons after an upgrade.",
		"%s is version %.40s, and this is %s", program, version, AIRLOCK_VERSION);
	return true;
}

/* What the tunnel daemon says of the pool processes that are connected to it. */
static void check_pool(struct doctor *d, const struct msg *pong)
{
	char version[64];

	if (msg_str(pong, "pool_version", version, sizeof(version)) == RC_OK &&
		!other_version(d, "pool", "airlock-fcgi-app", version))
		doctor_find(d, "pool", DOCTOR_GOOD, "", "version %.40s", version);
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
		doctor_find(d, "tunneld", DOCTOR_FAULT,
			"Start airlock-tunneld, and run this as its user: the socket is for it "
			"alone.",
			"%s does not answer", path);
		dispatch_close(conn);
		return;
	}
	if (msg_str(&pong, "version", version, sizeof(version)) != RC_OK)
		*version = '\0';
	if (!msg_flag(&pong, "audit_ok"))
		doctor_find(d, "tunneld", DOCTOR_FAULT,
			"Its log says why: mostly the disk is full.",
			"the audit log can't be written, so calls are refused");
	else if (!other_version(d, "tunneld", "airlock-tunneld", version))
		doctor_find(d, "tunneld", DOCTOR_GOOD, "",
			"version %.40s, the audit log can be written", version);
	check_pool(d, &pong);
	doctor_audit_archive(d, &pong);
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
	static const char pass_on[] =
		"See that the web server passes /v1/tunnel to tunnel.sock with WebSocket upgrade "
		"(docs/install.md).";
	struct httpclient_answer a;
	char why[256];

	if (get(d, "/health", &a, why, sizeof(why)) != RC_OK) {
		doctor_find(d, "front", DOCTOR_FAULT,
			"See that the web server runs, that the name resolves and that the "
			"certificate "
			"is good.",
			"%s/health: %s", d->c.public_url, why);
		return;
	}
	if (a.status == 200 && a.body.len == 2 && says(&a, "ok"))
		doctor_find(d, "front", DOCTOR_GOOD, "", "%s/health says ok", d->c.public_url);
	else
		doctor_find(d, "front", DOCTOR_FAULT,
			"See that the web server passes /health and /v1/ to server.run_dir's "
			"fcgi.sock "
			"(docs/install.md).",
			"%s/health answers %d instead of ok", d->c.public_url, a.status);
	httpclient_answer_free(&a);
	/* Without an upgrade the tunnel daemon itself refuses: 400. Others would say 404, 426 or
	 * 502. */
	if (get(d, "/v1/tunnel", &a, why, sizeof(why)) != RC_OK) {
		doctor_find(d, "front_tunnel", DOCTOR_FAULT, pass_on, "%s/v1/tunnel: %s",
			d->c.public_url, why);
		return;
	}
	if (a.status == 400)
		doctor_find(d, "front_tunnel", DOCTOR_GOOD, "",
			"%s/v1/tunnel reaches the tunnel daemon", d->c.public_url);
	else
		doctor_find(d, "front_tunnel", DOCTOR_FAULT, pass_on,
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
		doctor_audit_log(&d);
		doctor_audit_index(&d);
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
