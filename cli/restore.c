/* restore: a backup back into an empty state. Everything is unpacked and proved in a directory of
 * its own first; only then are the files moved to their places, config.yaml last. From the first
 * move to the last a mark (FIRSTBOOT_RESTORING) keeps daemons from starting on half of it, and lets
 * the next restore begin anew. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/api.h"
#include "cli/audit_verify.h"
#include "cli/backup_file.h"
#include "shared/audit_reader.h"
#include "shared/audit_segments.h"
#include "shared/config.h"
#include "shared/crypto.h"
#include "shared/db.h"
#include "shared/file.h"
#include "shared/firstboot.h"
#include "shared/mem.h"
#include "shared/text.h"

#define CONFIG_MAX ((size_t)262144)

struct restore {
	char dir[PATH_MAX]; /* where it is unpacked */
	char mark[PATH_MAX];
	json_t *manifest;
	struct config c;
	uint8_t key[CRYPTO_PUBLIC_LEN];
	bool with_key;
	int lock;
};

static enum status cannot(const char *what, const char *why)
{
	fprintf(stderr, "airlockctl: %s: %s\n", what, why);
	return STATUS_REFUSED;
}

static bool join(char out[PATH_MAX], const char *dir, const char *name)
{
	return snprintf(out, PATH_MAX, "%s/%s", dir, name) < PATH_MAX;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static void remove_tree(const char *dir)
{
	(void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* What a killed restore left unpacked may hold the private key. */
static void sweep(const char *parent)
{
	char pattern[PATH_MAX];
	glob_t found;

	if (!join(pattern, parent, ".restore-??????") || glob(pattern, 0, NULL, &found) != 0)
		return;
	for (size_t i = 0; i < found.gl_pathc; i++)
		remove_tree(found.gl_pathv[i]);
	globfree(&found);
}

/* --- proving --------------------------------------------------------------------------------- */

static enum status unpack(struct restore *r, const char *file)
{
	struct config_error err;
	struct buf warnings;
	char why[512], parent[PATH_MAX];
	struct config env = {0};
	enum status status = STATUS_OK;

	/* Beside config.yaml, which is on the state volume. */
	buf_init(&warnings, 65536);
	if (config_load_env(&env, environ, &warnings, &err) != RC_OK)
		status = cannot("the environment", err.text);
	else if (!file_dir(env.config_path, parent) || !join(r->dir, parent, ".restore-XXXXXX"))
		status = cannot(env.config_path, "the path is too long");
	else if (sweep(parent), file_make_dirs(parent, 0700) != RC_OK || !mkdtemp(r->dir))
		status = cannot(parent, strerror(errno));
	if (status != STATUS_OK)
		r->dir[0] = '\0';
	else if (backup_read(file, r->dir, &r->manifest, why, sizeof(why)) != RC_OK)
		status = cannot("this backup can't be restored", why);
	buf_free(&warnings);
	config_clear(&env);
	return status;
}

static enum status read_config(struct restore *r)
{
	char path[PATH_MAX], *text = NULL;
	struct config_error err;
	struct buf warnings;
	size_t len;
	enum status status = STATUS_OK;

	buf_init(&warnings, 65536);
	if (!join(path, r->dir, "config.yaml") || file_read(path, CONFIG_MAX, &text, &len) != RC_OK)
		status = cannot("config.yaml", "the backup has none");
	else if (config_try(text, len, &r->c, &warnings, &err) != RC_OK)
		status = cannot("the configuration in the backup", err.text);
	buf_free(&warnings);
	free(text);
	return status;
}

static enum status read_manifest(struct restore *r, struct audit_chain_options *o)
{
	const char *kind, *key, *hash;
	json_int_t seq;
	size_t key_len = 0;
	int format, with_key;

	if (json_unpack(r->manifest, "{s:s, s:i, s:s, s:b, s:{s:I, s:s}}", "kind", &kind, "format",
		    &format, "public_key", &key, "with_key", &with_key, "head", "seq", &seq, "hash",
		    &hash) != 0 ||
		strcmp(kind, "airlock-cp backup") != 0)
		return cannot("manifest.json", "this is no manifest of a backup");
	if (format != 1)
		return cannot("manifest.json", "a newer version wrote this backup");
	if (text_unb64(key, strlen(key), r->key, sizeof(r->key), &key_len) != RC_OK ||
		key_len != sizeof(r->key) ||
		text_unhex(hash, o->expect_hash, sizeof(o->expect_hash)) != RC_OK || seq < 0)
		return cannot("manifest.json", "this is no manifest of a backup");
	r->with_key = with_key;
	o->expect_seq = seq;
	o->have_key = true;
	memcpy(o->key, r->key, sizeof(o->key));
	return STATUS_OK;
}

/* What was archived and removed is not in the backup either: the log begins where it begins. */
static int64_t first_seq(const char *const *paths, size_t count)
{
	struct audit_reader *in;
	const char *line;
	int64_t seq = 1, ms;
	bool found = false;
	size_t len;

	for (size_t i = 0; i < count && !found; i++) {
		if (audit_reader_open(paths[i], &in) != RC_OK)
			break;
		found = audit_reader_line(in, &line, &len) == RC_OK;
		if (!found || !audit_line_head(line, len, &seq, &ms))
			seq = 1;
		audit_reader_close(in);
	}
	return seq;
}

static enum status check_log(const char *log, const struct audit_chain_options *o)
{
	struct audit_segment *segments = NULL;
	struct audit_chain_options options = *o;
	const char **paths;
	size_t count = 0;
	struct audit_verify v;
	enum status status = STATUS_OK;

	if (o->expect_seq == 0)
		return STATUS_OK; /* nothing was ever written */
	if (audit_segments_list(log, &segments, &count) != RC_OK)
		return cannot(log, strerror(errno));
	paths = xcalloc(count + 1, sizeof(*paths));
	for (size_t i = 0; i < count; i++)
		paths[i] = segments[i].path;
	paths[count] = log;
	options.first_seq = first_seq(paths, count + 1);
	if (audit_verify(paths, count + 1, &options, &v) != RC_OK)
		status = cannot(v.file, strerror(errno));
	/* A log that is younger than its first checkpoint has no signature yet. */
	else if (v.chain.fault && !(v.chain.fault == AUDIT_FAULT_UNSIGNED && !v.chain.checkpoints))
		status = cannot("the audit log in the backup", v.chain.why);
	free(paths);
	audit_segments_free(segments, count);
	return status;
}

/* The key is in the backup, or the operator has put it in its place before. */
static enum status check_key(const struct restore *r)
{
	char path[PATH_MAX];
	struct crypto_identity id;
	enum rc rc;

	if (!join(path, r->dir, "cp_ed25519.pem"))
		return cannot(r->dir, "the path is too long");
	if (!r->with_key)
		(void)str_copy(path, sizeof(path), r->c.cp_private_key_path);
	rc = crypto_identity_load(path, &id);
	if (rc != RC_OK && !r->with_key)
		return cannot(path,
			"the backup was made without the private key: put the key here, mode 0600, "
			"then restore again");
	if (rc != RC_OK)
		return cannot("cp_ed25519.pem", "this is no key");
	rc = memcmp(id.public_key, r->key, sizeof(r->key)) == 0 ? RC_OK : RC_INVALID;
	crypto_identity_wipe(&id);
	return rc == RC_OK ? STATUS_OK
			   : cannot(path, "this is not the key that the backup was made with");
}

static enum status prove(struct restore *r)
{
	struct audit_chain_options o = {0};
	char path[PATH_MAX];
	struct db_look look;
	enum status status = read_manifest(r, &o);

	if (status == STATUS_OK && !join(path, r->dir, "state.db"))
		status = cannot(r->dir, "the path is too long");
	if (status == STATUS_OK && (db_look(path, &look) != RC_OK || !look.sound))
		status = cannot("state.db", "the database in the backup is damaged");
	if (status == STATUS_OK && look.schema > look.known)
		status = cannot("state.db", "a newer version wrote this backup: install that one");
	if (status == STATUS_OK && join(path, r->dir, "audit/audit.jsonl"))
		status = check_log(path, &o);
	if (status == STATUS_OK)
		status = read_config(r);
	if (status == STATUS_OK)
		status = check_key(r);
	return status;
}

/* --- is there room? -----------------------------------------------------------------------------
 */

static bool dir_empty(const char *path)
{
	const struct dirent *e;
	DIR *d = opendir(path);
	bool empty = true;

	while (d && empty && (e = readdir(d)))
		empty = e->d_name[0] == '.';
	if (d)
		(void)closedir(d);
	return empty;
}

static enum status taken(const char *path)
{
	return cannot(path, "it is there already; a backup is restored into an empty state only");
}

static enum status check_empty(const struct restore *r)
{
	const struct config *c = &r->c;
	const char *paths[] = {c->config_path, c->state_path, c->audit_log_path,
		r->with_key ? c->cp_private_key_path : NULL};
	struct audit_segment *segments = NULL;
	size_t count = 0;
	enum status status = STATUS_OK;

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (paths[i] && access(paths[i], F_OK) == 0)
			return taken(paths[i]);
	if (audit_segments_list(c->audit_log_path, &segments, &count) == RC_OK && count > 0)
		status = taken(segments[0].path);
	audit_segments_free(segments, count);
	if (status == STATUS_OK && !dir_empty(c->snapshot_dir))
		status = taken(c->snapshot_dir);
	return status;
}

/* --- moving -------------------------------------------------------------------------------------
 */

static enum status copy_over(const char *from, const char *to)
{
	char *bytes;
	size_t len;
	enum rc rc = file_read(from, SIZE_MAX / 2, &bytes, &len);

	if (rc != RC_OK)
		return cannot(from, strerror(errno));
	rc = file_write_atomic(to, bytes, len, 0600);
	mem_wipe(bytes, len);
	free(bytes);
	return rc == RC_OK ? STATUS_OK : cannot(to, strerror(errno));
}

static enum status move(const char *from, const char *to)
{
	char parent[PATH_MAX];

	if (!file_dir(to, parent))
		return cannot(to, "the path is too long");
	if (file_make_dirs(parent, 0700) != RC_OK)
		return cannot(parent, strerror(errno));
	if (rename(from, to) == 0)
		return file_sync_dir(to) == RC_OK ? STATUS_OK : cannot(to, strerror(errno));
	return errno == EXDEV ? copy_over(from, to) : cannot(to, strerror(errno));
}

/* Moves the files of from below to, one level deep and what is below that. */
static enum status move_all(const char *from, const char *to)
{
	char source[PATH_MAX], target[PATH_MAX];
	const struct dirent *e;
	struct stat st;
	DIR *d = opendir(from);
	enum status status = STATUS_OK;

	while (d && status == STATUS_OK && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		if (!join(source, from, e->d_name) || !join(target, to, e->d_name) ||
			lstat(source, &st) != 0)
			status = cannot(e->d_name, "it can't be moved");
		else if (S_ISDIR(st.st_mode))
			status = move_all(source, target);
		else
			status = move(source, target);
	}
	if (d)
		(void)closedir(d);
	return status;
}

/* The log may be called otherwise in its configuration than in the backup. */
static enum status move_log(const struct restore *r)
{
	char from[PATH_MAX], dir[PATH_MAX], current[PATH_MAX];

	if (!join(from, r->dir, "audit") || !join(current, from, "audit.jsonl") ||
		!file_dir(r->c.audit_log_path, dir))
		return cannot(r->c.audit_log_path, "the path is too long");
	if (move(current, r->c.audit_log_path) != STATUS_OK)
		return STATUS_REFUSED;
	return move_all(from, dir);
}

static enum status move_one(const struct restore *r, const char *name, const char *to)
{
	char from[PATH_MAX];

	return join(from, r->dir, name) ? move(from, to) : cannot(to, "the path is too long");
}

static enum status put_in_place(const struct restore *r)
{
	char from[PATH_MAX];
	enum status status = move_log(r);

	if (status == STATUS_OK)
		status = move_one(r, "state.db", r->c.state_path);
	if (status == STATUS_OK && r->with_key)
		status = move_one(r, "cp_ed25519.pem", r->c.cp_private_key_path);
	if (status == STATUS_OK && join(from, r->dir, "snapshots"))
		status = move_all(from, r->c.snapshot_dir);
	if (status == STATUS_OK)
		status = move_one(r, "config.yaml", r->c.config_path);
	return status;
}

/* The lock that starting daemons take, and the mark; *again: a restore did not finish here. */
static enum status take_state(struct restore *r, bool *again)
{
	char dir[PATH_MAX];

	if (!file_dir(r->c.audit_log_path, dir) || !join(r->mark, dir, FIRSTBOOT_RESTORING))
		return cannot(r->c.audit_log_path, "the path is too long");
	if (file_make_dirs(dir, 0700) != RC_OK)
		return cannot(dir, strerror(errno));
	r->lock = firstboot_lock(&r->c);
	if (r->lock < 0)
		return cannot(dir, strerror(errno));
	*again = access(r->mark, F_OK) == 0;
	return STATUS_OK;
}

static enum status settle(struct restore *r)
{
	bool again;
	enum status status = take_state(r, &again);

	if (status == STATUS_OK && !again)
		status = check_empty(r);
	if (status == STATUS_OK && file_write_atomic(r->mark, "", 0, 0600) != RC_OK)
		status = cannot(r->mark, strerror(errno));
	if (status == STATUS_OK)
		status = put_in_place(r);
	if (status == STATUS_OK && (unlink(r->mark) != 0 || file_sync_dir(r->mark) != RC_OK))
		status = cannot(r->mark, strerror(errno));
	return status;
}

static enum status show(const struct args *args, const struct restore *r)
{
	const json_t *head = json_object_get(r->manifest, "head");
	char text[128];

	(void)snprintf(text, sizeof(text), "%lld:%s",
		(long long)json_integer_value(json_object_get(head, "seq")),
		json_string_value(json_object_get(head, "hash")));
	return api_show_object(args,
		json_pack("{s:s, s:O, s:O, s:s}", "config", r->c.config_path, "created_at",
			json_object_get(r->manifest, "created_at"), "version",
			json_object_get(r->manifest, "version"), "head", text),
		"config");
}

enum status cmd_restore(const struct args *args)
{
	struct restore *r = xcalloc(1, sizeof(*r));
	enum status status;

	r->lock = -1;
	status = unpack(r, args->operand[0]);
	if (status == STATUS_OK)
		status = prove(r);
	if (status == STATUS_OK)
		status = settle(r);
	if (status == STATUS_OK)
		status = show(args, r);
	if (*r->dir)
		remove_tree(r->dir);
	if (r->lock >= 0)
		(void)close(r->lock);
	json_decref(r->manifest);
	config_clear(&r->c);
	free(r);
	return status;
}
