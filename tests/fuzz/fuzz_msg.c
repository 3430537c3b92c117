/* A message that is accepted stays inside its bytes, and its fields can be asked for in every way.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[CRYPTO_KEY_LEN];
	static const char *const fields[] = {"t", "id", "method", "n", "mac", "nonce", "audit"};
	struct msg m;
	uint8_t bytes[32];
	char text[80];
	int64_t n;

	if (msg_parse(data, size, &m) != RC_OK)
		return 0;
	if (m.payload < data || m.payload + m.payload_len != data + size ||
		m.header.len > MSG_HEADER_MAX || strlen(m.id) > MSG_ID_MAX)
		abort();
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		(void)msg_str(&m, fields[i], text, sizeof(text));
		(void)msg_int(&m, fields[i], &n);
		(void)msg_bytes(&m, fields[i], bytes, sizeof(bytes));
		(void)msg_flag(&m, fields[i]);
	}
	(void)msg_mac_ok(&m, key, 1);
	for (size_t i = 0; i < m.count; i++) {
		struct jscan name = msg_key_at(&m, i), value = msg_value_at(&m, i), found;

		/* Each name is there once, and its value is the one that another reader finds. */
		if (jscan_str(name, text, sizeof(text)) != RC_OK)
			continue;
		found = msg_field(&m, text);
		if (found.p != value.p || found.len != value.len)
			abort();
		if (jscan_get(m.header, text, &found) != RC_OK || found.p != value.p ||
			found.len != value.len || found.kind != value.kind)
			abort();
	}
	return 0;
}
