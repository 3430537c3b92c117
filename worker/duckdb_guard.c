#include "worker/duckdb_guard.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shared/jscan.h"
#include "shared/mem.h"
#include "shared/text.h"
#include "worker/duckdb_api.h"
#include "worker/repair.h"

#define NAME_MAX_BYTES 256
#define SCOPE_MAX 512 /* names of common table expressions in sight at once */

/* The lists are one string each, words between spaces, in no order that matters. */

/* Kinds of expressions. Not here: PARAMETER, DEFAULT, and whatever a later DuckDB may invent. */
static const char classes[] =
	" BETWEEN CASE CAST COLLATE COLUMN_REF COMPARISON CONJUNCTION CONSTANT FUNCTION LAMBDA "
	"LAMBDA_REF OPERATOR POSITIONAL_REFERENCE STAR SUBQUERY WINDOW ";

/* Operators, and what `type` says of things that are no expressions: queries, what stands in FROM,
 * modifiers, details of types. Not here: SHOW_REF (DESCRIBE, SUMMARIZE, SHOW), COLUMN_DATA,
 * DELIM_GET, PIVOT and whatever writes. */
static const char types[] =
	" SELECT_NODE SET_OPERATION_NODE RECURSIVE_CTE_NODE BASE_TABLE SUBQUERY JOIN "
	"TABLE_FUNCTION "
	"EMPTY EXPRESSION_LIST ORDER_MODIFIER LIMIT_MODIFIER LIMIT_PERCENT_MODIFIER "
	"DISTINCT_MODIFIER ORDER_DEFAULT ASCENDING DESCENDING DECIMAL_TYPE_INFO LIST_TYPE_INFO "
	"STRUCT_TYPE_INFO ARRAY_TYPE_INFO STRING_TYPE_INFO GENERIC_TYPE_INFO OPERATOR_NOT "
	"OPERATOR_IS_NULL OPERATOR_IS_NOT_NULL "
	"OPERATOR_COALESCE OPERATOR_NULLIF OPERATOR_TRY OPERATOR_CAST COMPARE_IN COMPARE_NOT_IN "
	"ARRAY_EXTRACT ARRAY_SLICE STRUCT_EXTRACT ARRAY_CONSTRUCTOR GROUPING_FUNCTION "
	"COMPARE_EQUAL "
	"COMPARE_NOTEQUAL COMPARE_LESSTHAN COMPARE_GREATERTHAN COMPARE_LESSTHANOREQUALTO "
	"COMPARE_GREATERTHANOREQUALTO COMPARE_DISTINCT_FROM COMPARE_NOT_DISTINCT_FROM "
	"COMPARE_BETWEEN COMPARE_NOT_BETWEEN CONJUNCTION_AND CONJUNCTION_OR VALUE_CONSTANT "
	"COLUMN_REF CASE_EXPR COLLATE FUNCTION LAMBDA LAMBDA_REF POSITIONAL_REFERENCE STAR "
	"WINDOW_AGGREGATE WINDOW_ROW_NUMBER WINDOW_RANK WINDOW_RANK_DENSE WINDOW_NTILE "
	"WINDOW_PERCENT_RANK WINDOW_CUME_DIST WINDOW_FIRST_VALUE WINDOW_LAST_VALUE WINDOW_LEAD "
	"WINDOW_LAG WINDOW_NTH_VALUE WINDOW_FILL ";

/* Types that a value may be cast to. */
static const char cast_types[] =
	" NULL BOOLEAN TINYINT SMALLINT INTEGER BIGINT HUGEINT UTINYINT USMALLINT UINTEGER UBIGINT "
	"UHUGEINT FLOAT DOUBLE DECIMAL VARCHAR CHAR BLOB DATE TIME TIMESTAMP TIMESTAMP_S "
	"TIMESTAMP_MS TIMESTAMP_NS INTERVAL UUID LIST STRUCT MAP ARRAY INTEGER_LITERAL "
	"STRING_LITERAL ";

/* Members of all of these. One that is not here (at_clause, say) means something that nobody has
 * looked at. */
static const char members[] =
	" error statements node type modifiers orders null_order expression class alias "
	"query_location value type_info is_null limit offset cte_map map key aliases query "
	"materialized select_list function_name schema children filter order_bys distinct "
	"is_operator from_table sample sample_size is_percentage method seed repeatable left right "
	"condition join_type ref_type "
	"using_columns where_clause subquery_type subquery child comparison_type group_expressions "
	"group_sets aggregate_handling having qualify table_name schema_name column_name_alias "
	"function values case_checks when_expr then_expr else_expr input lower upper cast_type "
	"try_cast width scale lhs expr index columns relation_name exclude_list replace_list "
	"rename_list qualified_exclude_list column_names collation setop_type setop_all cte_name "
	"union_all start end start_expr end_expr offset_expr default_expr ignore_nulls filter_expr "
	"exclude_clause partitions arg_orders distinct_on_targets id child_type child_types first "
	"second name size syntax_type with_ordinality copied_distinct unpacked ";

static const char table_functions[] = " generate_series json_each json_tree range unnest ";

/* Left out on purpose: whatever reads files, settings, the environment, sequences, variables or
 * the catalog, tells about the library or the connection, keeps state, sleeps, or runs a text as
 * SQL. */
static const char functions_to_k[] =
	" !~~ !~~* % & && * ** + - -> ->> / // << <= <@ >> @ @> ^ ^@ | || ~ ~~ ~~* ~~~ abs "
	"acos acosh age aggregate any_value approx_count_distinct approx_quantile apply "
	"arbitrary arg_max arg_max_null arg_min arg_min_null argmax argmin array_agg "
	"array_aggr array_aggregate array_append array_apply array_cat array_concat "
	"array_contains array_distinct array_extract array_filter array_has array_has_all "
	"array_has_any array_indexof array_intersect array_length array_pop_back "
	"array_pop_front array_position array_prepend array_push_back array_push_front "
	"array_reduce array_reverse array_reverse_sort array_select array_slice "
	"array_sort array_to_json array_to_string array_transform array_unique "
	"array_value array_where array_zip ascii asin asinh atan atan2 atanh avg bar "
	"base64 bin bit_and bit_count bit_length bit_or bit_xor bool_and bool_or cbrt "
	"ceil ceiling century char_length character_length chr concat concat_ws contains "
	"corr cos cosh cot count count_if count_star countif covar_pop covar_samp "
	"cume_dist damerau_levenshtein date_add date_diff date_part date_sub date_trunc "
	"datediff datepart datesub datetrunc day dayname dayofmonth dayofweek dayofyear "
	"days_in_month decade decode degrees dense_rank divide editdist3 element_at "
	"encode ends_with entropy epoch epoch_ms epoch_ns epoch_us era even exp factorial "
	"favg fdiv fill filter first first_value flatten floor fmod format format_bytes "
	"from_base64 from_binary from_hex fsum gamma gcd gen_random_uuid generate_series "
	"generate_subscripts geomean geometric_mean get_current_time "
	"get_current_timestamp greatest greatest_common_divisor group_concat hamming hash "
	"hex histogram hour ilike_escape instr isfinite isinf isnan isodow isoyear "
	"jaccard jaro_similarity jaro_winkler_similarity json json_array "
	"json_array_length json_contains json_exists json_extract json_extract_path "
	"json_extract_path_text json_extract_string json_group_array json_group_object "
	"json_keys json_merge_patch json_object json_pretty json_quote json_structure "
	"json_type json_valid json_value julian kahan_sum kurtosis kurtosis_pop ";
static const char functions_from_l[] =
	" lag last last_day last_value lcase lcm lead least least_common_multiple left "
	"left_grapheme len length length_grapheme levenshtein lgamma like_escape list "
	"list_aggr list_aggregate list_any_value list_append list_apply list_avg "
	"list_bool_and list_bool_or list_cat list_concat list_contains list_count "
	"list_distinct list_element list_extract list_filter list_first list_has "
	"list_has_all list_has_any list_histogram list_indexof list_intersect list_last "
	"list_max list_median list_min list_mode list_pack list_position list_prepend "
	"list_product list_reduce list_reverse list_reverse_sort list_select list_slice "
	"list_sort list_stddev_pop list_stddev_samp list_string_agg list_sum "
	"list_transform list_unique list_value list_var_pop list_var_samp list_where "
	"list_zip listagg ln log log10 log2 lower lpad ltrim mad make_date make_time "
	"make_timestamp map map_concat map_contains map_entries map_extract "
	"map_extract_value map_from_entries map_keys map_values max max_by md5 mean "
	"median microsecond millennium millisecond min min_by minute mismatches mod mode "
	"month monthname multiply nanosecond nextafter not_ilike_escape not_like_escape "
	"now nth_value ntile nullif octet_length ord percent_rank pi position pow power "
	"prefix printf product quantile quantile_cont quantile_disc quarter radians "
	"random range rank rank_dense regexp_escape regexp_extract regexp_extract_all "
	"regexp_full_match regexp_matches regexp_replace regexp_split_to_array regr_avgx "
	"regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy "
	"regr_syy repeat replace reverse right right_grapheme round round_even row "
	"row_number row_to_json rpad rtrim second sem sha1 sha256 sign signbit sin sinh "
	"skewness split split_part sqrt starts_with stddev stddev_pop stddev_samp "
	"str_split str_split_regex strftime string_agg string_split string_split_regex "
	"string_to_array strip_accents strlen strpos strptime struct_concat "
	"struct_extract struct_extract_at struct_insert struct_keys struct_pack "
	"struct_values substr substring substring_grapheme subtract suffix sum "
	"sum_no_overflow sumkahan tan tanh time_bucket timezone to_base to_base64 "
	"to_binary to_centuries to_days to_decades to_hex to_hours to_json "
	"to_microseconds to_millennia to_milliseconds to_minutes to_months to_quarters "
	"to_seconds to_timestamp to_weeks to_years today translate trim trunc "
	"try_strptime typeof ucase unbin unhex unicode unnest upper url_decode url_encode "
	"uuid var_pop var_samp variance wavg week weekday weekofyear weighted_avg xor "
	"year yearweek ";

/* Bare names that DuckDB takes for functions when no column has them; these are harmless. Others
 * that begin so, and the ones below, tell about the connection. */
static const char clock_names[] = " current_date current_time current_timestamp current_localtime "
				  "current_localtimestamp ";
static const char session_names[] = " user session_user ";

struct check {
	const struct engine_shape *shape;
	struct engine_message *message;
	char (*scope)[NAME_MAX_BYTES]; /* names of common table expressions, innermost last */
	size_t scope_count;
};

static bool listed(const char *list, const char *word)
{
	size_t len = strlen(word);
	const char *at = list;

	if (!len || strchr(word, ' '))
		return false;
	while ((at = strcasestr(at, word))) {
		if (at[-1] == ' ' && at[len] == ' ')
			return true;
		at++;
	}
	return false;
}

/* Puts fmt's first half, the name and the second half. */
static bool refuse_name(struct check *c, const char *before, const char *name, const char *after)
{
	char clean[REPAIR_NAME_MAX + 1];

	repair_name(name, clean);
	snprintf(c->message->text, sizeof(c->message->text), "%s%s%s", before, clean, after);
	return false;
}

static bool refuse(struct check *c, const char *text)
{
	(void)repair_refuse(c->message, text);
	return false;
}

static bool is_kind(struct jscan object, const char *type)
{
	struct jscan v;

	return jscan_get(object, "type", &v) == RC_OK && jscan_is_str(v, type);
}

/* A member that is a string; "" when it is absent. False: it is there and can't be what it
 * should. */
static bool get_name(struct jscan object, const char *member, char out[NAME_MAX_BYTES])
{
	struct jscan v;
	enum rc rc = jscan_get(object, member, &v);

	out[0] = '\0';
	if (rc == RC_NOTFOUND)
		return true;
	return rc == RC_OK && jscan_str(v, out, NAME_MAX_BYTES) == RC_OK;
}

/* --- names ------------------------------------------------------------------------- */

static bool in_scope(const struct check *c, const char *name)
{
	for (size_t i = 0; i < c->scope_count; i++)
		if (strcasecmp(c->scope[i], name) == 0)
			return true;
	return false;
}

static bool enter(struct check *c, const char *name)
{
	/* Names that also belong to DuckDB's own catalog stay its own: one mistake less to make. */
	static const char *const reserved[] = {
		"duckdb_", "pragma_", "sqlite_", "pg_", "information_schema"};

	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
		if (strncasecmp(name, reserved[i], strlen(reserved[i])) == 0)
			return refuse_name(
				c, "a common table expression can't be called '", name, "' here");
	if (c->scope_count == SCOPE_MAX)
		return refuse(c, "the statement has too many common table expressions");
	str_copy(c->scope[c->scope_count++], NAME_MAX_BYTES, name);
	return true;
}

static bool check_table(struct check *c, struct jscan ref)
{
	char name[NAME_MAX_BYTES], schema[NAME_MAX_BYTES];

	if (!get_name(ref, "table_name", name) || !*name || !get_name(ref, "schema_name", schema))
		return refuse(c, "a table has a name that can't be read here");
	if (*schema && strcasecmp(schema, "main") != 0)
		return refuse_name(c, "'", schema, "' can't be read: a snapshot has one schema");
	if ((!*schema && in_scope(c, name)) || repair_table(c->shape, name))
		return true;
	/* With the names that are close; DuckDB never sees it, so no view of its catalog answers
	 * and no file of that name is looked for. */
	(void)repair_no_table(c->shape, name, c->message);
	return false;
}

static bool has_column(const struct check *c, const char *name)
{
	for (size_t i = 0; i < c->shape->table_count; i++)
		for (size_t k = 0; k < c->shape->tables[i].column_count; k++)
			if (strcasecmp(c->shape->tables[i].columns[k].name, name) == 0)
				return true;
	return false;
}

static bool check_column(struct check *c, struct jscan ref)
{
	struct jscan names, key, v;
	struct jscan_iter it;
	char name[NAME_MAX_BYTES];

	if (jscan_get(ref, "column_names", &names) != RC_OK)
		return refuse(c, "a column has a name that can't be read here");
	it = jscan_iter(names);
	while (names.kind == JSCAN_ARRAY && jscan_next(&it, &key, &v)) {
		if (jscan_str(v, name, sizeof(name)) != RC_OK)
			return refuse(c, "a column has a name that is too long");
		if (!listed(clock_names, name) && !has_column(c, name) &&
			(strncasecmp(name, "current_", 8) == 0 || listed(session_names, name)))
			return refuse_name(c, "'", name, "' is not available here");
	}
	return true;
}

static bool check_function(struct check *c, struct jscan f, bool in_from)
{
	char name[NAME_MAX_BYTES], schema[NAME_MAX_BYTES];

	if (!get_name(f, "function_name", name) || !get_name(f, "schema", schema))
		return refuse(c, "a function has a name that can't be read here");
	/* `x.upper()` on a column has x there; its own functions are in main. */
	if (in_from ? !listed(table_functions, name)
		    : !listed(functions_to_k, name) && !listed(functions_from_l, name))
		return refuse_name(c, "function '", name, "' is not available here");
	return true;
}

static bool check_cast(struct check *c, struct jscan type)
{
	char id[NAME_MAX_BYTES];

	if (!get_name(type, "id", id))
		return refuse(c, "a type has a name that can't be read here");
	if (listed(cast_types, id))
		return true;
	if (strcmp(id, "UNBOUND") == 0) /* a name that the parser does not know */
		return refuse(c, "a type that the statement names is not available here");
	return refuse_name(c, "type '", id, "' is not available here");
}

/* --- the walk ------------------------------------------------------------------------- */

static bool walk(struct check *c, struct jscan v);

static bool walk_members(struct check *c, struct jscan object, const char *except)
{
	struct jscan_iter it = jscan_iter(object);
	struct jscan key, v;

	while (jscan_next(&it, &key, &v)) {
		char name[NAME_MAX_BYTES];

		if (key.kind == JSCAN_STRING) {
			if (jscan_str(key, name, sizeof(name)) != RC_OK || !listed(members, name))
				return refuse_name(c, "this form of SELECT ('",
					key.len < sizeof(name) ? name : "",
					"') is not available here");
			if (except && strcmp(name, except) == 0)
				continue;
		}
		if (!walk(c, v))
			return false;
	}
	return true;
}

/* Each sees those before it. Afterwards all are in sight, until the caller leaves. */
static bool walk_ctes(struct check *c, struct jscan query)
{
	struct jscan map, key, entry, v;
	struct jscan_iter it;
	char name[NAME_MAX_BYTES];
	enum rc rc = jscan_path(query, &map, "cte_map", "map", NULL);

	if (rc == RC_NOTFOUND)
		return true;
	if (rc != RC_OK || map.kind != JSCAN_ARRAY)
		return refuse(c, "WITH can't be read here");
	it = jscan_iter(map);
	while (jscan_next(&it, &key, &entry)) {
		if (!get_name(entry, "key", name) || !*name ||
			jscan_get(entry, "value", &v) != RC_OK || !walk(c, v) || !enter(c, name))
			return *c->message->text ? false : refuse(c, "WITH can't be read here");
	}
	return true;
}

/* The right side of a recursion sees its own name, the left side does not. */
static bool walk_recursion(struct check *c, struct jscan node)
{
	struct jscan left, right;
	char name[NAME_MAX_BYTES];

	if (jscan_get(node, "left", &left) != RC_OK || jscan_get(node, "right", &right) != RC_OK ||
		!get_name(node, "cte_name", name) || !*name)
		return refuse(c, "WITH RECURSIVE can't be read here");
	if (!walk(c, left) || !enter(c, name) || !walk(c, right))
		return false;
	c->scope_count--;
	return true;
}

static bool walk_query(struct check *c, struct jscan node)
{
	size_t outer = c->scope_count;
	bool ok = walk_ctes(c, node);
	struct jscan key, v;
	struct jscan_iter it = jscan_iter(node);
	bool recursive = is_kind(node, "RECURSIVE_CTE_NODE");

	if (ok && recursive)
		ok = walk_recursion(c, node);
	while (ok && jscan_next(&it, &key, &v)) {
		char name[NAME_MAX_BYTES];

		if (jscan_str(key, name, sizeof(name)) != RC_OK || !listed(members, name))
			return refuse(c, "this form of SELECT is not available here");
		if (strcmp(name, "cte_map") == 0 ||
			(recursive && (strcmp(name, "left") == 0 || strcmp(name, "right") == 0)))
			continue;
		ok = walk(c, v);
	}
	c->scope_count = outer;
	return ok;
}

static bool walk_table_function(struct check *c, struct jscan ref)
{
	struct jscan f, class;

	if (jscan_get(ref, "function", &f) != RC_OK || jscan_get(f, "class", &class) != RC_OK ||
		!jscan_is_str(class, "FUNCTION"))
		return refuse(c, "this table function is not available here");
	return check_function(c, f, true) && walk_members(c, f, NULL) &&
		walk_members(c, ref, "function");
}

static bool check_class(struct check *c, struct jscan object, const char *class)
{
	struct jscan v;

	if (strcmp(class, "FUNCTION") == 0 || strcmp(class, "WINDOW") == 0)
		return check_function(c, object, false);
	if (strcmp(class, "COLUMN_REF") == 0)
		return check_column(c, object);
	if (strcmp(class, "CAST") == 0)
		return jscan_get(object, "cast_type", &v) == RC_OK ? check_cast(c, v) : false;
	return true;
}

static bool walk_object(struct check *c, struct jscan object)
{
	char class[NAME_MAX_BYTES], type[NAME_MAX_BYTES];
	struct jscan v;
	enum rc rc;

	if (!get_name(object, "class", class))
		return refuse(c, "this expression is not available here");
	if (*class && !listed(classes, class))
		return strcmp(class, "PARAMETER") == 0
			? refuse(c,
				  "parameters can't be bound here: write the value into the "
				  "statement")
			: refuse_name(
				  c, "this kind of expression (", class, ") is not available here");
	/* In a constant `type` is an object: its SQL type. */
	type[0] = '\0';
	rc = jscan_get(object, "type", &v);
	if ((rc != RC_OK && rc != RC_NOTFOUND) ||
		(v.kind == JSCAN_STRING && jscan_str(v, type, sizeof(type)) != RC_OK))
		return refuse(c, "this form of SELECT is not available here");
	if (strcmp(type, "SHOW_REF") == 0)
		return refuse(
			c, "DESCRIBE, SUMMARIZE and SHOW are not available here: call get_schema");
	if (*type && !listed(types, type))
		return refuse_name(c, "this form of SELECT (", type, ") is not available here");
	if (*class)
		return check_class(c, object, class) && walk_members(c, object, NULL);
	if (strcmp(type, "TABLE_FUNCTION") == 0)
		return walk_table_function(c, object);
	if (strcmp(type, "BASE_TABLE") == 0 && !check_table(c, object))
		return false;
	if (strstr(type, "_NODE"))
		return walk_query(c, object);
	return walk_members(c, object, NULL);
}

/* As deep as jscan_parse() lets the text be. */
static bool walk(struct check *c, struct jscan v)
{
	if (v.kind == JSCAN_OBJECT)
		return walk_object(c, v);
	return v.kind != JSCAN_ARRAY || walk_members(c, v, NULL);
}

/* --- a statement ------------------------------------------------------------------------ */

static enum engine_status syntax_error(struct jscan root, struct engine_message *m)
{
	static const char near[] = "at or near \"";
	char text[1024], *token, *end;
	struct jscan v;

	if (jscan_get(root, "error_type", &v) == RC_OK && jscan_is_str(v, "not implemented"))
		return repair_refuse(
			m, "only one SELECT statement is allowed: a snapshot is read only");
	/* The token may be a literal with somebody's data: only names and signs are repeated. */
	if (jscan_get(root, "error_message", &v) == RC_OK &&
		jscan_str(v, text, sizeof(text)) == RC_OK && (token = strstr(text, near)) &&
		(end = strrchr(token, '"')) > token + sizeof(near)) {
		char clean[REPAIR_NAME_MAX + 1];

		token += sizeof(near) - 1;
		*end = '\0';
		repair_name(token, clean);
		if (!strpbrk(token, "'\"$0123456789")) {
			snprintf(m->text, sizeof(m->text), "syntax error near '%s'", clean);
			return ENGINE_REFUSED;
		}
		return repair_refuse(m, "syntax error near a literal or quoted name");
	}
	return repair_refuse(m, "syntax error: the statement ends early, or is no SQL");
}

static enum engine_status check_statement(struct check *c, struct jscan statement)
{
	struct jscan node, key, v;
	struct jscan_iter it;

	if (jscan_get(statement, "node", &node) != RC_OK)
		return repair_refuse(c->message,
			"only one SELECT statement is allowed: a snapshot is read only");
	it = jscan_iter(statement);
	while (jscan_next(&it, &key, &v))
		if (!jscan_is_str(key, "node"))
			return repair_refuse(c->message,
				"parameters can't be bound here: write the value into the "
				"statement");
	if (walk(c, node))
		return ENGINE_OK;
	if (!*c->message->text)
		return repair_refuse(c->message, "this form of SELECT is not available here");
	return ENGINE_REFUSED;
}

enum engine_status duckdb_guard_check(const char *json, size_t len,
	const struct engine_shape *shape, struct engine_message *message)
{
	struct check c = {.shape = shape, .message = message};
	struct jscan root, v, key, statement, more;
	struct jscan_iter it;
	enum engine_status status;

	message->text[0] = '\0';
	if (jscan_parse(json, len, &root) != RC_OK || jscan_get(root, "error", &v) != RC_OK)
		return repair_refuse(
			message, "the statement is nested too deeply, or is no UTF-8 text");
	if (v.kind != JSCAN_FALSE)
		return syntax_error(root, message);
	if (jscan_get(root, "statements", &v) != RC_OK || v.kind != JSCAN_ARRAY)
		return repair_refuse(message, "there is no statement in sql");
	it = jscan_iter(v);
	if (!jscan_next(&it, &key, &statement))
		return repair_refuse(message, "there is no statement in sql");
	if (jscan_next(&it, &key, &more))
		return repair_refuse(message,
			"only one statement is allowed: leave out what comes after the first");
	c.scope = xcalloc(SCOPE_MAX, sizeof(*c.scope));
	status = check_statement(&c, statement);
	free(c.scope);
	return status;
}

/* --- errors ------------------------------------------------------------------------------ */

/* The name between quotes behind a lead; false when the text does not begin so. */
static bool quoted_after(const char *text, const char *lead, char quote, char out[NAME_MAX_BYTES])
{
	const char *at = strstr(text, lead), *end;

	if (!at)
		return false;
	at += strlen(lead);
	end = strchr(at, quote);
	return end && str_copy_len(out, NAME_MAX_BYTES, at, (size_t)(end - at));
}

int duckdb_guard_error_type(const char *text)
{
	static const struct {
		const char *begins;
		int type;
	} kinds[] = {
		{"Binder Error", DUCKDB_ERROR_BINDER},
		{"Catalog Error", DUCKDB_ERROR_CATALOG},
		{"Parser Error", DUCKDB_ERROR_PARSER},
		{"Conversion Error", DUCKDB_ERROR_CONVERSION},
		{"Out of Range Error", DUCKDB_ERROR_OUT_OF_RANGE},
		{"Out of Memory Error", DUCKDB_ERROR_OUT_OF_MEMORY},
		{"INTERRUPT Error", DUCKDB_ERROR_INTERRUPT},
		{"Permission Error", DUCKDB_ERROR_PERMISSION},
		{"FATAL Error", DUCKDB_ERROR_FATAL},
		{"INTERNAL Error", DUCKDB_ERROR_INTERNAL},
	};

	for (size_t i = 0; text && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strncmp(text, kinds[i].begins, strlen(kinds[i].begins)) == 0)
			return kinds[i].type;
	return DUCKDB_ERROR_INVALID_INPUT;
}

enum engine_status duckdb_guard_explain(int error_type, const char *text,
	const struct engine_shape *shape, struct engine_message *message)
{
	char name[NAME_MAX_BYTES];
	size_t n = 0;

	message->text[0] = '\0';
	switch (error_type) {
	case DUCKDB_ERROR_BINDER:
	case DUCKDB_ERROR_CATALOG:
		break;
	case DUCKDB_ERROR_PARSER:
		return repair_refuse(message, "syntax error");
	default:
		return duckdb_guard_step_failed(error_type, message);
	}
	if (quoted_after(text, "Referenced column \"", '"', name))
		return repair_no_column(shape, name, message);
	if (quoted_after(text, "does not have a column named \"", '"', name))
		return repair_no_column(shape, name, message);
	if (quoted_after(text, "Table with name ", ' ', name))
		return repair_no_table(shape, name, message);
	/* Types and functions that do not fit: the first line tells, and quotes no literal. */
	if (strncmp(text, "Binder Error: ", 14) == 0)
		text += 14;
	if (strncmp(text, "Catalog Error: ", 15) == 0)
		text += 15;
	if (strchr(text, '\'') && strcspn(text, "'") < strcspn(text, "\n"))
		return repair_refuse(message,
			"the statement does not fit the tables: check columns, functions and their "
			"types");
	for (; text[n] && text[n] != '\n' && n < 240; n++)
		message->text[n] = (unsigned char)text[n] < 32 || text[n] == 127 ? '?' : text[n];
	while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	message->text[n] = '\0';
	return ENGINE_REFUSED;
}

enum engine_status duckdb_guard_step_failed(int error_type, struct engine_message *message)
{
	switch (error_type) {
	case DUCKDB_ERROR_OUT_OF_MEMORY:
		return repair_refuse(message,
			"the statement needs too much memory: select fewer rows or columns, sort "
			"or join "
			"less");
	case DUCKDB_ERROR_CONVERSION:
		return repair_refuse(message,
			"a value can't be converted to the type that the statement wants: use "
			"TRY_CAST, "
			"or compare it as text");
	case DUCKDB_ERROR_OUT_OF_RANGE:
		return repair_refuse(message, "a number is out of range");
	case DUCKDB_ERROR_INVALID_INPUT:
		return repair_refuse(message,
			"the statement failed while it ran: check functions and their arguments");
	case DUCKDB_ERROR_PERMISSION:
		return repair_refuse(message, "the statement did something that is not allowed");
	default:
		return repair_refuse(message,
			"the statement failed while it ran: check functions and their arguments");
	}
}
