/* The three handshake messages as a hostile peer would send them: none is ever believed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/handshake.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	crypto_init();
	return 0;
}

static enum rc refuse(void *ctx, const struct buf *message)
{
	(void)ctx;
	(void)message;
	abort(); /* a worker answered a stranger */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct crypto_identity cp, worker;
	static bool made;
	struct handshake_worker hw = {.worker_id = "w_1"};
	struct handshake_cp hc = {{0}, {{0}, {0}}};
	struct handshake_limits limits;
	uint8_t key[CRYPTO_KEY_LEN], hash[CRYPTO_HASH_LEN] = {0};
	struct hello hello;
	char session[80];
	struct msg m;

	if (!made) {
		crypto_identity_new(&cp);
		crypto_identity_new(&worker);
		made = true;
	}
	if (msg_parse(data, size, &m) != RC_OK)
		return 0;
	memcpy(hw.cp_key, cp.public_key, sizeof(hw.cp_key));
	if (handshake_worker_hello(&hw, &m, &worker, "t_1", "a/1", 0, "{}", 2, refuse, NULL) ==
		RC_OK)
		abort();
	if (handshake_worker_finish(&hw, &m, session, &limits, key) == RC_OK)
		abort();
	if (handshake_hello_read(&m, &hello) == RC_OK &&
		handshake_hello_check(&hc, &cp, &hello, worker.public_key, hash, 0, INT32_MAX) ==
			NACK_NONE)
		abort();
	return 0;
}
