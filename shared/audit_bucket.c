#include "shared/audit_bucket.h"

#include "shared/varint.h"

/* An entry: how much greater the word is than the one before, then 2 * length and the set, or
 * 2 * place + 1. */

void audit_bucket_put(struct buf *b, uint32_t *last, const struct audit_bucket_entry *e)
{
	varint_put(b, e->word - *last);
	varint_put(b, (uint64_t)e->len << 1 | e->apart);
	if (!e->apart)
		buf_add(b, e->set, e->len);
	*last = e->word;
}

struct audit_bucket_walk audit_bucket_walk(const uint8_t *bytes, size_t len)
{
	return (struct audit_bucket_walk){.at = bytes, .end = bytes + len};
}

bool audit_bucket_next(struct audit_bucket_walk *w, struct audit_bucket_entry *out)
{
	uint64_t step, size;

	if (w->at == w->end || w->wrong)
		return false;
	w->wrong = !varint_get(&w->at, w->end, &step) || step > UINT32_MAX - w->last ||
		!varint_get(&w->at, w->end, &size);
	if (w->wrong)
		return false;
	*out = (struct audit_bucket_entry){
		.word = w->last + (uint32_t)step, .apart = size & 1, .len = (size_t)(size >> 1)};
	if (!out->apart) {
		w->wrong = out->len > (size_t)(w->end - w->at);
		if (w->wrong)
			return false;
		out->set = w->at;
		w->at += out->len;
	}
	w->last = out->word;
	return true;
}

enum rc audit_bucket_find(
	const uint8_t *bytes, size_t len, uint32_t word, struct audit_bucket_entry *out)
{
	struct audit_bucket_walk w = audit_bucket_walk(bytes, len);

	while (audit_bucket_next(&w, out))
		if (out->word >= word)
			return out->word == word ? RC_OK : RC_NOTFOUND;
	return w.wrong ? RC_INVALID : RC_NOTFOUND;
}
