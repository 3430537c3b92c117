/* Credentials and hashes: any text. What splits is the parts of exactly that text; what is taken
 * for a hash costs no more than we say, and an allow-list that is no list allows nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/apikey.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void split(const char *text)
{
	const char *secret;
	char id[65], *again;

	if (apikey_split("alk", text, id, &secret) != RC_OK)
		return;
	if (strlen(id) < 1 || strlen(id) > 64 || strlen(secret) < 16 || strlen(secret) > 128)
		abort();
	if (asprintf(&again, "alk_%s_%s", id, secret) < 0)
		return;
	if (strcmp(again, text) != 0)
		abort();
	free(again);
}

static void hash(const char *text)
{
	unsigned long long memory, passes;
	const char *m = strstr(text, "m="), *t = strstr(text, ",t=");

	if (!apikey_hash_readable(text))
		return;
	if (strncmp(text, "$argon2id$", 10) != 0 || !m || !t)
		abort();
	memory = strtoull(m + 2, NULL, 10);
	passes = strtoull(t + 3, NULL, 10);
	if (memory < 1 || memory > 1048576 || passes < 1 || passes > 16)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct apikey_grant grant = {.tools = text};

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	split(text);
	hash(text);
	if (apikey_may_call(&grant, "execute_sql") && !strchr(text, '['))
		abort();
	free(text);
	return 0;
}
