/* Lines as a whole log, as a part of one and as a bundle; and as rows of calls and of what workers
 * vouch for, whether or not they are a chain. */
#include <stdlib.h>
#include <string.h>

#include "shared/audit_bundle.h"
#include "shared/audit_chain.h"
#include "shared/audit_vouches.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct lines {
	const char *at, *end;
};

static bool next(struct lines *l, const char **line, size_t *len)
{
	const char *newline = l->at < l->end ? memchr(l->at, '\n', (size_t)(l->end - l->at)) : NULL;

	if (!newline)
		return false;
	*line = l->at;
	*len = (size_t)(newline - l->at);
	l->at = newline + 1;
	return true;
}

/* bundle: the first line is that of one. */
static void check(struct lines l, const struct audit_chain_options *o, bool bundle)
{
	struct audit_chain c;
	const char *line;
	size_t len;
	bool good = true;

	audit_chain_init(&c, o);
	if (bundle && next(&l, &line, &len))
		good = audit_chain_bundle(&c, line, len);
	while (good && next(&l, &line, &len))
		good = audit_chain_line(&c, line, len);
	if (good)
		good = audit_chain_end(&c, l.at < l.end);
	if (good != (c.fault == 0) || (!good && !*c.why) || !*audit_fault_name(c.fault))
		abort();
	audit_chain_free(&c);
}

static void vouches(struct lines l, bool whole)
{
	struct audit_vouches *v = audit_vouches_new(whole);
	struct audit_vouches_fault fault = {0};
	const char *line;
	int64_t number = 0;
	size_t len;
	bool good = true;

	while (good && next(&l, &line, &len))
		good = audit_vouches_row(v, line, len, ++number, 0, &fault);
	if (good)
		good = audit_vouches_end(v, &fault);
	if (!good && (!*fault.why || fault.line < 1 || fault.line > number))
		abort();
	audit_vouches_free(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lines l = {(const char *)data, (const char *)data + size}, first;
	struct audit_chain_options o = {.first_seq = 1};
	const char *line;
	size_t len;

	check(l, &o, false);
	vouches(l, true);
	vouches(l, false);
	o.deleted_before = true;
	o.first_seq = 7;
	check(l, &o, false);
	o = (struct audit_chain_options){.first_seq = 1};
	first = l;
	if (next(&first, &line, &len) && audit_bundle_is(line, len))
		check(l, &o, true);
	return 0;
}
