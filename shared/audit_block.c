#include "shared/audit_block.h"

#include <stdlib.h>
#include <string.h>

#include "shared/audit_words.h"
#include "shared/mem.h"

#define PLACES_MAX ((size_t)AUDIT_BLOCK_ROWS * 20)

void audit_block_clear(struct audit_block *b)
{
	buf_free(&b->places);
	free(b->words);
	*b = (struct audit_block){0};
}

void audit_block_reset(struct audit_block *b)
{
	b->rows = b->word_count = 0;
	buf_reset(&b->places);
}

/* --- numbers of few bytes ---------------------------------------------------------------- */

static void put_number(struct buf *b, uint64_t n)
{
	while (n >= 0x80) {
		buf_char(b, (char)(n | 0x80));
		n >>= 7;
	}
	buf_char(b, (char)n);
}

static bool get_number(const uint8_t **at, const uint8_t *end, uint64_t *out)
{
	uint64_t n = 0;

	for (int shift = 0; *at < end && shift < 64; shift += 7) {
		uint8_t byte = *(*at)++;

		n |= (uint64_t)(byte & 0x7F) << shift;
		if (byte < 0x80) {
			*out = n;
			return true;
		}
	}
	return false;
}

/* Small numbers of both signs become small ones. */
static uint64_t fold(int64_t n)
{
	return ((uint64_t)n << 1) ^ (uint64_t)(n < 0 ? -1 : 0);
}

static int64_t unfold(uint64_t n)
{
	return (int64_t)(n >> 1) ^ -(int64_t)(n & 1);
}

/* --- gathering --------------------------------------------------------------------------- */

static bool add_word(void *ctx, enum audit_word_kind kind, const char *word, size_t len)
{
	struct audit_block *b = ctx;

	if (b->word_count == b->word_cap) {
		b->word_cap = b->word_cap ? 2 * b->word_cap : 65536;
		b->words = xrealloc(b->words, b->word_cap * sizeof(*b->words));
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
	put_number(&b->places, line->len);
	put_number(&b->places, fold(ms - b->last_ms));
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

uint64_t audit_block_mark(const char *line, size_t len)
{
	uint64_t h = UINT64_C(0xCBF29CE484222325);

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)line[i]) * UINT64_C(0x100000001B3);
	return h >> 1; /* fits SQLite's integers */
}

static int ascending(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

enum rc audit_block_words(struct audit_block *b, audit_block_put put, void *ctx)
{
	uint16_t rows[AUDIT_BLOCK_ROWS];
	size_t i = 0;
	enum rc rc = RC_OK;

	if (b->word_count > 1)
		qsort(b->words, b->word_count, sizeof(*b->words), ascending);
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

		if (!get_number(&at, end, &line) || !get_number(&at, end, &later) ||
			line > INT32_MAX)
			return RC_INVALID;
		ms += unfold(later);
		out[i] = (struct audit_row_place){offset, (uint32_t)line, ms};
		offset += (int64_t)line + 1;
	}
	return at == end ? RC_OK : RC_INVALID;
}
