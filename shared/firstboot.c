#include "shared/firstboot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/file.h"
#include "shared/log.h"
#include "shared/store.h"

static void make_dirs(const char *path, unsigned mode)
{
	if (file_make_dirs(path, mode) != RC_OK)
		die("can't make the directory %s: %s", path, strerror(errno));
}

static void make_parent(const char *path)
{
	char dir[PATH_MAX];

	if (!file_dir(path, dir))
		die("%s: the path is too long", path);
	make_dirs(dir, 0700);
}

/* The mark of a restore is looked for again: config.yaml may lie elsewhere than the state. */
static int lock_state(const struct config *c)
{
	int lock = firstboot_lock(c->audit_log_path);

	if (lock < 0)
		die("can't lock .boot.lock beside %s: %s; is the state volume writable?",
			c->audit_log_path, strerror(errno));
	firstboot_refuse_restoring(c->audit_log_path);
	return lock;
}

/* An empty file with the mode we want: the audit log to append to, and the database, whose mode
 * SQLite passes on to its -wal and -shm files. */
static void make_empty(const char *path, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	if (fd >= 0) {
		if (fchmod(fd, mode) != 0 || fsync(fd) != 0 || file_sync_dir(path) != RC_OK)
			die("can't make %s: %s", path, strerror(errno));
		close(fd);
	} else if (errno != EEXIST) {
		die("can't make %s: %s", path, strerror(errno));
	}
}

static void make_identity(const struct config *c)
{
	struct crypto_identity id;
	struct stat st;
	const char *path = c->cp_private_key_path;

	if (stat(c->state_path, &st) == 0 && st.st_size > 0)
		log_warn("%s is missing beside an existing database: a new key is made, and every "
			 "worker must be "
			 "enrolled again, unless the old key is put back",
			path);
	file_sweep(path);
	crypto_identity_new(&id);
	enum rc rc = crypto_identity_save(&id, path);
	int why = errno;
	crypto_identity_wipe(&id);
	if (rc != RC_OK && rc != RC_CONFLICT)
		die("can't make the key %s: %s", path, strerror(why));
	log_info("made the control plane's key %s", path);
}

static void load_identity(const struct config *c, struct crypto_identity *id)
{
	const char *path = c->cp_private_key_path;
	enum rc rc = crypto_identity_load(path, id);

	if (rc == RC_NOTFOUND) {
		make_identity(c);
		rc = crypto_identity_load(path, id);
	}
	if (rc == RC_OK)
		return;
	if (rc == RC_DENIED)
		die("the key %s must be readable by its owner alone: chmod 600 it, and chown it to "
		    "the user of the "
		    "daemons",
			path);
	if (rc == RC_INVALID)
		die("%s is not an Ed25519 private key in PKCS#8 PEM", path);
	die("can't read the key %s: %s", path, strerror(errno));
}

static void import_state(const struct config *c, struct db *db)
{
	char why[512];

	if (!c->import_path || access(c->import_path, F_OK) != 0)
		return; /* a new volume: AIRLOCK_CP_STATE_PATH only says where state.db goes */
	if (state_import(db, c->import_path, why, sizeof(why)) != RC_OK)
		die("can't import %s: %s", c->import_path, why);
}

static void prepare_database(const struct config *c)
{
	struct db *db;

	make_empty(c->state_path, 0600);
	if (db_open(c->state_path, &db) != RC_OK)
		die("can't open the database %s", c->state_path);
	if (db_migrate(db) != RC_OK)
		die("can't bring the database %s up to date", c->state_path);
	import_state(c, db);
	if (c->demo_tenants && state_register_demo(db) != RC_OK)
		die("can't register the demo tenants in %s", c->state_path);
	db_close(db);
}

void firstboot(const struct config *c, struct crypto_identity *id)
{
	make_parent(c->audit_log_path);
	int lock = lock_state(c);

	make_parent(c->cp_private_key_path);
	make_parent(c->state_path);
	make_dirs(c->snapshot_dir, 0700);
	make_dirs(c->run_dir, 0750);
	load_identity(c, id);
	prepare_database(c);
	make_empty(c->audit_log_path, 0640);
	close(lock);
}
