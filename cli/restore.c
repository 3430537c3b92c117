/* restore: a backup back into an empty state. Everything is unpacked and proved in a directory of
 * its own first; only then are the files moved to their places. From before the first move until
 * nothing is left to do, marks (shared/restoremark.h) keep daemons from starting on half of it, and
 * let a restore of the same backup complete it. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/api.h"
#include "cli/audit_verify.h"
#include "cli/backup_file.h"
#include "cli/restore_dir.h"
#include "cli/restore_plan.h"
#include "shared/config.h"
#include "shared/crypto.h"
#include "shared/db.h"
#include "shared/file.h"
#include "shared/firstboot.h"
#include "shared/mem.h"
#include "shared/restoremark.h"
#include "shared/text.h"

#define CONFIG_MAX ((size_t)262144)

struct restore {
	char backup[PATH_MAX]; /* its file, absolute */
	char digest[RESTOREMARK_DIGEST_LEN + 1]; /* of its manifest: what tells backups apart */
	struct restore_dir dir; /* where it is unpacked */
	json_t *manifest;
	struct config c;
	uint8_t key[CRYPTO_PUBLIC_LEN];
	bool with_key;
	struct restore_plan *plan;
	/* config.yaml and, where that lies in another directory, the log: beside them are the boot
	 * locks (-1: not held) and the marks. */
	const char *places[2];
	size_t place_count;
	int locks[2];
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

/* --- proving --------------------------------------------------------------------------------- */

/* The same for a backup that was moved, or compressed. */
static bool take_digest(struct restore *r)
{
	uint8_t hash[CRYPTO_HASH_LEN];
	char *text = json_dumps(r->manifest, JSON_SORT_KEYS | JSON_COMPACT);

	if (!text)
		return false;
	crypto_sha256(text, strlen(text), hash);
	text_hex(hash, sizeof(hash), r->digest);
	free(text);
	return true;
}

static enum status unpack(struct restore *r, const char *file)
{
	struct config_error err;
	struct buf warnings;
	char why[512];
	struct config env = {0};
	enum status status = STATUS_OK;

	/* Beside config.yaml, which is on the state volume. */
	buf_init(&warnings, 65536);
	if (config_load_env(&env, environ, &warnings, &err) != RC_OK)
		status = cannot("the environment", err.text);
	else if (!realpath(file, r->backup))
		status = cannot(file, strerror(errno));
	else if (restore_dir_make(env.config_path, &r->dir) != RC_OK)
		status = cannot(env.config_path, strerror(errno));
	else if (backup_read(file, r->dir.path, &r->manifest, why, sizeof(why)) != RC_OK)
		status = cannot("this backup can't be restored", why);
	else if (!take_digest(r))
		status = cannot(file, "no memory");
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
	if (!join(path, r->dir.path, "config.yaml") ||
		file_read(path, CONFIG_MAX, &text, &len) != RC_OK)
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
static enum status check_log(const char *log, const struct audit_chain_options *o)
{
	enum status status = STATUS_OK;
	struct audit_files f;
	struct audit_verify v;

	if (o->expect_seq == 0)
		return STATUS_OK; /* nothing was ever written */
	if (audit_verify_log(log, AUDIT_VERIFY_WHOLE, o, &f, &v) != RC_OK)
		status = cannot(v.file, strerror(errno));
	/* A log that is younger than its first checkpoint has no signature yet. */
	else if (v.chain.fault && !(v.chain.fault == AUDIT_FAULT_UNSIGNED && !v.chain.checkpoints))
		status = cannot("the audit log in the backup", v.chain.why);
	audit_files_close(&f);
	return status;
}

/* The key is in the backup, or the operator has put it in its place before. */
static enum status check_key(const struct restore *r)
{
	char path[PATH_MAX];
	struct crypto_identity id;
	enum rc rc;

	if (!join(path, r->dir.path, "cp_ed25519.pem"))
		return cannot(r->dir.path, "the path is too long");
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

	if (status == STATUS_OK && !join(path, r->dir.path, "state.db"))
		status = cannot(r->dir.path, "the path is too long");
	if (status == STATUS_OK && (db_look(path, &look) != RC_OK || !look.sound))
		status = cannot("state.db", "the database in the backup is damaged");
	if (status == STATUS_OK && look.schema > look.known)
		status = cannot("state.db", "a newer version wrote this backup: install that one");
	if (status == STATUS_OK && join(path, r->dir.path, "audit/audit.jsonl"))
		status = check_log(path, &o);
	if (status == STATUS_OK)
		status = read_config(r);
	if (status == STATUS_OK)
		status = check_key(r);
	return status;
}

/* --- putting in place ------------------------------------------------------------------------ */

static enum status lock_beside(const char *path, int *lock)
{
	char dir[PATH_MAX];

	if (!file_dir(path, dir))
		return cannot(path, "the path is too long");
	if (file_make_dirs(dir, 0700) != RC_OK)
		return cannot(dir, strerror(errno));
	*lock = firstboot_lock(path);
	return *lock >= 0 ? STATUS_OK : cannot(dir, strerror(errno));
}

/* Daemons take the two locks one after the other and never both, so they can't block us for good.
 */
static enum status take_locks(struct restore *r)
{
	enum status status = lock_beside(r->c.config_path, &r->locks[0]);

	r->places[r->place_count++] = r->c.config_path;
	if (status != STATUS_OK || file_same_dir(r->c.config_path, r->c.audit_log_path))
		return status;
	r->places[r->place_count++] = r->c.audit_log_path;
	return lock_beside(r->c.audit_log_path, &r->locks[1]);
}

/* *again: a restore of this backup was killed here. One of another backup has to be completed, or
 * cleared away by who knows that it is not wanted: what it has put in place looks like any state.
 */
static enum status look_for_mark(const struct restore *r, const char *beside, bool *again)
{
	char why[PATH_MAX + 256];
	struct restoremark m;

	if (!restoremark_find(beside, &m))
		return STATUS_OK;
	if (strcmp(m.digest, r->digest) == 0) {
		*again = true;
		return STATUS_OK;
	}
	(void)snprintf(why, sizeof(why),
		"a restore of %s has begun here and is not complete: restore that again, or empty "
		"the state, this mark too, to restore another backup",
		*m.backup ? m.backup : "another backup");
	return cannot(m.path, why);
}

/* Beside config.yaml first: that is where daemons look before anything else. */
static enum status lay_marks(const struct restore *r)
{
	for (size_t i = 0; i < r->place_count; i++)
		if (restoremark_lay(r->places[i], r->digest, r->backup) != RC_OK)
			return cannot(r->places[i], strerror(errno));
	return STATUS_OK;
}

static enum status remove_marks(const struct restore *r)
{
	for (size_t i = r->place_count; i-- > 0;)
		if (restoremark_remove(r->places[i]) != RC_OK)
			return cannot(r->places[i], strerror(errno));
	return STATUS_OK;
}

static enum status settle(struct restore *r)
{
	bool again = false;
	enum status status = take_locks(r);

	for (size_t i = 0; status == STATUS_OK && i < r->place_count; i++)
		status = look_for_mark(r, r->places[i], &again);
	if (status == STATUS_OK)
		status = restore_plan_check(r->plan, again);
	if (status != STATUS_OK)
		return status;
	status = lay_marks(r);
	if (status != STATUS_OK && !again)
		(void)remove_marks(r); /* nothing is in its place yet */
	if (status == STATUS_OK)
		status = restore_plan_place(r->plan);
	if (status != STATUS_OK)
		return status;
	/* What is left there may hold the private key, and nobody would clear it once the marks are
	 * gone. */
	restore_dir_remove(&r->dir);
	return remove_marks(r);
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

	r->dir.hold = r->locks[0] = r->locks[1] = -1;
	status = unpack(r, args->operand[0]);
	if (status == STATUS_OK)
		status = prove(r);
	if (status == STATUS_OK) {
		r->plan = restore_plan_new(r->dir.path, r->manifest, &r->c);
		status = r->plan ? settle(r) : STATUS_REFUSED;
	}
	if (status == STATUS_OK)
		status = show(args, r);
	restore_dir_remove(&r->dir);
	for (size_t i = 0; i < 2; i++)
		if (r->locks[i] >= 0)
			(void)close(r->locks[i]);
	restore_plan_free(r->plan);
	json_decref(r->manifest);
	config_clear(&r->c);
	free(r);
	return status;
}
