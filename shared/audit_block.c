#include "shared/audit_block.h"

#include <stdlib.h>
#include <string.h>

#include "shared/audit_words.h"
#include "shared/mem.h"
#include "shared/varint.h"

#define PLACES_MAX ((size_t)AUDIT_BLOCK_ROWS * 20)

void audit_block_clear(struct audit_block *b)
{
	buf_free(&b->places);
	free(b->words);
	free(b->spare);
	*b = (struct audit_block){0};
}

void audit_block_reset(struct audit_block *b)
{
	b->rows = b->word_count = 0;
	buf_reset(&b->places);
}

/* --- gathering --------------------------------------------------------------------------- */

static bool add_word(void *ctx, enum audit_word_kind kind, const char *word, size_t len)
{
	struct audit_block *b = ctx;

	if (b->word_count == b->word_cap) {
		b->word_cap = b->word_cap ? 2 * b->word_cap : 65536;
		b->words = xrealloc(b->words, b->word_cap * sizeof(*b->words));
		free(b->spare);
		b->spare = xmalloc(b->word_cap * sizeof(*b->spare));
	}
	b->words[b->word_count++] = (uint64_t)audit_word_hash(kind, word, len) << 16 | b->rows;
	return true;
}

static void begin(struct audit_block *b, const struct audit_line *line)
{
	b->first = line->seq;
	b->at = line->at;
	b->min_ms = b->max_ms = line->wall_ms;
	b->last_ms = 0; /* the first row's time is spelt out */
	buf_init(&b->places, PLACES_MAX);
}

bool audit_block_add(struct audit_block *b, const struct audit_line *line)
{
	int64_t ms;

	if (b->rows == 0) {
		buf_free(&b->places);
		begin(b, line);
	} else if (b->rows == AUDIT_BLOCK_ROWS || line->seq != b->first + (int64_t)b->rows ||
		line->at.segment != b->end.segment || line->at.offset != b->end.offset) {
		return false;
	}
	/* A line that does not say when it was written is no older than the one before it. */
	ms = line->wall_ms > 0 ? line->wall_ms : b->last_ms;
	varint_put(&b->places, line->len);
	varint_put(&b->places, varint_fold(ms - b->last_ms));
	b->last_ms = ms;
	if (ms < b->min_ms)
		b->min_ms = ms;
	if (ms > b->max_ms)
		b->max_ms = ms;
	(void)audit_words(line->text, line->len, add_word, b);
	b->mark = audit_block_mark(line->text, line->len);
	b->last_offset = line->at.offset;
	b->end = (struct audit_place){line->at.segment, line->at.offset + (int64_t)line->len + 1};
	b->rows++;
	return true;
}

/* Eight bytes at a time: it is taken of every line. */
uint64_t audit_block_mark(const char *line, size_t len)
{
	uint64_t h = UINT64_C(0xCBF29CE484222325) ^ len, word = 0;

	for (; len >= sizeof(word); line += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, line, sizeof(word));
		h = (h ^ word) * UINT64_C(0xD6E8FEB86659FD93);
		h ^= h >> 32;
	}
	word = 0;
	memcpy(&word, line, len);
	h = (h ^ word) * UINT64_C(0xD6E8FEB86659FD93);
	return (h ^ h >> 32) >> 1; /* fits SQLite's integers */
}

/* By word; rows with the same one keep their order. Counting the digits beats comparing: there are
 * some hundred thousand in a block. */
static void sort_words(struct audit_block *b)
{
	uint64_t *from = b->words, *to = b->spare;

	for (int shift = 16; shift < 48; shift += 11) {
		size_t start[2048] = {0}, sum = 0;

		for (size_t i = 0; i < b->word_count; i++)
			start[from[i] >> shift & 2047]++;
		for (size_t i = 0; i < 2048; i++) {
			size_t n = start[i];

			start[i] = sum;
			sum += n;
		}
		for (size_t i = 0; i < b->word_count; i++)
			to[start[from[i] >> shift & 2047]++] = from[i];
		b->words = to;
		to = from;
		from = b->words;
	}
	b->spare = to;
}

enum rc audit_block_words(struct audit_block *b, audit_block_put put, void *ctx)
{
	uint32_t rows[AUDIT_BLOCK_ROWS];
	size_t i = 0;
	enum rc rc = RC_OK;

	sort_words(b);
	while (rc == RC_OK && i < b->word_count) {
		uint32_t word = (uint32_t)(b->words[i] >> 16);
		size_t count = 0;

		for (; i < b->word_count && b->words[i] >> 16 == word; i++) {
			uint16_t row = (uint16_t)b->words[i];

			if (count == 0 || rows[count - 1] != row)
				rows[count++] = row;
		}
		rc = put(ctx, word, rows, count);
	}
	return rc;
}

enum rc audit_block_places(
	const uint8_t *bytes, size_t len, int64_t offset, size_t rows, struct audit_row_place *out)
{
	const uint8_t *at = bytes, *end = bytes + len;
	int64_t ms = 0;

	for (size_t i = 0; i < rows; i++) {
		uint64_t line, later;

		if (!varint_get(&at, end, &line) || !varint_get(&at, end, &later) ||
			line > INT32_MAX)
			return RC_INVALID;
		/* Unsigned, since damaged bytes may say anything. */
		ms = (int64_t)((uint64_t)ms + (uint64_t)varint_unfold(later));
		out[i] = (struct audit_row_place){offset, (uint32_t)line, ms};
		offset += (int64_t)line + 1;
	}
	return at == end ? RC_OK : RC_INVALID;
}
