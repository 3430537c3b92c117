#include "shared/firstboot.h"

#include <stdio.h>
#include <unistd.h>

#include "shared/config_example.h"
#include "shared/file.h"

/* Apart from firstboot.c so that who only reads the configuration needs no database. */
enum rc firstboot_config(const char *path)
{
	char dir[PATH_MAX];
	char lock_path[PATH_MAX];

	/* A volume that brings its own file may be read-only: then nothing at all is written. */
	if (access(path, F_OK) == 0)
		return RC_OK;
	if (!file_dir(path, dir))
		return RC_INVALID;
	enum rc rc = file_make_dirs(dir, 0700);
	if (rc != RC_OK)
		return rc;
	int n = snprintf(lock_path, sizeof(lock_path), "%s/.boot.lock", dir);
	if (n < 0 || (size_t)n >= sizeof(lock_path))
		return RC_INVALID;
	int lock = file_lock(lock_path);
	if (lock < 0)
		return RC_UNAVAILABLE;
	file_sweep(path);
	rc = file_write_new(path, config_example, config_example_len, 0640);
	close(lock);
	return rc == RC_CONFLICT ? RC_OK : rc; /* another daemon was faster */
}
