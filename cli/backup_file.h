/* backup_file: the one file of a backup: a tar (pax; its name may end in .zst, then it is
 * compressed) whose last member, manifest.json, names every other with size and SHA-256. Knows no
 * more of what is in it than which names are allowed. <archive.h> is included here only. */
#ifndef CLI_BACKUP_FILE_H
#define CLI_BACKUP_FILE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/rc.h"

#define BACKUP_NAME_MAX 255

struct backup_out;
/* Writes beside path, under a temporary name, mode 0600. RC_CONFLICT: path exists already.
 * RC_UNAVAILABLE with errno. */
enum rc backup_out_open(const char *path, struct backup_out **out) MUST_CHECK;
/* What goes wrong is remembered; backup_out_end() says so. */
void backup_out_bytes(struct backup_out *o, const char *name, const void *bytes, size_t len);
/* The first size bytes of an open file. */
void backup_out_file(struct backup_out *o, const char *name, int fd, int64_t size);
/* Adds the manifest (facts with "files" in it; borrowed), and brings all to the disk, under the
 * temporary name still, which *temporary is set to. RC_UNAVAILABLE with errno, where there is one.
 */
enum rc backup_out_end(struct backup_out *o, json_t *facts, const char **temporary) MUST_CHECK;
/* Gives the file its name. RC_CONFLICT: somebody else has taken it meanwhile. */
enum rc backup_out_publish(struct backup_out *o) MUST_CHECK;
/* Removes what has no name yet. NULL is fine. */
void backup_out_free(struct backup_out *o);

/* Reads a whole backup and holds each member against the manifest; with dir, the members are made
 * there as files with mode 0600 (as long as that is not done, they may be anything). RC_INVALID,
 * RC_UNAVAILABLE: why is a sentence. *manifest is the caller's. */
enum rc backup_read(
	const char *path, const char *dir, json_t **manifest, char *why, size_t why_cap) MUST_CHECK;
/* May a member have that name? Relative, of plain characters, no part of it begins with a dot.
 * Pure. */
bool backup_name_ok(const char *name);

#endif
