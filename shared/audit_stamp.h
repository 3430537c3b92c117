/* audit_stamp: the stamps of a bundle (shared/audit_bundle.h): behind each of its checkpoints a
 * line with which the control plane signs every byte of the bundle before it, and which of the rows
 * are there in full; the last one says that it is the end. Here: what a stamp has to say, from the
 * lines of a bundle as they are written or read. The line itself is one of shared/audit_form.h's.
 * Pure. */
#ifndef SHARED_AUDIT_STAMP_H
#define SHARED_AUDIT_STAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/audit_form.h"
#include "shared/buf.h"
#include "shared/crypto.h"

/* The bundle so far. Needs no memory for it but that of the rows' kinds since the last stamp. */
struct audit_stamper {
	struct crypto_hasher *hasher; /* over the bytes since the last stamp */
	int64_t from; /* the bundle's first row */
	int64_t seq; /* its last so far */
	int64_t lines;
	uint8_t header[CRYPTO_HASH_LEN];
	uint8_t digest[CRYPTO_HASH_LEN]; /* of the last stamp */
	uint8_t last[CRYPTO_HASH_LEN]; /* of the last checkpoint's line */
	struct buf runs; /* but for the run that goes on: so many rows of this kind */
	char kind;
	int64_t count;
};

void audit_stamper_init(struct audit_stamper *s);
void audit_stamper_free(struct audit_stamper *s);
/* Begins anew, with the bundle's first line and the row that comes behind it. Lines are given
 * without their newlines. */
void audit_stamper_begin(struct audit_stamper *s, const char *header, size_t len, int64_t from);
/* A row, a checkpoint, or what is left of a row. */
void audit_stamper_line(
	struct audit_stamper *s, const struct audit_form *form, const char *line, size_t len);
/* What the stamp behind the checkpoint that came last has to say; ts, end, key and sig are left
 * empty. out->runs is valid until the next call. RC_LIMIT: more rows than there can be between two
 * checkpoints. Then audit_stamper_stamped() with the stamp's own line. */
enum rc audit_stamper_stamp(struct audit_stamper *s, struct audit_stamp *out) MUST_CHECK;
void audit_stamper_stamped(struct audit_stamper *s, const char *line, size_t len);

/* The first row that two stamps tell different things of: how many rows of the part come before it,
 * and its kinds; '\0' where one of them has no such row. False: they are the same. */
bool audit_stamp_differs(const struct audit_stamp *a, const struct audit_stamp *b, int64_t *row,
	char *kind_a, char *kind_b);

#endif
