/* budget: whether long work may go on. Sources and engines ask it at least every few milliseconds
 * of their own work and while they wait for somebody else: that is how a call is cancelled, from
 * any thread, without a thread to interrupt it. */
#ifndef WORKER_BUDGET_H
#define WORKER_BUDGET_H

enum budget_state { BUDGET_GO, BUDGET_TIMEOUT, BUDGET_CANCELLED };

/* check is called from the working thread only and must be cheap; NULL: no limit. */
struct budget {
	enum budget_state (*check)(void *ctx);
	void *ctx;
};

static inline enum budget_state budget_check(const struct budget *b)
{
	return b->check ? b->check(b->ctx) : BUDGET_GO;
}

#endif
