/* audit_index_internal: the statements that audit_index.c and audit_index_write.c share. Not for
 * anyone else. */
#ifndef SHARED_AUDIT_INDEX_INTERNAL_H
#define SHARED_AUDIT_INDEX_INTERNAL_H

#include "shared/audit_bucket.h"
#include "shared/audit_index.h"
#include "shared/buf.h"

enum audit_index_query {
	AUDIT_INDEX_LAST,
	AUDIT_INDEX_WHOLE,
	AUDIT_INDEX_BEFORE,
	AUDIT_INDEX_AFTER,
	AUDIT_INDEX_PLACES,
	AUDIT_INDEX_SPAN_BEFORE,
	AUDIT_INDEX_SPAN_AFTER,
	AUDIT_INDEX_BUCKET,
	AUDIT_INDEX_APART,
	AUDIT_INDEX_FRESH,
	AUDIT_INDEX_ADD,
	AUDIT_INDEX_ADD_PLACES,
	AUDIT_INDEX_ADD_SPAN,
	AUDIT_INDEX_ADD_BUCKET,
	AUDIT_INDEX_ADD_APART,
	AUDIT_INDEX_FORGET,
	AUDIT_INDEX_FORGET_PLACES,
	AUDIT_INDEX_FORGET_SPANS,
	AUDIT_INDEX_FORGET_BUCKETS,
	AUDIT_INDEX_FORGET_APART,
	AUDIT_INDEX_FORGET_FRESH_APART,
	AUDIT_INDEX_QUERIES
};

/* Where the bucket of a span is, and a set that is kept apart: that has a number below the number
 * of the span's rows, so no two meet. Merged spans have keys of their own, since they are written
 * while those that they are made of are read. */
static inline int64_t audit_index_bucket_key(int64_t first, bool merged, unsigned bucket)
{
	return first * 1024 + (merged ? 512 : 0) + bucket;
}
static inline int64_t audit_index_apart_key(int64_t first, bool merged, size_t place)
{
	return 2 * (first + (int64_t)place) + merged;
}
_Static_assert(AUDIT_BUCKETS <= 512, "a bucket's key has room for its number");

/* Runs one of our own constant texts. */
enum rc audit_index_run(struct audit_index *ix, const char *text) MUST_CHECK;
/* Runs a statement that gives no rows, its numbers bound from ?1 on, then bytes unless NULL. */
enum rc audit_index_do(struct audit_index *ix, enum audit_index_query q, const int64_t *numbers,
	int count, const struct buf *bytes) MUST_CHECK;
/* Appends the bytes at a key; nothing where there is no such row. */
enum rc audit_index_get_bytes(
	struct audit_index *ix, enum audit_index_query q, int64_t key, struct buf *out) MUST_CHECK;
enum rc audit_index_get_span(struct audit_index *ix, enum audit_index_query q, int64_t number,
	struct audit_index_span *out) MUST_CHECK;
/* COMMIT, or ROLLBACK unless rc is RC_OK. */
enum rc audit_index_end(struct audit_index *ix, enum rc rc) MUST_CHECK;

#endif
