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
#include "cli/audit_files.h"
#include "cli/backup_file.h"
#include "shared/audit_chain.h"
#include "shared/audit_reader.h"
#include "shared/clock.h"
#include "shared/config.h"
#include "shared/crypto.h"
#include "shared/db.h"
#include "shared/file.h"
#include "shared/mem.h"
#include "shared/sidecar.h"
#include "shared/text.h"

#define CONFIG_MAX ((size_t)262144)
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

/* The last row of a file. RC_NOTFOUND: it has none. */
static enum rc read_head(const struct audit_files *f, size_t i, struct head *h)
{
	struct audit_reader *in = audit_files_reader(f, i);
	int64_t end = f->file[i].size - END_MAX, ms;
	uint8_t hash[CRYPTO_HASH_LEN];
	bool there = false, row = true;
	const char *line;
	size_t len;
	enum rc rc = RC_OK;

	/* Of the current file, which is plain, the end is enough; the first line is a part of one.
	 */
	if (f->current && i == f->count - 1 && end > 0 &&
		(rc = audit_reader_seek(in, end)) == RC_OK)
		rc = audit_reader_line(in, &line, &len);
	while (rc == RC_OK && (rc = audit_reader_line(in, &line, &len)) == RC_OK) {
		there = true;
		row = audit_line_head(line, len, &h->seq, &ms);
		crypto_sha256(line, len, hash);
	}
	audit_reader_close(in);
	if (rc != RC_NOTFOUND || !there)
		return rc;
	text_hex(hash, sizeof(hash), h->hash);
	return row ? RC_OK : RC_INVALID;
}

/* Right after a rotation the head is in the last closed file. */
static enum rc find_head(const struct audit_files *f, struct head *h)
{
	enum rc rc = RC_NOTFOUND;

	h->seq = 0;
	memset(h->hash, '0', AUDIT_HASH_LEN);
	h->hash[AUDIT_HASH_LEN] = '\0';
	for (size_t i = f->count; rc == RC_NOTFOUND && i > 0; i--)
		rc = read_head(f, i - 1, h);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum status put_log(struct source *s)
{
	const char *path = s->c->audit_log_path;
	char name[BACKUP_NAME_MAX + 1];
	struct audit_files f;
	bool ok = audit_files_open(path, &f) == RC_OK && f.current &&
		find_head(&f, &s->head) == RC_OK;

	for (size_t i = 0; ok && i < f.count; i++) {
		const struct audit_file *file = &f.file[i];
		const char *slash = strrchr(file->path, '/');
		bool current = i == f.count - 1;

		(void)snprintf(name, sizeof(name), "audit/%s",
			current         ? "audit.jsonl"
				: slash ? slash + 1
					: file->path);
		backup_out_file(s->out, name, file->fd, file->size);
	}
	audit_files_close(&f);
	return ok ? STATUS_OK : cannot(path, "the audit log can't be read");
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
