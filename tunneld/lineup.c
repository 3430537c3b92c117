#include "tunneld/lineup.h"

#include "shared/log.h"

#define TEXT_MAX_LEN \
	((size_t)TOOLSET_DIFFERENCES * TOOLSET_SHOWN_MAX * (MANIFEST_TOOL_MAX + 2) + 256)

static void say(const struct session *s, const char *than, const struct catalog_entry *was)
{
	struct toolset_names names;
	struct buf text;

	if (was == s->manifest || !toolset_differences(&was->tools, &s->manifest->tools, &names))
		return;
	buf_init(&text, TEXT_MAX_LEN);
	toolset_names_text(&text, &names);
	buf_char(&text, '\0');
	if (!text.failed)
		log_warn("worker %s (%s) lists other tools than %s, and from now on agents are "
			 "listed these: %s",
			s->worker_id, s->tenant_id, than, (const char *)text.data);
	buf_free(&text);
}

void lineup_joins(const struct hub *hub, const struct session *s)
{
	const struct registry_tenant *t = registry_tenant(&hub->registry, s->tenant_id);

	if (t && t->latest)
		say(s, t->latest->worker_id, t->latest->manifest);
}

void lineup_changes(const struct session *s, const struct catalog_entry *was)
{
	say(s, "before", was);
}

void lineup_leaves(const struct session *s)
{
	const struct session *next = s->tenant->latest == s ? registry_next(s) : NULL;

	if (next)
		say(next, s->worker_id, s->manifest);
}

static void put_names(
	struct buf *b, const char *member, const struct toolset_names *n, enum toolset_difference d)
{
	buf_printf(b, "\"%s_count\":%zu,\"%s\":[", member, n->count[d], member);
	for (size_t i = 0; i < n->count[d] && i < TOOLSET_SHOWN_MAX; i++) {
		if (i)
			buf_char(b, ',');
		buf_json(b, n->names[d][i]);
	}
	buf_char(b, ']');
}

void lineup_put(struct buf *b, const struct session *s)
{
	const struct session *newest = s->tenant->latest;
	struct toolset_names n;

	buf_printf(b, ",\"newest\":%s,\"tools\":%zu", s == newest ? "true" : "false",
		s->manifest->tools.count);
	if (s->manifest == newest->manifest ||
		!toolset_differences(&newest->manifest->tools, &s->manifest->tools, &n))
		return;
	buf_str(b, ",\"differs\":{");
	put_names(b, "extra", &n, TOOLSET_ADDED);
	buf_char(b, ',');
	put_names(b, "missing", &n, TOOLSET_GONE);
	buf_char(b, ',');
	put_names(b, "changed", &n, TOOLSET_CHANGED);
	buf_char(b, '}');
}
