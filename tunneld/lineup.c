#include "tunneld/lineup.h"

#include "shared/log.h"

#define TEXT_MAX_LEN \
	((size_t)TOOLSET_DIFFERENCES * TOOLSET_SHOWN_MAX * (MANIFEST_TOOL_MAX + 2) + 256)

static void say(const char *worker_id, const char *tenant_id, const char *than,
	const struct toolset *was, const struct toolset *is)
{
	struct toolset_names names;
	struct buf text;

	if (!toolset_differences(was, is, &names))
		return;
	buf_init(&text, TEXT_MAX_LEN);
	toolset_names_text(&text, &names);
	buf_char(&text, '\0');
	if (!text.failed)
		log_warn("worker %s (%s) lists other tools than %s, and from now on agents are "
			 "listed these: %s",
			worker_id, tenant_id, than, (const char *)text.data);
	buf_free(&text);
}

/* The newest was one session's, and is another's now. */
static void follow(const struct session *was, const struct session *is)
{
	if (was->manifest != is->manifest)
		say(is->worker_id, is->tenant_id, was->worker_id, &was->manifest->tools,
			&is->manifest->tools);
}

void lineup_joins(const struct hub *hub, const struct session *s)
{
	const struct registry_tenant *t = registry_tenant(&hub->registry, s->tenant_id);

	if (t && t->latest)
		follow(t->latest, s);
}

void lineup_changes(const char *worker_id, const char *tenant_id, const struct toolset *was,
	const struct toolset *is)
{
	say(worker_id, tenant_id, "before", was, is);
}

void lineup_leaves(const struct session *s)
{
	const struct session *next = s->tenant->latest == s ? registry_next(s) : NULL;

	if (next)
		follow(s, next);
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
