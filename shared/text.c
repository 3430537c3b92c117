#include "shared/text.h"

#include <arpa/inet.h>
#include <string.h>

/* Of a character known to be a digit. */
static unsigned hex_digit(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

void text_hex(const uint8_t *bytes, size_t len, char *dst)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		*dst++ = digits[bytes[i] >> 4];
		*dst++ = digits[bytes[i] & 15];
	}
	*dst = '\0';
}

enum rc text_unhex(const char *hex, uint8_t *bytes, size_t len)
{
	if (strlen(hex) != 2 * len || hex[strspn(hex, "0123456789abcdefABCDEF")] != '\0')
		return RC_INVALID;
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
	return RC_OK;
}

static const char b64_std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char b64_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static char *b64_put(const char *alphabet, const uint8_t *bytes, size_t len, char *dst, bool pad)
{
	for (; len >= 3; bytes += 3, len -= 3) {
		*dst++ = alphabet[bytes[0] >> 2];
		*dst++ = alphabet[(bytes[0] & 3) << 4 | bytes[1] >> 4];
		*dst++ = alphabet[(bytes[1] & 15) << 2 | bytes[2] >> 6];
		*dst++ = alphabet[bytes[2] & 63];
	}
	if (len) {
		unsigned second = len == 2 ? bytes[1] : 0;

		*dst++ = alphabet[bytes[0] >> 2];
		*dst++ = alphabet[(bytes[0] & 3U) << 4 | second >> 4];
		if (len == 2)
			*dst++ = alphabet[(second & 15) << 2];
		else if (pad)
			*dst++ = '=';
		if (pad)
			*dst++ = '=';
	}
	*dst = '\0';
	return dst;
}

static int b64_digit(const char *alphabet, char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == alphabet[62])
		return 62;
	return c == alphabet[63] ? 63 : -1;
}

/* Decodes unpadded text. Only the one encoding of given bytes is accepted: spare bits must be zero.
 */
static enum rc b64_get(const char *alphabet, const char *b64, size_t b64_len, uint8_t *bytes,
	size_t cap, size_t *len)
{
	size_t n = b64_len / 4 * 3 + (b64_len % 4 ? b64_len % 4 - 1 : 0);
	uint32_t bits = 0;
	int have = 0;
	size_t at = 0;

	if (b64_len % 4 == 1 || n > cap)
		return RC_INVALID;
	for (size_t i = 0; i < b64_len; i++) {
		int digit = b64_digit(alphabet, b64[i]);

		if (digit < 0)
			return RC_INVALID;
		bits = bits << 6 | (uint32_t)digit;
		have += 6;
		if (have >= 8) {
			have -= 8;
			bytes[at++] = (uint8_t)(bits >> have);
			bits &= (1U << have) - 1;
		}
	}
	if (bits)
		return RC_INVALID;
	*len = at;
	return RC_OK;
}

void text_b64(const uint8_t *bytes, size_t len, char *dst)
{
	b64_put(b64_std, bytes, len, dst, true);
}

enum rc text_unb64(const char *b64, size_t b64_len, uint8_t *bytes, size_t cap, size_t *len)
{
	if (b64_len % 4)
		return RC_INVALID;
	for (int pad = 0; pad < 2 && b64_len && b64[b64_len - 1] == '='; pad++)
		b64_len--;
	return b64_get(b64_std, b64, b64_len, bytes, cap, len);
}

void text_b64url(const uint8_t *bytes, size_t len, char *dst)
{
	b64_put(b64_url, bytes, len, dst, false);
}

enum rc text_unb64url(const char *b64, size_t b64_len, uint8_t *bytes, size_t cap, size_t *len)
{
	return b64_get(b64_url, b64, b64_len, bytes, cap, len);
}

void text_b32(const uint8_t *bytes, size_t len, char *dst)
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
	uint32_t bits = 0;
	int have = 0;

	for (size_t i = 0; i < len; i++) {
		bits = (bits << 8 | bytes[i]) & 0xfff;
		have += 8;
		while (have >= 5) {
			have -= 5;
			*dst++ = alphabet[bits >> have & 31];
		}
	}
	if (have)
		*dst++ = alphabet[bits << (5 - have) & 31];
	*dst = '\0';
}

size_t text_utf8_len(const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;
	/* The second byte's range excludes overlong forms, surrogates and what is above U+10FFFF.
	 */
	unsigned char low = 0x80;
	unsigned char high = 0xBF;
	size_t n;

	if (len == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xC2 && p[0] <= 0xDF) {
		n = 2;
	} else if (p[0] >= 0xE0 && p[0] <= 0xEF) {
		n = 3;
		low = p[0] == 0xE0 ? 0xA0 : 0x80;
		high = p[0] == 0xED ? 0x9F : 0xBF;
	} else if (p[0] >= 0xF0 && p[0] <= 0xF4) {
		n = 4;
		low = p[0] == 0xF0 ? 0x90 : 0x80;
		high = p[0] == 0xF4 ? 0x8F : 0xBF;
	} else {
		return 0;
	}
	if (len < n || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++) {
		if ((p[i] & 0xC0) != 0x80)
			return 0;
	}
	return n;
}

bool text_utf8_ok(const char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t step = text_utf8_len(s + i, len - i);

		if (step == 0)
			return false;
		i += step;
	}
	return true;
}

static bool lower_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool text_slug_ok(const char *s)
{
	size_t len = strnlen(s, 64);

	if (len == 0 || len > 63 || !lower_or_digit(s[0]) || !lower_or_digit(s[len - 1]))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!lower_or_digit(s[i]) && s[i] != '-')
			return false;
	}
	return true;
}

bool text_name_ok(const char *s, size_t max)
{
	size_t len = strnlen(s, max + 1);
	const unsigned char *p = (const unsigned char *)s;

	if (len == 0 || len > max || !text_utf8_ok(s, len))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (p[i] < 0x20 || p[i] == 0x7F || (p[i] == 0xC2 && p[i + 1] < 0xA0))
			return false;
	}
	return true;
}

#define WORD_MAX 63

static size_t min2(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Edits (insert, delete, replace, swap neighbours) from a to b; both at most WORD_MAX long. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t rows[3][WORD_MAX + 2];
	size_t a_len = strlen(a);
	size_t b_len = strlen(b);
	size_t *before = rows[0];
	size_t *above = rows[1];
	size_t *row = rows[2];

	for (size_t j = 0; j <= b_len; j++)
		above[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t cost = a[i - 1] != b[j - 1];

			row[j] = min2(min2(above[j], row[j - 1]) + 1, above[j - 1] + cost);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = min2(row[j], before[j - 2] + 1);
		}
		size_t *spare = before;

		before = above;
		above = row;
		row = spare;
	}
	return above[b_len];
}

const char *text_nearest(const char *word, const char *const *names, size_t count)
{
	size_t len = strnlen(word, WORD_MAX + 1);
	/* About a third of the word may be wrong. */
	size_t best = (len + 1) / 3 + 1;
	const char *nearest = NULL;

	if (len == 0 || len > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		if (strnlen(names[i], WORD_MAX + 1) > WORD_MAX)
			continue;
		size_t distance = edit_distance(word, names[i]);

		if (distance < best) {
			best = distance;
			nearest = names[i];
		}
	}
	return nearest;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z');
}

size_t text_span(const char *s, const char *also)
{
	size_t len = 0;

	while (is_alnum(s[len]) || (s[len] && strchr(also, s[len])))
		len++;
	return len;
}

bool text_equal_nocase(const char *a, const char *b)
{
	while (*a && lower(*a) == lower(*b)) {
		a++;
		b++;
	}
	return *a == *b;
}

static bool ipv6_is_loopback(const struct in6_addr *address)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	const uint8_t *p = address->s6_addr;

	if (IN6_IS_ADDR_LOOPBACK(address) || IN6_IS_ADDR_UNSPECIFIED(address))
		return true;
	return memcmp(p, mapped, sizeof(mapped)) == 0 &&
		(p[12] == 127 || memcmp(p + 12, "\0\0\0", 4) == 0);
}

bool text_host_is_loopback(const char *host)
{
	char name[256];
	size_t len = strnlen(host, sizeof(name));
	struct in6_addr v6;
	struct in_addr v4;

	if (len == sizeof(name))
		return false;
	if (len > 1 && host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
	}
	memcpy(name, host, len);
	name[len] = '\0';
	if (len && name[len - 1] == '.') /* the root's dot: the same name */
		name[--len] = '\0';
	if (text_equal_nocase(name, "localhost") ||
		(len > 10 && text_equal_nocase(name + len - 10, ".localhost")))
		return true;
	if (inet_pton(AF_INET6, name, &v6) == 1)
		return ipv6_is_loopback(&v6);
	/* inet_aton() also knows the short forms that resolvers take, such as 127.1 and 0x7f000001.
	 */
	if (inet_aton(name, &v4) == 0)
		return false;
	return ntohl(v4.s_addr) >> 24 == 127 || v4.s_addr == 0;
}
