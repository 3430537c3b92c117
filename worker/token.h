/* token: format-preserving tokens: digits stay digits, letters letters of the same case and script,
 * everything else stays. Values of one format are permuted under a key, so equal values have equal
 * tokens and different ones different tokens. docs/masking.md says what that is worth. */
#ifndef WORKER_TOKEN_H
#define WORKER_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOKEN_KEY_LEN 32
#define TOKEN_BYTES_MAX 1024
/* A format with fewer possible values is no place to hide in. NIST SP 800-38G asks for as many. */
#define TOKEN_DOMAIN_MIN 1000000

/* out holds len bytes: a token is as long as its value. False when the value has no token: too few
 * possible values, longer than TOKEN_BYTES_MAX, letters of a script not known here, or no UTF-8. */
bool token_make(const uint8_t key[TOKEN_KEY_LEN], const char *text, size_t len, char *out);

#endif
