#include "tunneld/outcome.h"

#include <string.h>

static const struct {
	const char *name;
	bool from_worker;
	enum problem problem;
} rows[] = {
#define X(name, text, worker, problem) {text, worker, problem},
	OUTCOME_TABLE(X)
#undef X
};

const char *outcome_name(enum outcome o)
{
	return o < OUTCOME_COUNT ? rows[o].name : "";
}

enum problem outcome_problem(enum outcome o)
{
	return o < OUTCOME_COUNT ? rows[o].problem : PROBLEM_INTERNAL;
}

enum outcome outcome_from_worker(const char *name)
{
	for (int i = 0; i < OUTCOME_COUNT; i++)
		if (rows[i].from_worker && !strcmp(name, rows[i].name))
			return (enum outcome)i;
	return OUTCOME_COUNT;
}
