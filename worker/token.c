#include "worker/token.h"

#include <string.h>

#include "shared/crypto.h"
#include "shared/mem.h"
#include "shared/text.h"

#define ROUNDS 10 /* as many as FF1 has */
#define STEP_BYTES 4 /* of the round function for each character; the bias is below 2^-17 */

/* Characters that stand for one another. All of a class have equally many bytes in UTF-8. */
static const struct class
{
	uint32_t first, last;
} classes[] = {
	{'0', '9'}, {'a', 'z'}, {'A', 'Z'}, {0xc0, 0xd6}, /* Latin capitals with marks */
	{0xd8, 0xde}, {0xdf, 0xf6}, /* small ones */
	{0xf8, 0xff}, {0x100, 0x17f}, /* Latin of central Europe */
	{0x391, 0x3a1}, /* Greek */
	{0x3a3, 0x3ab}, {0x3ac, 0x3ce}, {0x400, 0x42f}, /* Cyrillic */
	{0x430, 0x45f}, {0x5d0, 0x5ea}, /* Hebrew */
	{0x620, 0x64a}, /* Arabic */
	{0x660, 0x669}, /* and its digits */
	{0x905, 0x939}, /* Devanagari */
	{0x3041, 0x3096}, /* Hiragana */
	{0x30a1, 0x30fa}, /* Katakana */
	{0x4e00, 0x9fff}, /* Han */
	{0xac00, 0xd7a3}, /* Hangul */
};
#define NO_CLASS 255

/* A value taken apart: which characters are permuted, and where they are. */
struct parts {
	uint32_t digits[TOKEN_BYTES_MAX]; /* each below its class's size */
	uint8_t class[TOKEN_BYTES_MAX];
	uint16_t at[TOKEN_BYTES_MAX]; /* in the value */
	size_t count;
	uint8_t format[TOKEN_BYTES_MAX]; /* the value with the number of its class for each */
	size_t format_len;
};

static uint32_t size_of(uint8_t class)
{
	return classes[class].last - classes[class].first + 1;
}

static uint32_t decode(const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;

	switch (n) {
	case 1:
		return p[0];
	case 2:
		return (p[0] & 0x1fU) << 6 | (p[1] & 0x3fU);
	case 3:
		return (p[0] & 0xfU) << 12 | (p[1] & 0x3fU) << 6 | (p[2] & 0x3fU);
	default:
		return (p[0] & 7U) << 18 | (p[1] & 0x3fU) << 12 | (p[2] & 0x3fU) << 6 |
			(p[3] & 0x3fU);
	}
}

/* Of a class's character, whose length is known. */
static void encode(uint32_t c, size_t n, char *out)
{
	if (n == 1) {
		out[0] = (char)c;
	} else if (n == 2) {
		out[0] = (char)(0xc0U | c >> 6);
		out[1] = (char)(0x80U | (c & 0x3fU));
	} else {
		out[0] = (char)(0xe0U | c >> 12);
		out[1] = (char)(0x80U | (c >> 6 & 0x3fU));
		out[2] = (char)(0x80U | (c & 0x3fU));
	}
}

static uint8_t class_of(uint32_t c)
{
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (c >= classes[i].first && c <= classes[i].last)
			return (uint8_t)i;
	return NO_CLASS;
}

static bool take_apart(const char *text, size_t len, struct parts *p)
{
	double domain = 1;

	p->count = p->format_len = 0;
	for (size_t i = 0, n; i < len; i += n) {
		uint32_t c;
		uint8_t class;

		n = text_utf8_len(text + i, len - i);
		if (n == 0)
			return false;
		c = decode(text + i, n);
		class = class_of(c);
		/* Whether an unknown character is a letter is not known here either. */
		if (class == NO_CLASS && n > 1)
			return false;
		if (class == NO_CLASS) {
			p->format[p->format_len++] = (uint8_t)c;
			continue;
		}
		p->format[p->format_len++] = (uint8_t)(0x80U | class);
		p->digits[p->count] = c - classes[class].first;
		p->class[p->count] = class;
		p->at[p->count++] = (uint16_t)i;
		domain *= size_of(class);
	}
	return domain >= TOKEN_DOMAIN_MIN;
}

/* The round function: as many bytes as the half to change needs, from the key, the round, the
 * format and the other half. */
static void add_round(const uint8_t key[TOKEN_KEY_LEN], struct parts *p, int round, size_t from,
	size_t count, size_t other_from, size_t other_count)
{
	uint8_t digest[CRYPTO_HASH_LEN], block[CRYPTO_HASH_LEN], message[CRYPTO_HASH_LEN + 2];
	uint8_t other[TOKEN_BYTES_MAX * 4 + 1];
	size_t n = 0;

	other[n++] = (uint8_t)round;
	for (size_t i = 0; i < other_count; i++) {
		uint32_t d = p->digits[other_from + i];

		for (int shift = 24; shift >= 0; shift -= 8)
			other[n++] = (uint8_t)(d >> shift);
	}
	crypto_blake2b(key, TOKEN_KEY_LEN, other, n, digest);
	memcpy(message, digest, sizeof(digest));
	for (size_t i = 0; i < count; i++) {
		size_t in_block = i * STEP_BYTES % sizeof(block),
		       number = i * STEP_BYTES / sizeof(block);
		uint32_t step = 0;

		if (in_block == 0) {
			message[CRYPTO_HASH_LEN] = (uint8_t)(number >> 8);
			message[CRYPTO_HASH_LEN + 1] = (uint8_t)number;
			crypto_blake2b(key, TOKEN_KEY_LEN, message, sizeof(message), block);
		}
		for (int k = 0; k < STEP_BYTES; k++)
			step = step << 8 | block[in_block + (size_t)k];
		p->digits[from + i] = (uint32_t)(((uint64_t)p->digits[from + i] + step) %
			size_of(p->class[from + i]));
	}
	mem_wipe(other, n);
	mem_wipe(digest, sizeof(digest));
}

bool token_make(const uint8_t key[TOKEN_KEY_LEN], const char *text, size_t len, char *out)
{
	uint8_t format_key[CRYPTO_HASH_LEN];
	struct parts p;
	size_t half;

	if (len > TOKEN_BYTES_MAX || !take_apart(text, len, &p)) {
		mem_wipe(&p, sizeof(p));
		return false;
	}
	crypto_blake2b(key, TOKEN_KEY_LEN, p.format, p.format_len, format_key);
	half = p.count / 2;
	/* An alternating Feistel network over the digits of both halves. */
	for (int round = 0; round < ROUNDS; round++) {
		if (round % 2 == 0)
			add_round(format_key, &p, round, 0, half, half, p.count - half);
		else
			add_round(format_key, &p, round, half, p.count - half, 0, half);
	}
	memcpy(out, text, len);
	for (size_t i = 0; i < p.count; i++)
		encode(classes[p.class[i]].first + p.digits[i],
			text_utf8_len(text + p.at[i], len - p.at[i]), out + p.at[i]);
	mem_wipe(&p, sizeof(p));
	mem_wipe(format_key, sizeof(format_key));
	return true;
}
