/* The words that a search asks for, a newline, and a line of the log, which can be anything. A line
 * that matches is one that may match, and has each word that is asked for. */
#include <stdlib.h>
#include <string.h>

#include "shared/audit_filter.h"
#include "shared/audit_words.h"
#include "shared/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct asked {
	const char *text;
	size_t len;
	bool found;
};

static bool see(void *ctx, enum audit_word_kind kind, const char *word, size_t len)
{
	struct asked *a = ctx;

	if (len == 0 && kind == AUDIT_WORD_TEXT)
		abort();
	(void)audit_word_hash(kind, word, len);
	a->found = a->found ||
		(kind == AUDIT_WORD_TEXT && len == a->len && memcmp(word, a->text, len) == 0);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
	struct audit_filter f;
	const char *line;
	char *text;
	size_t len;

	if (!newline)
		return 0;
	text = xstrndup((const char *)data, (size_t)(newline - data));
	line = (const char *)newline + 1;
	len = size - (size_t)(newline + 1 - data);
	audit_filter_init(&f);
	if (audit_filter_text(&f, text) == RC_OK && audit_filter_match(&f, line, len)) {
		if (!audit_filter_may(&f, line, len))
			abort();
		for (int i = 0; i < f.term_count; i++) {
			struct asked a = {f.text + f.term[i].at, f.term[i].len, false};

			if (!audit_words(line, len, see, &a) || !a.found)
				abort();
		}
	}
	audit_filter_init(&f);
	(void)str_copy(f.tenant, sizeof(f.tenant), text);
	(void)str_copy(f.event, sizeof(f.event), "key.*");
	(void)audit_filter_match(&f, line, len);
	free(text);
	return 0;
}
