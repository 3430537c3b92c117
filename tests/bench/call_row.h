/* call_row: the row of an ordinary call, as the benchmarks of the audit log write it by the
 * million. */
#ifndef BENCH_CALL_ROW_H
#define BENCH_CALL_ROW_H

#include "shared/audit.h"
#include "shared/text.h"

static inline void call_row(struct audit_record *r)
{
	audit_init(r, "tool.call");
	(void)str_copy(r->tenant_id, sizeof(r->tenant_id), "t_fintech");
	(void)str_copy(r->actor_kind, sizeof(r->actor_kind), "agent");
	(void)str_copy(r->actor_id, sizeof(r->actor_id), "key_mfrggzdfmztwq2lk");
	(void)str_copy(r->key_id, sizeof(r->key_id), "key_mfrggzdfmztwq2lk");
	(void)str_copy(r->method, sizeof(r->method), "tools/call");
	(void)str_copy(r->tool, sizeof(r->tool), "execute_sql");
	(void)str_copy(r->outcome, sizeof(r->outcome), "ok");
	(void)str_copy(r->request_id, sizeof(r->request_id), "req_mfrggzdfmztwq2lk");
	(void)str_copy(r->session_id, sizeof(r->session_id), "s_5f2c9d7a4be81035");
	(void)str_copy(r->worker_id, sizeof(r->worker_id), "w_5f2c9d7a4be81035");
	(void)str_copy(r->remote_ip, sizeof(r->remote_ip), "192.0.2.7");
	r->latency_ms = 7;
	r->bytes_in = 234;
	r->bytes_out = 1234;
}

#endif
