#include "worker/scrub.h"

#include <ctype.h>
#include <string.h>

#define GROUPS_MAX 24
#define CARD_MIN 13
#define CARD_MAX 19
#define IBAN_MIN 15
#define IBAN_MAX 34
#define MAIL_MAX 320

struct text {
	const char *s;
	size_t len;
	bool json;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool high(char c)
{
	return (unsigned char)c >= 0x80;
}

static bool escape_at(const struct text *t, size_t at, size_t len)
{
	size_t from = at;
	int32_t point;

	if (t->s[at] != '\\' || words_escape(t->s + at, t->len - at, &point) != len)
		return false;
	while (from > 0 && t->s[from - 1] == '\\') /* which may be an escape itself */
		from--;
	return (at - from) % 2 == 0;
}

/* Behind an escape of JSON, whose letters and digits are none of the text's. */
static bool after_escape(const struct text *t, size_t at)
{
	return t->json &&
		((at >= 2 && escape_at(t, at - 2, 2)) || (at >= 6 && escape_at(t, at - 6, 6)));
}

static bool alnum_before(const struct text *t, size_t at)
{
	return at > 0 && (is_alnum(t->s[at - 1]) || high(t->s[at - 1])) && !after_escape(t, at);
}

static bool alnum_at(const struct text *t, size_t at)
{
	return at < t->len && (is_alnum(t->s[at]) || high(t->s[at]));
}

/* --- mail addresses (RFC 5321 without quoted local parts) ------------------------------ */

static bool local_char(char c)
{
	return is_alnum(c) || high(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~.", c));
}

static bool domain_char(char c)
{
	return is_alnum(c) || high(c) || c == '-' || c == '.';
}

/* An address whose '@' is at at. */
static size_t mail(const struct text *t, size_t at, size_t *start)
{
	size_t from = at, to = at + 1, dot = 0;

	while (from > 0 && at - from < MAIL_MAX && local_char(t->s[from - 1]) &&
		!after_escape(t, from))
		from--;
	while (to < t->len && to - at < MAIL_MAX && domain_char(t->s[to]))
		to++;
	while (to > at + 1 && !is_alnum(t->s[to - 1]) && !high(t->s[to - 1]))
		to--;
	for (size_t i = at + 1; i < to; i++)
		if (t->s[i] == '.')
			dot = i;
	if (from == at || dot <= at + 1 || to - dot < 3)
		return 0;
	*start = from;
	return to - from;
}

/* --- groups of digits ------------------------------------------------------------------- */

struct groups {
	struct {
		size_t start, end;
		char before; /* the separator in front of it, 0: the first */
	} g[GROUPS_MAX];
	size_t count;
};

/* The groups of digits from at on that single separators join; ") " counts as one. */
static void read_groups(const struct text *t, size_t at, struct groups *out)
{
	char before = 0;

	out->count = 0;
	while (at < t->len && is_digit(t->s[at]) && out->count < GROUPS_MAX) {
		size_t from = at;

		while (at < t->len && is_digit(t->s[at]))
			at++;
		out->g[out->count].start = from;
		out->g[out->count].end = at;
		out->g[out->count++].before = before;
		if (at + 1 >= t->len || !strchr(" -./()", t->s[at]) || !t->s[at])
			break;
		before = t->s[at++];
		if (before == ')' && at < t->len && (t->s[at] == ' ' || t->s[at] == '-'))
			at++;
		else if ((before == ' ' || before == '-') && at < t->len && t->s[at] == '(')
			before = t->s[at++];
	}
}

bool scrub_is_card(const char *digits, size_t count)
{
	int sum = 0;

	if (count < CARD_MIN || count > CARD_MAX || *digits == '0')
		return false;
	for (size_t i = 0; i < count; i++) {
		int x = digits[count - 1 - i] - '0';

		x = i % 2 ? 2 * x : x;
		sum += x > 9 ? x - 9 : x;
	}
	return sum % 10 == 0;
}

/* The longest card number that begins with the first group. */
static size_t card(const struct text *t, const struct groups *g)
{
	char digits[CARD_MAX + 1];
	size_t n = 0, found = 0;

	for (size_t i = 0; i < g->count; i++) {
		size_t len = g->g[i].end - g->g[i].start;

		if (i > 0 && g->g[i].before != ' ' && g->g[i].before != '-')
			break;
		if (n + len > CARD_MAX)
			break;
		memcpy(digits + n, t->s + g->g[i].start, len);
		n += len;
		if (scrub_is_card(digits, n))
			found = g->g[i].end - g->g[0].start;
	}
	return found;
}

static size_t group_len(const struct groups *g, size_t i)
{
	return i < g->count ? g->g[i].end - g->g[i].start : 0;
}

/* 3-2-4 digits as the agency issues them. */
static size_t ssn(const struct text *t, const struct groups *g)
{
	const char *s = t->s + g->g[0].start;
	char sep = g->count > 2 ? g->g[1].before : 0;

	if (g->count < 3 || group_len(g, 0) != 3 || group_len(g, 1) != 2 || group_len(g, 2) != 4 ||
		sep != g->g[2].before || (sep != '-' && sep != ' '))
		return 0;
	if (memcmp(s, "000", 3) == 0 || memcmp(s, "666", 3) == 0 || *s == '9' ||
		memcmp(s + 4, "00", 2) == 0 || memcmp(s + 7, "0000", 4) == 0)
		return 0;
	return 11;
}

/* 2024-03-01, 01.03.2024 and 3/1/2024 are no phone numbers, whatever follows. */
static bool is_date(const struct groups *g)
{
	size_t a = group_len(g, 0), b = group_len(g, 1), c = group_len(g, 2);

	if (g->count < 3 || g->g[1].before != g->g[2].before || g->g[1].before == ' ')
		return false;
	return (a == 4 && b <= 2 && c <= 2) || (a <= 2 && b <= 2 && (c == 4 || c == 2));
}

/* 192.0.2.1 */
static bool is_ipv4(const struct groups *g)
{
	for (size_t i = 0; i < 4; i++)
		if (group_len(g, i) == 0 || group_len(g, i) > 3 || (i > 0 && g->g[i].before != '.'))
			return false;
	return true;
}

/* Groups of three behind points or blanks: 1.234.567 */
static bool is_amount(const struct groups *g)
{
	if (g->count < 2 || group_len(g, 0) > 3)
		return false;
	for (size_t i = 1; i < g->count; i++)
		if (group_len(g, i) != 3 || (g->g[i].before != '.' && g->g[i].before != ' '))
			return false;
	return group_len(g, 0) < 3 || g->count == 2;
}

/* A phone number that begins with the first group, behind a plus or bracket or neither: 7 to 15
 * digits (ITU-T E.164) with a plus; 9 and more with separators, or 555-0123; without either, 10 or
 * 11 that begin with 0. */
static size_t phone(const struct text *t, const struct groups *g, bool plus, bool bracket)
{
	size_t digits = 0, used = 0, first = group_len(g, 0);

	if (!plus && (is_date(g) || is_ipv4(g) || is_amount(g)))
		return 0;
	for (; used < g->count; used++) {
		size_t len = group_len(g, used);

		if (digits + len > 15)
			break;
		/* A date or another long number behind it is none of its groups. */
		if (used > 0 && len > 8)
			break;
		digits += len;
	}
	if (used == 0)
		return 0;
	if (plus                    ? digits < 7
			: used == 1 ? !(t->s[g->g[0].start] == '0' && (first == 10 || first == 11))
				    : digits < 9 && !bracket &&
				!(used == 2 && first == 3 && group_len(g, 1) == 4 &&
					g->g[1].before == '-'))
		return 0;
	if (digits < 7)
		return 0;
	return g->g[used - 1].end - g->g[0].start;
}

/* --- bank accounts (ISO 13616) ------------------------------------------------------------ */

bool scrub_is_iban(const char *c, size_t n)
{
	unsigned rest = 0;

	if (n < IBAN_MIN || n > IBAN_MAX || !isalpha((unsigned char)c[0]) ||
		!isalpha((unsigned char)c[1]) || !is_digit(c[2]) || !is_digit(c[3]))
		return false;
	for (size_t i = 0; i < n; i++) {
		char x = (char)toupper((unsigned char)c[(i + 4) % n]);

		rest = is_digit(x) ? (rest * 10 + (unsigned)(x - '0')) % 97
				   : (rest * 100 + (unsigned)(x - 'A') + 10) % 97;
	}
	return rest == 1;
}

/* The longest that begins at at, with single blanks or dashes between, and ends with a word. */
static size_t iban(const struct text *t, size_t at)
{
	char c[IBAN_MAX];
	size_t n = 0, found = 0;

	for (size_t i = at; i < t->len && n < IBAN_MAX; i++) {
		if (!is_alnum(t->s[i])) {
			if ((t->s[i] == ' ' || t->s[i] == '-') && i + 1 < t->len &&
				is_alnum(t->s[i + 1]))
				continue;
			break;
		}
		c[n++] = t->s[i];
		if (!alnum_at(t, i + 1) && scrub_is_iban(c, n))
			found = i + 1 - at;
	}
	return found;
}

/* --- all of them --------------------------------------------------------------------------- */

struct find {
	size_t start, end;
	const char *label;
};

static bool numbers(const struct text *t, size_t at, struct find *f)
{
	bool plus = t->s[at] == '+', bracket = t->s[at] == '(';
	size_t from = at, len;
	struct groups g = {.count = 0};

	while (from < t->len && (t->s[from] == '+' || t->s[from] == '(') && from - at < 2)
		plus |= t->s[from++] == '+';
	read_groups(t, from, &g);
	if (g.count == 0)
		return false;
	f->start = at;
	if (!plus && !bracket) {
		len = card(t, &g);
		f->label = "[card]";
		if (len == 0) {
			len = ssn(t, &g);
			f->label = "[ssn]";
		}
		if (len > 0) {
			f->end = from + len;
			return !alnum_at(t, f->end) || !is_digit(t->s[f->end]);
		}
		/* The rest of a date, of an address of the Internet or of an amount is no number of
		 * its own. */
		if (alnum_before(t, at) ||
			(at > 1 && strchr(".-/", t->s[at - 1]) && t->s[at - 1] &&
				is_digit(t->s[at - 2])))
			return false;
	}
	len = phone(t, &g, plus, bracket);
	f->label = "[phone]";
	f->end = from + len;
	return len > 0 && !alnum_at(t, f->end);
}

/* What begins at at, behind whatever was found before. */
static bool shape(const struct text *t, size_t at, size_t done, struct find *f)
{
	char c = t->s[at];

	if (c == '@') {
		size_t len = mail(t, at, &f->start);

		f->end = f->start + len;
		f->label = "[email]";
		return len > 0 && f->start >= done;
	}
	if (isalpha((unsigned char)c) && !alnum_before(t, at)) {
		f->start = at;
		f->end = at + iban(t, at);
		f->label = "[iban]";
		return f->end > at;
	}
	if ((is_digit(c) && (at == 0 || !is_digit(t->s[at - 1]) || after_escape(t, at))) ||
		c == '+' || c == '(')
		return numbers(t, at, f);
	return false;
}

struct output {
	const struct text *t;
	struct buf *out;
	size_t done;
	bool any;
};

static void replace(struct output *o, const struct find *f)
{
	buf_add(o->out, o->t->s + o->done, f->start - o->done);
	buf_str(o->out, f->label);
	o->done = f->end;
	o->any = true;
}

/* The next known phrase that begins at or behind from. */
static bool known_phrase(
	const struct needles *known, const struct words *w, size_t *at, size_t from, struct find *f)
{
	uint32_t tag;

	for (; *at < w->count; (*at)++) {
		size_t n;

		if (w->list[*at].start < from)
			continue;
		n = needles_match(known, w->list + *at, w->count - *at, &tag);
		if (n == 0)
			continue;
		f->start = w->list[*at].start;
		f->end = w->list[*at + n - 1].end;
		f->label = "[redacted]";
		return true;
	}
	return false;
}

static bool scrub_text(const struct text *t, const struct needles *known,
	const uint8_t key[WORDS_KEY_LEN], struct words *room, struct buf *out)
{
	struct output o = {.t = t, .out = out};
	struct find f = {.start = 0}, k = {.start = t->len + 1};
	bool has_known = known && needles_count(known) > 0;
	size_t word = 0;

	if (has_known) {
		words_split(room, key, t->s, t->len);
		if (!known_phrase(known, room, &word, 0, &k))
			k.start = t->len + 1;
	}
	for (size_t at = 0; at < t->len;) {
		/* A mail address reaches back in front of its '@', so a phrase inside of it waits
		 * for that. */
		bool shaped = shape(t, at, o.done, &f);

		if (shaped && f.start <= k.start) {
			replace(&o, &f);
		} else if (has_known && k.start <= at) {
			size_t mail_at = at;
			struct find m = {.start = 0};

			while (mail_at < t->len && (local_char(t->s[mail_at])))
				mail_at++;
			if (mail_at < t->len && t->s[mail_at] == '@' &&
				shape(t, mail_at, o.done, &m) && m.start <= k.start &&
				m.end >= k.end)
				replace(&o, &m);
			else
				replace(&o, &k);
		} else {
			at++;
			continue;
		}
		if (o.done > at)
			at = o.done;
		if (has_known && !known_phrase(known, room, &word, o.done, &k))
			k.start = t->len + 1;
	}
	buf_add(out, t->s + o.done, t->len - o.done);
	return o.any;
}

bool scrub(const char *text, size_t len, const struct needles *known,
	const uint8_t key[WORDS_KEY_LEN], struct words *room, struct buf *out)
{
	struct text t = {.s = text, .len = len, .json = words_json(text, len)};
	struct buf plain;
	bool any;

	if (!t.json || !memmem(text, len, "\\u", 2))
		return scrub_text(&t, known, key, room, out);
	buf_init(&plain, len + 1); /* no character is longer than its escape */
	words_unescape(text, len, &plain);
	t.s = (const char *)plain.data;
	t.len = plain.len;
	any = scrub_text(&t, known, key, room, out);
	buf_wipe(&plain);
	buf_free(&plain);
	return any;
}
