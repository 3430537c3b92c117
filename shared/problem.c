#include "shared/problem.h"

#include <string.h>

static const struct {
	const char *code;
	const char *title;
	int status;
	int rpc_code;
} table[PROBLEM_COUNT] = {
#define X(name, code, status, rpc, title) {code, title, status, rpc},
	PROBLEM_TABLE(X)
#undef X
};

const char *problem_code(enum problem p)
{
	return table[p].code;
}

const char *problem_title(enum problem p)
{
	return table[p].title;
}

int problem_status(enum problem p)
{
	return table[p].status;
}

int problem_rpc_code(enum problem p)
{
	return table[p].rpc_code;
}

enum problem problem_from_code(const char *code)
{
	int p = 0;

	while (p < PROBLEM_COUNT && strcmp(table[p].code, code) != 0)
		p++;
	return (enum problem)p;
}

enum problem problem_from_rc(enum rc rc)
{
	switch (rc) {
	case RC_INVALID:
		return PROBLEM_INVALID_FIELD;
	case RC_NOTFOUND:
		return PROBLEM_NOT_FOUND;
	case RC_CONFLICT:
		return PROBLEM_CONFLICT;
	case RC_DENIED:
		return PROBLEM_FORBIDDEN;
	case RC_LIMIT:
		return PROBLEM_OVERLOADED;
	case RC_UNAVAILABLE:
		return PROBLEM_STATE_DOWN;
	case RC_OK:
	case RC_INTERNAL:
		break;
	}
	return PROBLEM_INTERNAL;
}

void problem_json(struct buf *out, enum problem p, const char *detail, const char *request_id)
{
	buf_printf(out, "{\"type\":\"urn:airlock:problem:%s\",\"title\":", table[p].code);
	buf_json(out, table[p].title);
	buf_printf(out, ",\"status\":%d,\"code\":\"%s\"", table[p].status, table[p].code);
	if (detail && *detail) {
		buf_str(out, ",\"detail\":");
		buf_json(out, detail);
	}
	if (request_id && *request_id) {
		buf_str(out, ",\"request_id\":");
		buf_json(out, request_id);
	}
	buf_char(out, '}');
}
