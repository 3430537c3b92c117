/* enroll: `airlock-worker enroll`: turns a one-time enrollment token into an enrolled identity.
 * Safe to run again after a kill at any point. */
#ifndef WORKER_ENROLL_H
#define WORKER_ENROLL_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/buf.h"
#include "shared/crypto.h"
#include "shared/rc.h"
#include "worker/identity.h"

#define ENROLL_TOKEN_MAX 512

struct enroll_options {
	const char *config_path;
	const char *url; /* of the control plane */
	const char *name; /* NULL: worker.name of the file */
	const char *token_file; /* NULL: AIRLOCK_ENROLLMENT_TOKEN, else standard input */
	bool force; /* enroll anew although enrolled */
	bool allow_insecure;
};

/* The process's exit status. */
int worker_enroll(const struct enroll_options *options);

/* The pure parts. */
void enroll_request_json(const char *token, const uint8_t public_key[CRYPTO_PUBLIC_LEN],
	const char *name, struct buf *out);
/* Reads the control plane's answer; fills everything of out but public_key and url. RC_INVALID when
 * a member is missing or wrong. */
enum rc enroll_answer_parse(const char *text, size_t len, struct enrolled *out) MUST_CHECK;

#endif
