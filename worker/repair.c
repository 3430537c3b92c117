#include "worker/repair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/mem.h"
#include "shared/text.h"

#define LIST_MAX 24 /* names that a message lists */

void repair_name(const char *name, char out[REPAIR_NAME_MAX + 1])
{
	size_t n = 0;

	for (; name && name[n] && n < REPAIR_NAME_MAX; n++)
		out[n] = (unsigned char)name[n] < 32 || name[n] == 127 ? '?' : name[n];
	if (name && name[n]) {
		while (n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80)
			n--;
	}
	out[n] = '\0';
}

const struct engine_table *repair_table(const struct engine_shape *shape, const char *name)
{
	for (size_t i = 0; i < shape->table_count; i++)
		if (text_equal_nocase(shape->tables[i].name, name))
			return &shape->tables[i];
	return NULL;
}

enum engine_status repair_refuse(struct engine_message *m, const char *text)
{
	snprintf(m->text, sizeof(m->text), "%s", text);
	return ENGINE_REFUSED;
}

/* Appends ", a, b, c" as far as it fits. */
static void list_names(
	struct engine_message *m, const char *lead, const char *const *names, size_t count)
{
	size_t used = strlen(m->text);

	for (size_t i = 0; i < count && i < LIST_MAX; i++) {
		int n = snprintf(
			m->text + used, sizeof(m->text) - used, "%s%s", i ? ", " : lead, names[i]);

		if (n < 0 || (size_t)n >= sizeof(m->text) - used) {
			m->text[used] = '\0';
			return;
		}
		used += (size_t)n;
	}
	if (count > LIST_MAX)
		snprintf(m->text + used, sizeof(m->text) - used, ", ...");
}

static void suggest(struct engine_message *m, const char *word, const char *const *names,
	size_t count, const char *lead)
{
	const char *nearest = text_nearest(word, names, count);
	size_t used = strlen(m->text);

	if (nearest)
		snprintf(m->text + used, sizeof(m->text) - used, "; did you mean '%s'?", nearest);
	else
		list_names(m, lead, names, count);
}

enum engine_status repair_no_table(
	const struct engine_shape *shape, const char *name, struct engine_message *m)
{
	const char **names = xcalloc(shape->table_count + 1, sizeof(*names));
	const char *dot = strrchr(name, '.');
	char clean[REPAIR_NAME_MAX + 1];

	for (size_t i = 0; i < shape->table_count; i++)
		names[i] = shape->tables[i].name;
	repair_name(name, clean);
	snprintf(m->text, sizeof(m->text), "no such table: %s", clean);
	if (repair_table(shape, name)) {
		/* Unquoted, the part before the dot would name another database. */
		snprintf(m->text, sizeof(m->text),
			"write the table name in double quotes, since it has a dot: \"%s\"", clean);
		free(names);
		return ENGINE_REFUSED;
	}
	repair_name(dot ? dot + 1 : name, clean);
	suggest(m, clean, names, shape->table_count, "; tables here: ");
	free(names);
	return ENGINE_REFUSED;
}

enum engine_status repair_no_column(
	const struct engine_shape *shape, const char *name, struct engine_message *m)
{
	const char *dot = strchr(name, '.');
	const struct engine_table *only = NULL;
	char clean[REPAIR_NAME_MAX + 1];
	const char **names;
	size_t count = 0;

	repair_name(name, clean);
	if (dot) {
		char *at = strchr(clean, '.');

		if (at) {
			*at = '\0';
			only = repair_table(shape, clean);
			*at = '.';
		}
	}
	snprintf(m->text, sizeof(m->text), "no such column: %s", clean);
	for (size_t i = 0; i < shape->table_count; i++)
		count += shape->tables[i].column_count;
	names = xcalloc(count + 1, sizeof(*names));
	count = 0;
	for (size_t i = 0; i < shape->table_count; i++) {
		const struct engine_table *t = &shape->tables[i];

		for (size_t k = 0; (!only || only == t) && k < t->column_count; k++)
			names[count++] = t->columns[k].name;
	}
	repair_name(dot ? strrchr(name, '.') + 1 : name, clean);
	if (only || text_nearest(clean, names, count))
		suggest(m, clean, names, count, "; its columns: ");
	else
		snprintf(m->text + strlen(m->text), sizeof(m->text) - strlen(m->text),
			"; get_schema lists the columns; text needs single quotes");
	free(names);
	return ENGINE_REFUSED;
}
