#include "shared/firstboot.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "shared/config_example.h"
#include "shared/file.h"
#include "shared/log.h"
#include "shared/restoremark.h"

/* Apart from firstboot.c so that who only reads the configuration needs no database. */

static bool lock_path(const char *beside, char out[PATH_MAX])
{
	char dir[PATH_MAX];

	if (file_dir(beside, dir) && snprintf(out, PATH_MAX, "%s/.boot.lock", dir) < PATH_MAX)
		return true;
	errno = ENAMETOOLONG;
	return false;
}

/* The kernel releases the lock of a killed one. */
int firstboot_lock(const char *beside)
{
	char path[PATH_MAX];

	return lock_path(beside, path) ? file_lock(path) : -1;
}

void firstboot_refuse_restoring(const char *beside)
{
	struct restoremark m;

	if (!restoremark_find(beside, &m))
		return;
	if (*m.backup)
		die("%s is there: the restore of %s did not finish; run airlockctl restore %s "
		    "again, then start again",
			m.path, m.backup, m.backup);
	die("%s is there: a restore did not finish, and the mark does not say of which backup; see "
	    "docs/backup.md",
		m.path);
}

/* The file is there: on a volume that may be read-only nothing at all is written. A restore makes
 * the lock before its mark, so where there is no lock there is none to wait for. */
static void look_beside(const char *path)
{
	char name[PATH_MAX];
	int lock = lock_path(path, name) ? file_lock_existing(name) : -1;

	firstboot_refuse_restoring(path);
	if (lock >= 0)
		(void)close(lock);
}

enum rc firstboot_config(const char *path)
{
	char dir[PATH_MAX];
	enum rc rc;
	int lock;

	if (access(path, F_OK) == 0) {
		look_beside(path);
		return RC_OK;
	}
	if (!file_dir(path, dir))
		return RC_INVALID;
	rc = file_make_dirs(dir, 0700);
	if (rc != RC_OK)
		return rc;
	lock = firstboot_lock(path);
	if (lock < 0)
		return RC_UNAVAILABLE;
	firstboot_refuse_restoring(path);
	file_sweep(path);
	rc = file_write_new(path, config_example, config_example_len, 0640);
	close(lock);
	return rc == RC_CONFLICT ? RC_OK : rc; /* another daemon was faster */
}
