/* audit_files: the files of one audit log as they are at one moment, while it is written, rotated,
 * compressed and deleted: all open, so that none is lost while they are read. Not looked at is what
 * is in them. */
#ifndef CLI_AUDIT_FILES_H
#define CLI_AUDIT_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/audit_reader.h"
#include "shared/rc.h"

struct audit_file {
	char *path;
	int fd;
	int64_t first; /* the row that it begins with, by the names of the closed ones */
	int64_t size; /* of the current one whole lines only */
};

struct audit_files {
	struct audit_file *file; /* the closed ones, oldest first, and the current one */
	size_t count;
	bool current; /* the last one is it; false: there is none */
	bool written; /* somebody has it open for writing */
	bool torn; /* a piece of a line comes after its whole ones, and nobody writes it */
};

/* path names the current file. Close it also where it fails: RC_NOTFOUND: there is no file of it;
 * RC_UNAVAILABLE with errno. */
enum rc audit_files_open(const char *path, struct audit_files *out) MUST_CHECK;
void audit_files_close(struct audit_files *f);
/* The lines of one of them; one reader of a file at a time, and none after audit_files_close(). */
struct audit_reader *audit_files_reader(const struct audit_files *f, size_t i);

#endif
