/* outcome: how a call ended, in the product's words. Pure. */
#ifndef TUNNELD_OUTCOME_H
#define TUNNELD_OUTCOME_H

#include <stdbool.h>

#include "shared/problem.h"

#define OUTCOME_TABLE(X)                                                                          \
	/* name, may a worker's RESULT say so, what the caller is told when there is no RESULT */ \
	X(OK, "ok", true, PROBLEM_INTERNAL)                                                       \
	X(TOOL_ERROR, "tool_error", true, PROBLEM_INTERNAL)                                       \
	X(DENIED, "denied", true, PROBLEM_DENIED)                                                 \
	X(NO_WORKER, "no_worker", false, PROBLEM_NO_WORKER)                                       \
	X(TIMEOUT, "timeout", true, PROBLEM_TIMEOUT)                                              \
	X(CANCELLED, "cancelled", true, PROBLEM_CANCELLED)                                        \
	X(OVERLOADED, "overloaded", true, PROBLEM_OVERLOADED)                                     \
	X(TOO_LARGE, "too_large", true, PROBLEM_RESULT_TOO_LARGE)                                 \
	X(PROTOCOL_ERROR, "protocol_error", false, PROBLEM_PROTOCOL_ERROR)

enum outcome {
#define X(name, text, worker, problem) OUTCOME_##name,
	OUTCOME_TABLE(X)
#undef X
		OUTCOME_COUNT
};

const char *outcome_name(enum outcome o);
enum problem outcome_problem(enum outcome o);
/* OUTCOME_COUNT when a worker may not say that. */
enum outcome outcome_from_worker(const char *name);

#endif
