#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "shared/crypto.h"
#include "shared/session.h"
#include "shared/text.h"

#define SECRET "0123456789abcdef0123456789abcdef"

static const struct session_claims claims = {
	.sub = "operator", .org = "*", .role = "admin", .iat = 1000, .exp = 2000};

static void an_issued_token_is_checked(void **state)
{
	struct session_claims c;
	char token[1024];

	(void)state;
	assert_int_equal(session_issue(SECRET, &claims, token, sizeof token), RC_OK);
	assert_int_equal(session_check(SECRET, token, 1500, &c), RC_OK);
	assert_string_equal(c.sub, "operator");
	assert_string_equal(c.org, "*");
	assert_string_equal(c.role, "admin");
	assert_int_equal(session_check(SECRET, token, 2000, &c), RC_DENIED);
	assert_int_equal(
		session_check("another secret, also long enough", token, 1500, &c), RC_DENIED);
}

/* Every single changed character makes it worthless. */
static void no_changed_token_is_believed(void **state)
{
	struct session_claims c;
	char token[1024];
	size_t len;

	(void)state;
	assert_int_equal(session_issue(SECRET, &claims, token, sizeof token), RC_OK);
	len = strlen(token);
	for (size_t i = 0; i < len; i++) {
		char old = token[i];

		token[i] = old == 'A' ? 'B' : 'A';
		assert_int_equal(session_check(SECRET, token, 1500, &c), RC_DENIED);
		token[i] = old;
	}
}

/* {"alg":"none"} . claims . */
static const char unsigned_token[] =
	"eyJhbGciOiJub25lIn0."
	"eyJzdWIiOiJvcGVyYXRvciIsIm9yZyI6IioiLCJyb2xlIjoiYWRtaW4iLCJpYXQiOjEwMDAsImV4cCI6MjAwMH0.";

static void foreign_tokens(void **state)
{
	static const char *const refused[] = {
		"",
		".",
		"..",
		"a.b.c",
		"....",
		unsigned_token,
	};
	struct session_claims c;

	(void)state;
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
		assert_int_equal(session_check(SECRET, refused[i], 1500, &c), RC_DENIED);
}

/* Signs any header and claims with the right secret: what is then refused is refused for what it
 * says. */
static void signed_token(
	const char *secret, const char *header, const char *body, char *token, size_t cap)
{
	char part[3][3000];
	uint8_t mac[CRYPTO_HASH_LEN];
	size_t len;

	text_b64url((const uint8_t *)header, strlen(header), part[0]);
	text_b64url((const uint8_t *)body, strlen(body), part[1]);
	len = (size_t)snprintf(token, cap, "%s.%s", part[0], part[1]);
	assert_true(len < cap);
	crypto_hmac_sha256(secret, strlen(secret), token, len, mac);
	text_b64url(mac, sizeof(mac), part[2]);
	assert_true((size_t)snprintf(token + len, cap - len, ".%s", part[2]) < cap - len);
}

#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define BODY(rest) "{\"sub\":\"a\",\"org\":\"o\",\"role\":\"admin\",\"iat\":1000" rest "}"

static void only_one_kind_of_header_is_taken(void **state)
{
	static const struct {
		const char *header;
		enum rc rc;
	} cases[] = {
		{HEADER, RC_OK},
		{"{\"typ\":\"JWT\",\"alg\":\"HS256\"}", RC_OK},
		{"{\"alg\":\"HS256\"}", RC_OK},
		{"{\"typ\":\"JWT\"}", RC_DENIED},
		{"{}", RC_DENIED},
		{"[]", RC_DENIED},
		{"", RC_DENIED},
		{"{\"alg\":\"none\"}", RC_DENIED},
		{"{\"alg\":\"hs256\"}", RC_DENIED},
		{"{\"alg\":\"HS512\"}", RC_DENIED},
		{"{\"alg\":[\"HS256\"]}", RC_DENIED},
		{"{\"alg\":\"HS256\",\"alg\":\"none\"}", RC_DENIED},
		{"{\"alg\":\"HS256\",\"alg\":\"HS256\"}", RC_DENIED},
		{"{\"alg\":\"HS256\",\"typ\":\"JWE\"}", RC_DENIED},
		{"{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}", RC_DENIED},
		{"{\"alg\":\"HS256\",\"kid\":\"../../etc/passwd\"}", RC_DENIED},
		{"{\"alg\":\"HS256\",\"jwk\":{}}", RC_DENIED},
	};
	struct session_claims c;
	char token[4200];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		signed_token(SECRET, cases[i].header, BODY(",\"exp\":2000"), token, sizeof(token));
		assert_int_equal(session_check(SECRET, token, 1500, &c), cases[i].rc);
	}
}

static void every_claim_is_needed_and_of_its_type(void **state)
{
	static const struct {
		const char *body;
		enum rc rc;
	} cases[] = {
		{BODY(",\"exp\":2000"), RC_OK},
		{BODY(",\"exp\":2000,\"unknown\":{\"a\":[]}"), RC_OK},
		{BODY(",\"exp\":2000,\"nbf\":1500"), RC_OK},
		{BODY(",\"exp\":2000,\"nbf\":1501"), RC_DENIED},
		{BODY(",\"exp\":2000,\"nbf\":\"x\""), RC_DENIED},
		{BODY(",\"exp\":1500"), RC_DENIED},
		{BODY(",\"exp\":\"2000\""), RC_DENIED},
		{BODY(",\"exp\":2000.5"), RC_DENIED},
		{BODY(",\"exp\":99999999999999999999"), RC_DENIED},
		{BODY(",\"exp\":null"), RC_DENIED},
		{BODY(",\"exp\":2000,\"exp\":3000"), RC_DENIED},
		{BODY(""), RC_DENIED},
		{"{\"org\":\"o\",\"role\":\"admin\",\"iat\":1,\"exp\":2000}", RC_DENIED},
		{"{\"sub\":\"a\",\"role\":\"admin\",\"iat\":1,\"exp\":2000}", RC_DENIED},
		{"{\"sub\":\"a\",\"org\":\"o\",\"iat\":1,\"exp\":2000}", RC_DENIED},
		{"{\"sub\":\"a\",\"org\":\"o\",\"role\":\"admin\",\"exp\":2000}", RC_DENIED},
		{"{\"sub\":\"\",\"org\":\"o\",\"role\":\"admin\",\"iat\":1,\"exp\":2000}",
			RC_DENIED},
		{"{\"sub\":\"a\",\"org\":\"\",\"role\":\"admin\",\"iat\":1,\"exp\":2000}",
			RC_DENIED},
		{"{\"sub\":\"a\\u0000b\",\"org\":\"o\",\"role\":\"admin\",\"iat\":1,\"exp\":2000}",
			RC_DENIED},
		{"{\"sub\":1,\"org\":\"o\",\"role\":\"admin\",\"iat\":1,\"exp\":2000}", RC_DENIED},
		{"{\"sub\":\"a\",\"org\":\"o\",\"role\":\"a role that is longer than there is "
		 "room\",\"iat\":1,\"exp\":2000}",
			RC_DENIED},
		{"[]", RC_DENIED},
		{"not json", RC_DENIED},
		{"", RC_DENIED},
	};
	struct session_claims c;
	char token[4200];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		signed_token(SECRET, HEADER, cases[i].body, token, sizeof(token));
		assert_int_equal(session_check(SECRET, token, 1500, &c), cases[i].rc);
	}
}

/* Base64 has several spellings of the same bytes: one is taken. */
static void other_spellings_of_a_token_are_refused(void **state)
{
	static const char *const tails[] = {"=", ".", ".x", " ", "\n"};
	struct session_claims c = {.sub = "untouched"};
	char token[4200], longer[4300];
	size_t len;

	(void)state;
	assert_int_equal(session_issue(SECRET, &claims, token, sizeof(token)), RC_OK);
	len = strlen(token);
	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		snprintf(longer, sizeof(longer), "%s%s", token, tails[i]);
		assert_int_equal(session_check(SECRET, longer, 1500, &c), RC_DENIED);
		snprintf(longer, sizeof(longer), "%s%s", tails[i], token);
		assert_int_equal(session_check(SECRET, longer, 1500, &c), RC_DENIED);
	}
	/* A part missing from the signature's end. */
	token[len - 1] = '\0';
	assert_int_equal(session_check(SECRET, token, 1500, &c), RC_DENIED);
	assert_string_equal(c.sub, "untouched");
}

static void bounds_and_empty_secrets(void **state)
{
	struct session_claims c, wide = claims;
	char token[4200], body[3200], tiny[20];

	(void)state;
	assert_int_equal(session_issue(SECRET, &claims, tiny, sizeof(tiny)), RC_LIMIT);
	assert_int_equal(session_issue("", &claims, token, sizeof(token)), RC_INVALID);
	signed_token("", HEADER, BODY(",\"exp\":2000"), token, sizeof(token));
	assert_int_equal(session_check("", token, 1500, &c), RC_DENIED);
	/* The longest claims there are come back. */
	memset(wide.sub, '"', sizeof(wide.sub) - 1);
	memset(wide.org, 'o', sizeof(wide.org) - 1);
	memset(wide.role, 'r', sizeof(wide.role) - 1);
	wide.exp = INT64_MAX;
	assert_int_equal(session_issue(SECRET, &wide, token, sizeof(token)), RC_OK);
	assert_int_equal(session_check(SECRET, token, 1500, &c), RC_OK);
	assert_string_equal(c.sub, wide.sub);
	assert_string_equal(c.org, wide.org);
	assert_string_equal(c.role, wide.role);
	assert_int_equal(c.iat, wide.iat);
	assert_int_equal(c.exp, wide.exp);
	/* 4096 characters are enough; a valid token of more is not looked at. */
	snprintf(body, sizeof(body), BODY(",\"exp\":2000,\"pad\":\"%02800d\""), 0);
	signed_token(SECRET, HEADER, body, token, sizeof(token));
	assert_true(strlen(token) < 4096);
	assert_int_equal(session_check(SECRET, token, 1500, &c), RC_OK);
	memset(token, 'a', 4097);
	token[4097] = '\0';
	token[100] = token[200] = '.';
	assert_int_equal(session_check(SECRET, token, 1500, &c), RC_DENIED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_issued_token_is_checked),
		cmocka_unit_test(no_changed_token_is_believed),
		cmocka_unit_test(foreign_tokens),
		cmocka_unit_test(only_one_kind_of_header_is_taken),
		cmocka_unit_test(every_claim_is_needed_and_of_its_type),
		cmocka_unit_test(other_spellings_of_a_token_are_refused),
		cmocka_unit_test(bounds_and_empty_secrets),
	};

	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
