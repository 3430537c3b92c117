/* docs/openapi.yaml and the table of routes say the same. Run from the repository's root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <yaml.h>

#include "fcgi-app/routes.h"
#include "shared/problem.h"

#define OPERATIONS_MAX 200

static yaml_document_t doc;

static yaml_node_t *member(yaml_node_t *map, const char *name)
{
	yaml_node_pair_t *p;

	if (!map || map->type != YAML_MAPPING_NODE)
		return NULL;
	for (p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
		yaml_node_t *key = yaml_document_get_node(&doc, p->key);

		if (!strcmp((const char *)key->data.scalar.value, name))
			return yaml_document_get_node(&doc, p->value);
	}
	return NULL;
}

static const char *text(yaml_node_t *node)
{
	return node && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : "";
}

static int load(void **state)
{
	FILE *f = fopen("docs/openapi.yaml", "r");
	yaml_parser_t parser;
	int ok;

	(void)state;
	if (!f || !yaml_parser_initialize(&parser))
		return -1;
	yaml_parser_set_input_file(&parser, f);
	ok = yaml_parser_load(&parser, &doc);
	if (!ok)
		(void)fprintf(stderr, "docs/openapi.yaml:%zu: %s\n", parser.problem_mark.line + 1,
			parser.problem);
	yaml_parser_delete(&parser);
	(void)fclose(f);
	return ok ? 0 : -1;
}

static int unload(void **state)
{
	(void)state;
	yaml_document_delete(&doc);
	return 0;
}

static const char *http_method(const char *key)
{
	static const char *const names[][2] = {{"get", "GET"}, {"post", "POST"}, {"put", "PUT"},
		{"patch", "PATCH"}, {"delete", "DELETE"}, {"options", "OPTIONS"}, {"head", "HEAD"}};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(names[i][0], key))
			return names[i][1];
	}
	return NULL;
}

/* Calls back for each operation of the document. */
static void each_operation(void (*f)(const char *method, const char *path, yaml_node_t *operation))
{
	yaml_node_t *paths = member(yaml_document_get_root_node(&doc), "paths");
	yaml_node_pair_t *p;
	yaml_node_pair_t *m;

	assert_non_null(paths);
	for (p = paths->data.mapping.pairs.start; p < paths->data.mapping.pairs.top; p++) {
		yaml_node_t *item = yaml_document_get_node(&doc, p->value);

		assert_int_equal(item->type, YAML_MAPPING_NODE);
		for (m = item->data.mapping.pairs.start; m < item->data.mapping.pairs.top; m++) {
			const char *method =
				http_method(text(yaml_document_get_node(&doc, m->key)));

			if (method)
				f(method, text(yaml_document_get_node(&doc, p->key)),
					yaml_document_get_node(&doc, m->value));
		}
	}
}

static void has_route(const char *method, const char *path, yaml_node_t *operation)
{
	(void)operation;
	for (const struct route *r = routes; r->method; r++) {
		if (!strcmp(r->method, method) && !strcmp(r->pattern, path))
			return;
	}
	fail_msg("docs/openapi.yaml has %s %s, which is not a route", method, path);
}

static void documented_are_routes(void **state)
{
	(void)state;
	each_operation(has_route);
}

static void routes_are_documented(void **state)
{
	yaml_node_t *paths = member(yaml_document_get_root_node(&doc), "paths");

	(void)state;
	for (const struct route *r = routes; r->method; r++) {
		char key[16];
		size_t i = 0;

		for (; r->method[i] && i < sizeof(key) - 1; i++)
			key[i] = (char)(r->method[i] | 0x20);
		key[i] = '\0';
		if (!member(member(paths, r->pattern), key))
			fail_msg("docs/openapi.yaml lacks %s %s", r->method, r->pattern);
	}
}

static char seen[OPERATIONS_MAX][64];
static size_t seen_count;

static void has_parts(const char *method, const char *path, yaml_node_t *operation)
{
	const char *id = text(member(operation, "operationId"));
	yaml_node_t *security = member(operation, "security");
	const struct route *r = routes;

	if (!*id || !*text(member(operation, "summary")) || !member(operation, "responses"))
		fail_msg("%s %s lacks operationId, summary or responses", method, path);
	for (size_t i = 0; i < seen_count; i++) {
		if (!strcmp(seen[i], id))
			fail_msg("operationId %s is there twice", id);
	}
	assert_true(seen_count < OPERATIONS_MAX);
	(void)snprintf(seen[seen_count++], sizeof(seen[0]), "%s", id);
	while (strcmp(r->method, method) != 0 || strcmp(r->pattern, path) != 0)
		r++;
	/* The document's default is the operator's credential: who needs none, or another, says so.
	 */
	if ((r->guard == GUARD_OPERATOR) != (security == NULL))
		fail_msg("%s %s: security does not fit the route's guard", method, path);
}

static void operations_are_complete(void **state)
{
	(void)state;
	seen_count = 0;
	each_operation(has_parts);
}

static void version_is_ours(void **state)
{
	yaml_node_t *root = yaml_document_get_root_node(&doc);

	(void)state;
	assert_string_equal(text(member(member(root, "info"), "version")), AIRLOCK_VERSION);
	assert_string_equal(text(member(root, "openapi")), "3.1.0");
}

static bool in_sequence(yaml_node_t *sequence, const char *value)
{
	for (yaml_node_item_t *i = sequence->data.sequence.items.start;
		i < sequence->data.sequence.items.top; i++) {
		if (!strcmp(text(yaml_document_get_node(&doc, *i)), value))
			return true;
	}
	return false;
}

/* The codes that clients may act on are those of the program. */
static void problem_codes(void **state)
{
	yaml_node_t *schemas =
		member(member(yaml_document_get_root_node(&doc), "components"), "schemas");
	yaml_node_t *codes =
		member(member(member(member(schemas, "Problem"), "properties"), "code"), "enum");

	(void)state;
	assert_non_null(codes);
	assert_int_equal(codes->type, YAML_SEQUENCE_NODE);
	for (int p = 0; p < PROBLEM_COUNT; p++) {
		if (!in_sequence(codes, problem_code((enum problem)p)))
			fail_msg("docs/openapi.yaml lacks the code %s",
				problem_code((enum problem)p));
	}
	assert_int_equal(
		codes->data.sequence.items.top - codes->data.sequence.items.start, PROBLEM_COUNT);
}

/* Every "$ref" leads somewhere. */
static void references(void **state)
{
	(void)state;
	for (int n = 1;; n++) {
		yaml_node_t *node = yaml_document_get_node(&doc, n);
		yaml_node_t *to = yaml_document_get_root_node(&doc);
		char path[200];
		char *rest = path;
		char *part;

		if (!node)
			break;
		if (!member(node, "$ref"))
			continue;
		assert_memory_equal(text(member(node, "$ref")), "#/", 2);
		(void)snprintf(path, sizeof(path), "%s", text(member(node, "$ref")) + 2);
		while ((part = strsep(&rest, "/")))
			to = member(to, part);
		if (!to)
			fail_msg("%s leads nowhere", text(member(node, "$ref")));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documented_are_routes),
		cmocka_unit_test(routes_are_documented),
		cmocka_unit_test(operations_are_complete),
		cmocka_unit_test(version_is_ours),
		cmocka_unit_test(problem_codes),
		cmocka_unit_test(references),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
