#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/crypto.h"
#include "shared/file.h"
#include "shared/text.h"

static char dir[64];
static char path[128];

static int make_dir(void **state)
{
	(void)state;
	crypto_init();
	strcpy(dir, "/tmp/test_crypto.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/key.pem", dir);
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

static int remove_key(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

static void put_file(const char *text)
{
	assert_int_equal(file_write_atomic(path, text, strlen(text), 0600), RC_OK);
}

static void hex_is(const uint8_t *bytes, size_t len, const char *expected)
{
	char hex[200];

	text_hex(bytes, len, hex);
	assert_string_equal(hex, expected);
}

/* RFC 8032 section 7.1, test 2: the seed as a PKCS#8 file, the public key and the signature of one
 * byte. */
#define RFC8032_PEM                                                          \
	"-----BEGIN PRIVATE KEY-----\n"                                      \
	"MC4CAQAwBQYDK2VwBCIEIEzNCJso/5banbbDRuwRTg9bijGfNaumJNqM9u1PuKb7\n" \
	"-----END PRIVATE KEY-----\n"
#define RFC8032_PUBLIC "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
#define RFC8032_SIG                                                        \
	"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da" \
	"085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"

static void signs_as_the_rfc_does(void **state)
{
	struct crypto_identity id;
	uint8_t sig[CRYPTO_SIG_LEN];

	(void)state;
	put_file(RFC8032_PEM);
	assert_int_equal(crypto_identity_load(path, &id), RC_OK);
	hex_is(id.public_key, sizeof(id.public_key), RFC8032_PUBLIC);
	crypto_sign(&id, "\x72", 1, sig);
	hex_is(sig, sizeof(sig), RFC8032_SIG);
	assert_true(crypto_verify(id.public_key, "\x72", 1, sig));
	assert_false(crypto_verify(id.public_key, "\x73", 1, sig));
	sig[0] ^= 1;
	assert_false(crypto_verify(id.public_key, "\x72", 1, sig));
	crypto_identity_wipe(&id);
	for (size_t i = 0; i < sizeof(id.secret); i++)
		assert_int_equal(id.secret[i], 0);
}

static void saves_the_standard_form(void **state)
{
	struct crypto_identity id;
	char *text;
	size_t len;

	(void)state;
	put_file(RFC8032_PEM);
	assert_int_equal(crypto_identity_load(path, &id), RC_OK);
	unlink(path);
	assert_int_equal(crypto_identity_save(&id, path), RC_OK);
	assert_int_equal(file_read(path, 4096, &text, &len), RC_OK);
	assert_string_equal(text, RFC8032_PEM);
	free(text);
}

static void saves_once_with_mode_0600(void **state)
{
	struct crypto_identity id;
	struct crypto_identity other;
	struct crypto_identity back;
	struct stat st;

	(void)state;
	crypto_identity_new(&id);
	crypto_identity_new(&other);
	assert_memory_not_equal(id.secret, other.secret, sizeof(id.secret));
	assert_int_equal(crypto_identity_save(&id, path), RC_OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_nlink, 1); /* the temporary name is gone */
	assert_int_equal(crypto_identity_save(&other, path), RC_CONFLICT);
	assert_int_equal(crypto_identity_load(path, &back), RC_OK);
	assert_memory_equal(&back, &id, sizeof(id));
}

static void loads_what_other_tools_write(void **state)
{
	struct crypto_identity id;

	(void)state;
	/* CR LF, text before it, base64 in short lines. */
	put_file("comment\r\n-----BEGIN PRIVATE KEY-----\r\n"
		 "MC4CAQAwBQYDK2VwBCIEIEzNCJso/5banbbDR\r\nuwRTg9bijGfNaumJNqM9u1PuKb7\r\n"
		 "-----END PRIVATE KEY-----\r\n");
	assert_int_equal(crypto_identity_load(path, &id), RC_OK);
	hex_is(id.public_key, sizeof(id.public_key), RFC8032_PUBLIC);
	/* RFC 8410 section 10.3: version 1 with an attribute and the public key. */
	put_file("-----BEGIN PRIVATE KEY-----\n"
		 "MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
		 "oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB\n"
		 "Z9w7lshQhqowtrbLDFw4rXAxZuE=\n"
		 "-----END PRIVATE KEY-----\n");
	assert_int_equal(crypto_identity_load(path, &id), RC_OK);
	hex_is(id.public_key, sizeof(id.public_key),
		"19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1");
}

static void refuses_what_is_no_key(void **state)
{
	static const char *const bad[] = {"", "-----BEGIN PRIVATE KEY-----\n",
		"-----END PRIVATE KEY-----\n",
		"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
		"-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n",
		/* one byte short, X25519 instead of Ed25519, a length that lies, a byte too many */
		"-----BEGIN PRIVATE "
		"KEY-----\nMC4CAQAwBQYDK2VwBCIEIEzNCJso/5banbbDRuwRTg9bijGfNaumJNqM9u1PuKY=\n"
		"-----END PRIVATE KEY-----\n",
		"-----BEGIN PRIVATE "
		"KEY-----\nMC4CAQAwBQYDK2VuBCIEIEzNCJso/5banbbDRuwRTg9bijGfNaumJNqM9u1PuKb7\n"
		"-----END PRIVATE KEY-----\n",
		"-----BEGIN PRIVATE "
		"KEY-----\nMC8CAQAwBQYDK2VwBCIEIEzNCJso/5banbbDRuwRTg9bijGfNaumJNqM9u1PuKb7\n"
		"-----END PRIVATE KEY-----\n",
		"-----BEGIN PRIVATE "
		"KEY-----\nMC8CAQAwBQYDK2VwBCIEIEzNCJso/5banbbDRuwRTg9bijGfNaumJNqM9u1PuKb7AA==\n"
		"-----END PRIVATE KEY-----\n"};
	struct crypto_identity id;
	char *large = calloc(1, 10001);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put_file(bad[i]);
		assert_int_equal(crypto_identity_load(path, &id), RC_INVALID);
	}
	memset(large, 'A', 10000);
	put_file(large);
	assert_int_equal(crypto_identity_load(path, &id), RC_INVALID);
	free(large);
	unlink(path);
	assert_int_equal(crypto_identity_load(path, &id), RC_NOTFOUND);
	put_file(RFC8032_PEM);
	chmod(path, 0640);
	assert_int_equal(crypto_identity_load(path, &id), RC_DENIED);
	chmod(path, 0604);
	assert_int_equal(crypto_identity_load(path, &id), RC_DENIED);
}

static void public_key_as_pem(void **state)
{
	struct crypto_identity id;
	char pem[200];

	(void)state;
	put_file(RFC8032_PEM);
	assert_int_equal(crypto_identity_load(path, &id), RC_OK);
	assert_int_equal(crypto_public_pem(id.public_key, pem, sizeof(pem)), RC_OK);
	assert_string_equal(pem,
		"-----BEGIN PUBLIC KEY-----\n"
		"MCowBQYDK2VwAyEAPUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=\n"
		"-----END PUBLIC KEY-----\n");
	assert_int_equal(crypto_public_pem(id.public_key, pem, 100), RC_LIMIT);
}

/* One exchange that OpenSSL made. */
#define OWN_SECRET "00d0893f21c4b4f2f40adb354ab7243a11426436b867af9c0a3036abeeb76659"
#define PEER_PUBLIC "701ab3a0e42d2589c6c3b7afa4c35c59b3d03b8e3688a17780d56d11c06d535f"
#define AGREED "e13c202792c591486462cdc86a0395b4c64fceb4d3e4e4c3821b90fba1d53062"

static void agrees_on_a_secret(void **state)
{
	struct crypto_ephemeral alice;
	struct crypto_ephemeral bob;
	uint8_t a[CRYPTO_KEY_LEN];
	uint8_t b[CRYPTO_KEY_LEN];
	static const uint8_t zero[CRYPTO_EPHEMERAL_LEN];
	static const uint8_t one[CRYPTO_EPHEMERAL_LEN] = {1};

	(void)state;
	crypto_ephemeral_new(&alice);
	crypto_ephemeral_new(&bob);
	assert_memory_not_equal(alice.public_key, bob.public_key, sizeof(alice.public_key));
	assert_int_equal(crypto_agree(&alice, bob.public_key, a), RC_OK);
	assert_int_equal(crypto_agree(&bob, alice.public_key, b), RC_OK);
	assert_memory_equal(a, b, sizeof(a));
	/* Keys of low order would force a secret that everybody knows. */
	assert_int_equal(crypto_agree(&alice, zero, a), RC_INVALID);
	assert_int_equal(crypto_agree(&alice, one, a), RC_INVALID);
	assert_int_equal(text_unhex(OWN_SECRET, alice.secret, sizeof(alice.secret)), RC_OK);
	assert_int_equal(text_unhex(PEER_PUBLIC, bob.public_key, sizeof(bob.public_key)), RC_OK);
	assert_int_equal(crypto_agree(&alice, bob.public_key, a), RC_OK);
	hex_is(a, sizeof(a), AGREED);
}

static void digests(void **state)
{
	uint8_t out[CRYPTO_HASH_LEN];
	uint8_t key[32];

	(void)state;
	crypto_sha256("abc", 3, out); /* FIPS 180-4 */
	hex_is(out, sizeof(out),
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	crypto_hmac_sha256(
		"Jefe", 4, "what do ya want for nothing?", 28, out); /* RFC 4231, case 2 */
	hex_is(out, sizeof(out),
		"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	crypto_blake2b(NULL, 0, "abc", 3, out); /* b2sum -l 256 */
	hex_is(out, sizeof(out),
		"bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)i;
	crypto_blake2b(key, sizeof(key), "abc", 3, out);
	hex_is(out, sizeof(out),
		"d63a32d3e44738d7907f964316c241adaba0abfeabc32349677578a15a203f7f");
	crypto_blake2b(key, sizeof(key), "", 0, out);
	hex_is(out, sizeof(out),
		"4e51e7a913fc80137da52880fecca175bf81e117d5c68126dc2774033517ea0d");
}

static void compares(void **state)
{
	(void)state;
	assert_true(crypto_equal("abc", 3, "abc", 3));
	assert_false(crypto_equal("abc", 3, "abd", 3));
	assert_false(crypto_equal("abc", 3, "abcd", 4));
	assert_true(crypto_equal("", 0, "", 0));
}

static void makes_ids(void **state)
{
	char a[CRYPTO_ID_MAX + 1];
	char b[CRYPTO_ID_MAX + 1];

	(void)state;
	crypto_id("req", a, sizeof("req") - 1 + 18);
	crypto_id("req", b, sizeof(b));
	assert_memory_equal(a, "req_", 4);
	assert_int_equal(strlen(a), 20);
	assert_int_equal(strspn(a + 4, "abcdefghijklmnopqrstuvwxyz234567"), 16);
	assert_string_not_equal(a, b);
}

static void leaves_no_core(void **state)
{
	struct rlimit limit;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_CORE, &limit), 0);
	assert_int_equal(limit.rlim_cur, 0);
	assert_int_equal(limit.rlim_max, 0);
}

static void a_child_draws_other_numbers(void **state)
{
	uint8_t mine[32], its[32];
	int fd[2];
	pid_t child;

	(void)state;
	crypto_random(mine, sizeof(mine));
	assert_int_equal(pipe(fd), 0);
	child = fork();
	if (child == 0) {
		crypto_random(its, sizeof(its));
		_exit(write(fd[1], its, sizeof(its)) == sizeof(its) ? 0 : 1);
	}
	crypto_random(mine, sizeof(mine));
	assert_int_equal(read(fd[0], its, sizeof(its)), sizeof(its));
	assert_memory_not_equal(mine, its, sizeof(mine));
	waitpid(child, NULL, 0);
	close(fd[0]);
	close(fd[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_child_draws_other_numbers),
		cmocka_unit_test_teardown(signs_as_the_rfc_does, remove_key),
		cmocka_unit_test_teardown(saves_the_standard_form, remove_key),
		cmocka_unit_test_teardown(saves_once_with_mode_0600, remove_key),
		cmocka_unit_test_teardown(loads_what_other_tools_write, remove_key),
		cmocka_unit_test_teardown(refuses_what_is_no_key, remove_key),
		cmocka_unit_test_teardown(public_key_as_pem, remove_key),
		cmocka_unit_test(agrees_on_a_secret),
		cmocka_unit_test(digests),
		cmocka_unit_test(compares),
		cmocka_unit_test(makes_ids),
		cmocka_unit_test(leaves_no_core),
	};
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
