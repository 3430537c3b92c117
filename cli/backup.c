/* backup: everything of the state volume that is worth keeping, in one file, while the daemons run.
 *
 * The database is copied first, the audit log up to the head that it has then: so the log is never
 * older than the database, and no change is there without its row. (Rows that the database's outbox
 * still holds and the log has already are recognised at the next start.) */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/api.h"
#include "cli/backup_file.h"
#include "shared/audit_chain.h"
#include "shared/audit_reader.h"
#include "shared/audit_segments.h"
#include "shared/clock.h"
#include "shared/config.h"
#include "shared/crypto.h"
#include "shared/db.h"
#include "shared/file.h"
#include "shared/mem.h"
#include "shared/sidecar.h"
#include "shared/text.h"

#define CONFIG_MAX ((size_t)262144)
/* Segments may be rotated, compressed or expired while they are looked for. */
#define LOOKS 10
/* Longer than the last whole line and a begun one behind it. */
#define END_MAX ((int64_t)2 * AUDIT_LINE_MAX)

struct head {
	int64_t seq;
	char hash[AUDIT_HASH_LEN + 1];
};

struct source {
	const struct config *c;
	struct backup_out *out;
	struct crypto_identity id;
	struct head head;
	int64_t schema;
};

static enum status cannot(const char *what, const char *why)
{
	fprintf(stderr, "airlockctl: %s: %s\n", what, why);
	return STATUS_REFUSED;
}

/* --- the audit log ------------------------------------------------------------------------- */

struct log_files {
	int current; /* audit.jsonl, or -1 */
	int64_t size; /* of it, whole lines only */
	struct audit_segment *segments;
	int *fds; /* of the segments that belong to it, -1 for the others */
	size_t count;
	size_t older; /* the first so many; others were closed after the current file was opened */
};

static void log_files_close(struct log_files *l)
{
	for (size_t i = 0; l->fds && i < l->count; i++)
		if (l->fds[i] >= 0)
			(void)close(l->fds[i]);
	if (l->current >= 0)
		(void)close(l->current);
	free(l->fds);
	audit_segments_free(l->segments, l->count);
	*l = (struct log_files){.current = -1};
}

/* The current file is opened before the others are looked for. What it has by then is the end of
 * the backup, even when it is closed meanwhile and others follow. */
static bool log_files_open(const char *path, struct log_files *l)
{
	struct stat own, st;

	*l = (struct log_files){.current = open(path, O_RDONLY | O_CLOEXEC)};
	if (l->current < 0 || fstat(l->current, &own) != 0 ||
		audit_segments_list(path, &l->segments, &l->count) != RC_OK)
		return false;
	l->size = own.st_size;
	l->fds = xcalloc(l->count + 1, sizeof(*l->fds));
	for (size_t i = 0; i < l->count; i++)
		l->fds[i] = -1;
	for (; l->older < l->count; l->older++) {
		int fd = open(l->segments[l->older].path, O_RDONLY | O_CLOEXEC);

		l->fds[l->older] = fd;
		if (fd < 0 || fstat(fd, &st) != 0)
			return false;
		if (st.st_ino == own.st_ino && st.st_dev == own.st_dev)
			break;
	}
	return true;
}

static bool head_of(const char *line, size_t len, struct head *h)
{
	uint8_t hash[CRYPTO_HASH_LEN];
	int64_t ms;

	if (!audit_line_head(line, len, &h->seq, &ms))
		return false;
	crypto_sha256(line, len, hash);
	text_hex(hash, sizeof(hash), h->hash);
	return true;
}

/* Cuts l->size back to whole lines, and reads the last one. *there: is there any? */
static bool read_end(struct log_files *l, struct head *h, bool *there)
{
	size_t want = l->size > END_MAX ? (size_t)END_MAX : (size_t)l->size;
	char *tail = xmalloc(want + 1), *end, *start;
	bool ok = pread(l->current, tail, want, l->size - (off_t)want) == (ssize_t)want;

	*there = false;
	end = ok ? memrchr(tail, '\n', want) : NULL;
	if (end) {
		l->size -= (int64_t)(tail + want - end - 1);
		start = memrchr(tail, '\n', (size_t)(end - tail));
		start = start ? start + 1 : tail;
		*there = true;
		ok = head_of(start, (size_t)(end - start), h);
	} else {
		l->size = 0;
	}
	free(tail);
	return ok;
}

/* Right after a rotation the head is in the last segment. */
static bool read_segment_end(const char *path, struct head *h)
{
	struct audit_reader *in;
	const char *line;
	size_t len;
	bool ok = false;

	if (audit_reader_open(path, &in) != RC_OK)
		return false;
	while (audit_reader_line(in, &line, &len) == RC_OK)
		ok = head_of(line, len, h);
	audit_reader_close(in);
	return ok;
}

static bool find_head(struct log_files *l, struct head *h)
{
	bool there;

	memset(h->hash, '0', AUDIT_HASH_LEN);
	h->hash[AUDIT_HASH_LEN] = '\0';
	h->seq = 0;
	if (!read_end(l, h, &there))
		return false;
	return there || l->older == 0 || read_segment_end(l->segments[l->older - 1].path, h);
}

static enum status put_log(struct source *s)
{
	const char *path = s->c->audit_log_path;
	char name[BACKUP_NAME_MAX + 1];
	struct log_files l = {.current = -1};
	struct stat st;
	bool ok = false;

	for (int i = 0; i < LOOKS && !ok; i++) {
		log_files_close(&l);
		ok = log_files_open(path, &l) && find_head(&l, &s->head);
	}
	if (!ok) {
		log_files_close(&l);
		return cannot(path, "the audit log can't be read");
	}
	for (size_t i = 0; i < l.older; i++) {
		const char *slash = strrchr(l.segments[i].path, '/');

		if (fstat(l.fds[i], &st) != 0)
			continue;
		(void)snprintf(
			name, sizeof(name), "audit/%s", slash ? slash + 1 : l.segments[i].path);
		backup_out_file(s->out, name, l.fds[i], st.st_size);
	}
	backup_out_file(s->out, "audit/audit.jsonl", l.current, l.size);
	log_files_close(&l);
	return STATUS_OK;
}

/* --- the rest -------------------------------------------------------------------------------- */

/* A database is copied to a file of its own first: SQLite writes at random places. */
static enum status put_database(struct source *s, const char *beside)
{
	char path[PATH_MAX];
	struct db_look look;
	struct stat st;
	int fd = -1;
	enum status status = STATUS_REFUSED;

	if (snprintf(path, sizeof(path), "%s.state.db-%ld", beside, (long)getpid()) >=
		(int)sizeof(path))
		return cannot(beside, "the path is too long");
	if (db_copy(s->c->state_path, path) == RC_OK && db_look(path, &look) == RC_OK &&
		look.sound && (fd = open(path, O_RDONLY | O_CLOEXEC)) >= 0 && fstat(fd, &st) == 0) {
		s->schema = look.schema;
		backup_out_file(s->out, "state.db", fd, st.st_size);
		status = STATUS_OK;
	}
	if (fd >= 0)
		(void)close(fd);
	(void)unlink(path);
	return status == STATUS_OK ? status
				   : cannot(s->c->state_path, "the database can't be copied");
}

static enum status put_whole(struct source *s, const char *name, const char *path)
{
	char *text;
	size_t len;

	if (file_read(path, CONFIG_MAX, &text, &len) != RC_OK)
		return cannot(path, strerror(errno));
	backup_out_bytes(s->out, name, text, len);
	mem_wipe(text, len);
	free(text);
	return STATUS_OK;
}

/* A sidecar that goes away meanwhile has expired. */
static void put_sidecar(struct source *s, const char *tenant, const char *file)
{
	char path[PATH_MAX], name[BACKUP_NAME_MAX + 1];
	char *text;
	size_t len;

	if (snprintf(path, sizeof(path), "%s/%s/%s", s->c->snapshot_dir, tenant, file) >=
			(int)sizeof(path) ||
		snprintf(name, sizeof(name), "snapshots/%s/%s", tenant, file) >=
			(int)sizeof(name) ||
		!backup_name_ok(name) || file_read(path, SIDECAR_MAX, &text, &len) != RC_OK)
		return;
	backup_out_bytes(s->out, name, text, len);
	free(text);
}

static void put_tenant_sidecars(struct source *s, const char *tenant)
{
	char path[PATH_MAX];
	const struct dirent *e;
	DIR *d;

	if (snprintf(path, sizeof(path), "%s/%s", s->c->snapshot_dir, tenant) >= (int)sizeof(path))
		return;
	d = opendir(path);
	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.')
			put_sidecar(s, tenant, e->d_name);
	if (d)
		(void)closedir(d);
}

static enum status put_sidecars(struct source *s)
{
	const struct dirent *e;
	DIR *d = opendir(s->c->snapshot_dir);

	if (!d)
		return errno == ENOENT ? STATUS_OK : cannot(s->c->snapshot_dir, strerror(errno));
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			put_tenant_sidecars(s, e->d_name);
	(void)closedir(d);
	return STATUS_OK;
}

static enum status put_all(struct source *s, const char *path, bool with_key)
{
	char pem[256];
	enum status status = put_database(s, path);

	if (status == STATUS_OK)
		status = put_log(s);
	if (status == STATUS_OK)
		status = put_whole(s, "config.yaml", s->c->config_path);
	if (status == STATUS_OK && with_key)
		status = put_whole(s, "cp_ed25519.pem", s->c->cp_private_key_path);
	if (status == STATUS_OK) {
		if (crypto_public_pem(s->id.public_key, pem, sizeof(pem)) != RC_OK)
			return cannot("the public key", "it can't be written");
		backup_out_bytes(s->out, "cp_ed25519.pub.pem", pem, strlen(pem));
		status = put_sidecars(s);
	}
	return status;
}

static json_t *facts_of(const struct source *s, bool with_key)
{
	char key[TEXT_B64_LEN(CRYPTO_PUBLIC_LEN) + 1], now[CLOCK_TEXT_LEN + 1];

	text_b64(s->id.public_key, sizeof(s->id.public_key), key);
	clock_text(clock_wall_ms(), now);
	return json_pack("{s:s, s:i, s:s, s:s, s:I, s:s, s:b, s:{s:I, s:s}}", "kind",
		"airlock-cp backup", "format", 1, "created_at", now, "version", AIRLOCK_VERSION,
		"schema", (json_int_t)s->schema, "public_key", key, "with_key", with_key, "head",
		"seq", (json_int_t)s->head.seq, "hash", s->head.hash);
}

/* Closes it, reads it back, and gives it its name. */
static enum status finish(
	struct source *s, const struct args *args, const char *path, bool with_key)
{
	json_t *facts = facts_of(s, with_key), *back = NULL, *shown;
	const char *temporary;
	char why[512], head[AUDIT_HASH_LEN + 32];
	enum status status = STATUS_OK;
	enum rc rc;

	if (backup_out_end(s->out, facts, &temporary) != RC_OK)
		status = cannot(path, strerror(errno));
	else if (backup_read(temporary, NULL, &back, why, sizeof(why)) != RC_OK)
		status = cannot("the backup does not read back as it was written", why);
	else if (!json_equal(facts, back))
		status = cannot(path, "the backup does not read back as it was written");
	else if ((rc = backup_out_publish(s->out)) != RC_OK)
		status = cannot(path, rc == RC_CONFLICT ? "it exists already" : strerror(errno));
	if (status == STATUS_OK) {
		(void)snprintf(head, sizeof(head), "%lld:%s", (long long)s->head.seq, s->head.hash);
		shown = json_pack("{s:s, s:I, s:s, s:b}", "file", path, "files",
			(json_int_t)json_array_size(json_object_get(facts, "files")), "head", head,
			"with_key", with_key);
		status = api_show_object(args, shown, "file");
	}
	json_decref(facts);
	json_decref(back);
	return status;
}

enum status cmd_backup(const struct args *args)
{
	const char *path = args->operand[0];
	bool with_key = args_has(args, ARG_WITH_KEY);
	struct source s = {.c = config_open()};
	enum status status;
	enum rc rc = crypto_identity_load(s.c->cp_private_key_path, &s.id);

	if (rc != RC_OK)
		return cannot(s.c->cp_private_key_path, "the control plane's key can't be read");
	rc = backup_out_open(path, &s.out);
	if (rc != RC_OK) {
		crypto_identity_wipe(&s.id);
		return cannot(path, rc == RC_CONFLICT ? "it exists already" : strerror(errno));
	}
	status = put_all(&s, path, with_key);
	if (status == STATUS_OK)
		status = finish(&s, args, path, with_key);
	backup_out_free(s.out);
	crypto_identity_wipe(&s.id);
	return status;
}
