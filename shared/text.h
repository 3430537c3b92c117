/* text: small pure helpers on strings: encodings, names, spelling. */
#ifndef SHARED_TEXT_H
#define SHARED_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/rc.h"

/* dst holds 2 * len + 1. Lower case. */
void text_hex(const uint8_t *bytes, size_t len, char *dst);
/* Exactly len bytes must come out. */
enum rc text_unhex(const char *hex, uint8_t *bytes, size_t len) MUST_CHECK;

#define TEXT_B64_LEN(n) (((n) + 2) / 3 * 4)
/* Standard alphabet with padding; dst holds TEXT_B64_LEN(len) + 1. */
void text_b64(const uint8_t *bytes, size_t len, char *dst);
/* RC_INVALID on other characters, bad padding or more than cap bytes. */
enum rc text_unb64(
	const char *b64, size_t b64_len, uint8_t *bytes, size_t cap, size_t *len) MUST_CHECK;
/* URL alphabet without padding (RFC 4648 section 5). */
void text_b64url(const uint8_t *bytes, size_t len, char *dst);
enum rc text_unb64url(
	const char *b64, size_t b64_len, uint8_t *bytes, size_t cap, size_t *len) MUST_CHECK;

#define TEXT_B32_LEN(n) (((n)*8 + 4) / 5)
/* Lower case RFC 4648 base32 without padding (a-z, 2-7): used in ids and keys. */
void text_b32(const uint8_t *bytes, size_t len, char *dst);

/* Bytes of the well-formed UTF-8 sequence that s starts with; 0 when there is none. */
size_t text_utf8_len(const char *s, size_t len);
bool text_utf8_ok(const char *s, size_t len);
/* 1 to 63 characters of a-z 0-9 '-', starting and ending with a letter or digit. */
bool text_slug_ok(const char *s);
/* A name for people: 1 to max bytes of UTF-8 without control characters. */
bool text_name_ok(const char *s, size_t max);
/* The closest of names[count] by edit distance, or NULL when none is close enough to suggest. */
const char *text_nearest(const char *word, const char *const *names, size_t count);
/* How many characters s begins with that are ASCII letters, digits or in also. Faster than
 * strspn(), which makes a table of such a set each time. */
size_t text_span(const char *s, const char *also);
/* Case-insensitive ASCII comparison. */
bool text_equal_nocase(const char *a, const char *b);
/* A host or URL host part that means this machine: localhost, *.localhost, 127/8, ::1, 0.0.0.0. */
bool text_host_is_loopback(const char *host);

#endif
