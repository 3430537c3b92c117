#include "cli/print.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/clock.h"
#include "shared/mem.h"

#define COLUMNS_MAX 12
#define CELL_MAX 200

void print_plain(struct buf *out, const char *text)
{
	for (const char *p = text; *p; p++) {
		unsigned char c = (unsigned char)*p;
		/* C1 controls are C2 80..9F in UTF-8; some terminals act on them too. */
		if (c == 0xC2 && (unsigned char)p[1] >= 0x80 && (unsigned char)p[1] < 0xA0) {
			buf_char(out, '?');
			p++;
		} else if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7F) {
			buf_char(out, '?');
		} else {
			buf_char(out, *p);
		}
	}
}

static size_t width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xC0) != 0x80;
	return n;
}

/* Seconds are enough for people. */
static void time_cell(char *cell, const json_t *value)
{
	const char *text = json_string_value(value);
	time_t t = (time_t)json_integer_value(value);
	int64_t wall_ms;
	struct tm tm;

	snprintf(cell, CELL_MAX, "%s", text ? text : "-");
	if (text && clock_parse(text, &wall_ms) == RC_OK)
		t = (time_t)(wall_ms / 1000);
	if (t != 0 && gmtime_r(&t, &tm))
		strftime(cell, CELL_MAX, "%Y-%m-%d %H:%M:%SZ", &tm);
}

static void list_cell(char *cell, const json_t *value)
{
	size_t used = 0, i;
	const json_t *item;

	snprintf(cell, CELL_MAX, json_is_array(value) ? "-" : "all");
	json_array_foreach(value, i, item)
	{
		if (json_is_string(item) && used < CELL_MAX)
			used += (size_t)snprintf(cell + used, CELL_MAX - used, "%s%s",
				used ? "," : "", json_string_value(item));
	}
}

static void scalar_cell(char *cell, const json_t *value)
{
	if (json_is_string(value) && json_string_length(value) > 0)
		snprintf(cell, CELL_MAX, "%s", json_string_value(value));
	else if (json_is_integer(value))
		snprintf(cell, CELL_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else if (json_is_real(value))
		snprintf(cell, CELL_MAX, "%g", json_real_value(value));
	else if (json_is_boolean(value))
		snprintf(cell, CELL_MAX, json_is_true(value) ? "yes" : "no");
	else if (json_is_array(value))
		snprintf(cell, CELL_MAX, "%zu", json_array_size(value));
	else
		snprintf(cell, CELL_MAX, "-");
}

/* A cell is one line: newlines and tabs are control characters here too. */
static void one_line(char *cell)
{
	struct buf clean;

	for (char *p = cell; *p; p++)
		if (*p == '\n' || *p == '\t')
			*p = ' ';
	buf_init(&clean, CELL_MAX);
	print_plain(&clean, cell);
	str_copy_len(cell, CELL_MAX, (const char *)clean.data, clean.len);
	buf_free(&clean);
}

static void fill(char *cell, const struct print_column *column, const json_t *row)
{
	const json_t *value = json_object_get(row, column->member);

	switch (column->kind) {
	case PRINT_TIME:
		time_cell(cell, value);
		break;
	case PRINT_LIST:
		list_cell(cell, value);
		break;
	case PRINT_FLAG:
		snprintf(cell, CELL_MAX,
			json_is_true(value) || json_integer_value(value) != 0 ||
					(json_is_string(value) && json_string_length(value) > 0)
				? "yes"
				: "-");
		break;
	case PRINT_TEXT:
	case PRINT_COUNT:
		scalar_cell(cell, value);
		break;
	}
	one_line(cell);
}

static void put_cell(struct buf *out, const char *cell, size_t column_width, bool last)
{
	buf_str(out, cell);
	if (!last)
		buf_printf(out, "%*s", (int)(column_width - width(cell)) + 2, "");
}

void print_table(
	struct buf *out, const struct print_column *columns, size_t count, const json_t *array)
{
	size_t rows = json_array_size(array), widths[COLUMNS_MAX] = {0};
	char(*cells)[CELL_MAX] = xcalloc((rows + 1) * count, CELL_MAX);

	for (size_t r = 0; r <= rows; r++) {
		for (size_t c = 0; c < count; c++) {
			char *cell = cells[r * count + c];
			if (r == 0)
				snprintf(cell, CELL_MAX, "%s", columns[c].title);
			else
				fill(cell, &columns[c], json_array_get(array, r - 1));
			if (width(cell) > widths[c])
				widths[c] = width(cell);
		}
	}
	for (size_t r = 0; r <= rows; r++) {
		for (size_t c = 0; c < count; c++)
			put_cell(out, cells[r * count + c], widths[c], c + 1 == count);
		buf_char(out, '\n');
	}
	free(cells);
}

/* Two passes over the same walk: the first finds the width, the second writes. */
static void walk(struct buf *out, const json_t *object, const char *prefix, size_t *name_width)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)object, name, value)
	{
		char path[CELL_MAX], cell[CELL_MAX];
		snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "." : "", name);
		one_line(path);
		if (json_is_object(value) && json_object_size(value) > 0 &&
			strlen(path) < CELL_MAX / 2) {
			walk(out, value, path, name_width);
			continue;
		}
		if (!out) {
			if (width(path) > *name_width)
				*name_width = width(path);
			continue;
		}
		put_cell(out, path, *name_width, false);
		if ((json_is_integer(value) || json_is_string(value)) && strlen(name) > 3 &&
			strcmp(name + strlen(name) - 3, "_at") == 0)
			time_cell(cell, value);
		else if (json_is_array(value) && json_is_string(json_array_get(value, 0)))
			list_cell(cell, value);
		else
			scalar_cell(cell, value);
		one_line(cell);
		put_cell(out, cell, 0, true);
		buf_char(out, '\n');
	}
}

void print_object(struct buf *out, const json_t *object)
{
	size_t name_width = 0;

	walk(NULL, object, "", &name_width);
	walk(out, object, "", &name_width);
}

void print_json(struct buf *out, const json_t *json)
{
	char *text = json_dumps(json, JSON_INDENT(2) | JSON_ENCODE_ANY);

	if (text)
		buf_str(out, text);
	buf_char(out, '\n');
	free(text);
}
