#include "shared/clientip.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

#include "shared/mem.h"

/* Every address as 16 bytes, IPv4 in its IPv6-mapped form, so that one comparison serves both. */
struct address {
	uint8_t bytes[16];
};
static const uint8_t v4_head[12] = {[10] = 0xff, [11] = 0xff};

static bool is_v4(const struct address *a)
{
	return memcmp(a->bytes, v4_head, sizeof(v4_head)) == 0;
}

static bool parse_address(const char *text, struct address *out)
{
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1) {
		memcpy(out->bytes, v4_head, sizeof(v4_head));
		memcpy(out->bytes + sizeof(v4_head), &v4, sizeof(v4));
		return true;
	}
	return inet_pton(AF_INET6, text, out->bytes) == 1;
}

/* One to three digits. */
static bool parse_bits(const char *text, int max, int *out)
{
	int n = 0;
	size_t len = strlen(text);

	if (len == 0 || len > 3 || text[strspn(text, "0123456789")] != '\0')
		return false;
	for (; *text; text++)
		n = n * 10 + (*text - '0');
	*out = n;
	return n <= max;
}

static bool parse_cidr(const char *cidr, struct address *net, int *bits)
{
	char text[CLIENTIP_MAX];
	const char *slash = strchr(cidr, '/');
	size_t len = slash ? (size_t)(slash - cidr) : strlen(cidr);

	if (!str_copy_len(text, sizeof(text), cidr, len) || !parse_address(text, net))
		return false;
	bool v4 = strchr(text, ':') == NULL;
	*bits = v4 ? 32 : 128;
	if (slash && !parse_bits(slash + 1, *bits, bits))
		return false;
	if (v4)
		*bits += 96;
	return true;
}

static bool inside(const struct address *a, const struct address *net, int bits)
{
	size_t whole = (size_t)bits / 8;
	int rest = bits % 8;

	if (memcmp(a->bytes, net->bytes, whole) != 0)
		return false;
	return rest == 0 || (a->bytes[whole] ^ net->bytes[whole]) >> (8 - rest) == 0;
}

bool clientip_in(const char *address, const char *cidr)
{
	struct address a;
	struct address net;
	int bits;

	return parse_address(address, &a) && parse_cidr(cidr, &net, &bits) &&
		inside(&a, &net, bits);
}

bool clientip_cidr_ok(const char *cidr)
{
	struct address net;
	int bits;

	return parse_cidr(cidr, &net, &bits);
}

static bool trusted_address(const struct address *a, char *const *trusted, int count)
{
	struct address net;
	int bits;

	for (int i = 0; i < count; i++) {
		if (parse_cidr(trusted[i], &net, &bits) && inside(a, &net, bits))
			return true;
	}
	return false;
}

static void put_address(const struct address *a, char out[CLIENTIP_MAX])
{
	if (is_v4(a))
		inet_ntop(AF_INET, a->bytes + sizeof(v4_head), out, CLIENTIP_MAX);
	else
		inet_ntop(AF_INET6, a->bytes, out, CLIENTIP_MAX);
}

/* "1.2.3.4", "1.2.3.4:567", "2001:db8::1" and "[2001:db8::1]:567": fronts write all four. */
static bool parse_entry(const char *entry, size_t len, struct address *out)
{
	char text[CLIENTIP_MAX + 8];
	char *start = text;

	if (!str_copy_len(text, sizeof(text), entry, len) || strlen(text) != len)
		return false;
	char *colon = strchr(text, ':');
	if (text[0] == '[') {
		char *close = strchr(text, ']');

		if (!close || (close[1] != '\0' && close[1] != ':'))
			return false;
		*close = '\0';
		start++;
	} else if (colon && !strchr(colon + 1, ':')) {
		*colon = '\0';
	}
	return parse_address(start, out);
}

/* Walks X-Forwarded-For from its right end, the end that our own fronts wrote, as long as the
 * entries are trusted. */
static void walk(
	const char *forwarded_for, char *const *trusted, int trusted_count, char out[CLIENTIP_MAX])
{
	size_t end = strlen(forwarded_for);
	struct address a;

	for (;;) {
		size_t start = end;

		while (start > 0 && forwarded_for[start - 1] != ',')
			start--;
		size_t from = start;
		size_t to = end;
		while (from < to && (forwarded_for[from] == ' ' || forwarded_for[from] == '\t'))
			from++;
		while (to > from && (forwarded_for[to - 1] == ' ' || forwarded_for[to - 1] == '\t'))
			to--;
		if (!parse_entry(forwarded_for + from, to - from, &a))
			return;
		put_address(&a, out);
		if (start == 0 || !trusted_address(&a, trusted, trusted_count))
			return;
		end = start - 1;
	}
}

void clientip_resolve(const char *peer, const char *forwarded_for, char *const *trusted,
	int trusted_count, char out[CLIENTIP_MAX])
{
	bool is_unix = peer[0] == '\0' || strncmp(peer, "unix:", 5) == 0;
	struct address a;

	out[0] = '\0';
	if (!is_unix) {
		if (!parse_address(peer, &a))
			return;
		put_address(&a, out);
	}
	if (forwarded_for && (is_unix || trusted_address(&a, trusted, trusted_count)))
		walk(forwarded_for, trusted, trusted_count, out);
}
