/* A backup is a file from anywhere: reading one, without unpacking it. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/backup_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64], why[256];
	json_t *manifest = NULL;
	int fd = memfd_create("backup", MFD_CLOEXEC);

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd >= 0 && write(fd, data, size) == (ssize_t)size &&
		backup_read(path, NULL, &manifest, why, sizeof(why)) == RC_OK)
		json_decref(manifest);
	if (fd >= 0)
		(void)close(fd);
	return 0;
}
