#include "worker/jsplice.h"

#include <stdlib.h>
#include <string.h>

#include "shared/mem.h"

static const char spaces[] = " \t\r\n";

void jsplice_free(struct jsplice *s)
{
	free(s->edits);
	*s = (struct jsplice){0};
}

static void note(struct jsplice *s, struct jsplice_edit e)
{
	if (s->count == s->room) {
		s->room = s->room > 0 ? 2 * s->room : 8;
		s->edits = xrealloc(s->edits, s->room * sizeof *s->edits);
	}
	s->edits[s->count++] = e;
}

void jsplice_replace(struct jsplice *s, struct jscan value, const char *put, size_t len)
{
	note(s, (struct jsplice_edit){value.p, value.len, put, len, 0});
}

void jsplice_prepend(struct jsplice *s, struct jscan value, const char *put, size_t len)
{
	note(s, (struct jsplice_edit){value.p + 1, 0, put, len, 0});
}

void jsplice_insert(struct jsplice *s, struct jscan object, const char *members, size_t len)
{
	struct jscan_iter it = jscan_iter(object);
	struct jscan key, value;
	bool empty = !jscan_next(&it, &key, &value);

	note(s, (struct jsplice_edit){object.p + 1, 0, members, len, empty ? 0 : ','});
}

void jsplice_remove(struct jsplice *s, struct jscan object, const char *name)
{
	struct jscan_iter it = jscan_iter(object);
	struct jscan key, value;

	while (jscan_next(&it, &key, &value)) {
		const char *from = key.p, *end = value.p + value.len;

		if (!jscan_is_str(key, name))
			continue;
		while (strchr(spaces, *end))
			end++;
		if (*end == ',') {
			end++;
		} else {
			while (strchr(spaces, from[-1]))
				from--;
			if (from[-1] == ',')
				from--;
		}
		note(s, (struct jsplice_edit){from, (size_t)(end - from), "", 0, 0});
		return;
	}
}

static int compare(const void *a, const void *b)
{
	const struct jsplice_edit *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

void jsplice_apply(struct jsplice *s, const char *text, size_t len, struct buf *out)
{
	const char *at = text;

	if (s->count > 1)
		qsort(s->edits, s->count, sizeof *s->edits, compare);
	for (size_t i = 0; i < s->count; i++) {
		const struct jsplice_edit *e = &s->edits[i];

		buf_add(out, at, (size_t)(e->at - at));
		buf_add(out, e->put, e->len);
		if (e->after != 0)
			buf_char(out, e->after);
		at = e->at + e->cut;
	}
	buf_add(out, at, (size_t)(text + len - at));
}
