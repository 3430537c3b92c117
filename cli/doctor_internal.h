/* doctor_internal: what doctor.c and doctor_audit.c share. Not for anyone else. */
#ifndef CLI_DOCTOR_INTERNAL_H
#define CLI_DOCTOR_INTERNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/args.h"
#include "shared/config.h"
#include "shared/crypto.h"
#include "shared/msg.h"

enum doctor_grade { DOCTOR_GOOD, DOCTOR_WARNING, DOCTOR_FAULT, DOCTOR_SKIPPED };

struct doctor {
	const struct args *args;
	json_t *findings;
	bool fault;
	struct config c;
	struct crypto_identity id;
	bool have_key;
	int64_t log_seq; /* the last row of the audit log, as far as it was read; 0: none */
};

/* remedy is "" where none is needed. */
void doctor_find(struct doctor *d, const char *check, enum doctor_grade grade, const char *remedy,
	const char *fmt, ...) PRINTF_LIKE(5, 6);

/* --- doctor_audit.c --- */
/* The chain of the log; sets log_seq. */
void doctor_audit_log(struct doctor *d);
/* The search index, beside the log. */
void doctor_audit_index(struct doctor *d);
/* What the tunnel daemon says of the archiving of closed files. */
void doctor_audit_archive(struct doctor *d, const struct msg *pong);

#endif
