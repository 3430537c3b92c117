#include "worker/pii.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#include "worker/civil.h"

#define SHAPE_MAX 320 /* the longest mail address; longer values are free text */

#define PROSE_WORDS 6
#define YEARS 10 /* of an age or a year of birth that become one */
#define YEAR_MAX 9999

/* The first rule of which a word is in the name, where words are what '_', '-', ' ' and a change of
 * case separate. "~" is matched anywhere. */
static const struct rule {
	const char *words;
	enum mask_kind mask;
	bool exclude;
	const char *reason;
} rules[] = {
	{"password passwd pwd secret token salt ~passwordhash apikey credential credentials pin "
	 "cvv "
	 "cvc",
		MASK_REDACT, true, "named like a secret"},
	{"email mail ~emailaddress", MASK_EMAIL, false, "named like a mail address"},
	{"phone mobile telephone tel fax msisdn cell ~phonenumber", MASK_PARTIAL, false,
		"named like a phone number"},
	{"pan ~cardnumber ~creditcard", MASK_PARTIAL, false, "named like a card number"},
	{"ssn nino passport ~taxid ~nationalid ~socialsecurity ~driverslicense vat", MASK_TOKEN,
		false, "named like an official number"},
	{"iban bic ~accountnumber ~accountno ~routingnumber", MASK_TOKEN, false,
		"named like a bank account"},
	{"ip ~ipaddress ~useragent ~macaddress imei", MASK_HASH, false, "named like a device"},
	{"birth birthday birthdate dob ~dateofbirth born birthyear", MASK_DATE_SHIFT, false,
		"named like a date of birth"},
	{"age", MASK_BUCKET, false, "named like an age"},
	{"firstname lastname surname forename fullname middlename maidenname nickname initials "
	 "~displayname ~username login ~contactname",
		MASK_REDACT, false, "named like a person's name"},
	{"address street ~addressline postcode zip zipcode ~postalcode latitude longitude lat lon "
	 "lng",
		MASK_REDACT, false, "named like an address or place"},
	{"salary wage wages income bonus compensation", MASK_NOISE, false, "named like an income"},
	{"diagnosis religion ethnicity gender sex allergy allergies medication", MASK_REDACT, false,
		"named like something private"},
	{"note notes comment comments memo message body description remark remarks bio subject "
	 "feedback text reason",
		MASK_TEXT, false, "named like free text; redact hides all of it"},
};

#define SQUEEZED_MAX 127

/* "homeEmail_Address" as " home email address " and as "homeemailaddress". */
static void take_apart(
	const char *name, char spaced[2 * SQUEEZED_MAX + 3], char squeezed[SQUEEZED_MAX + 1])
{
	size_t n = 0, m = 0;

	spaced[n++] = ' ';
	for (size_t i = 0; name[i] && m < SQUEEZED_MAX; i++) {
		unsigned char c = (unsigned char)name[i];
		bool starts = isupper(c) && i > 0 && islower((unsigned char)name[i - 1]);

		if (starts || strchr("_- .", c))
			spaced[n++] = ' ';
		if (strchr("_- .", c))
			continue;
		spaced[n++] = squeezed[m++] = (char)tolower(c);
	}
	spaced[n++] = ' ';
	spaced[n] = squeezed[m] = '\0';
}

static bool has_word(const char *words, const char *spaced, const char *squeezed)
{
	char word[32];

	while (*words) {
		size_t len = strcspn(words, " ");
		bool anywhere = *words == '~';
		const char *from = words + anywhere;

		if (len - anywhere < sizeof(word) - 2) {
			word[0] = ' ';
			memcpy(word + 1, from, len - anywhere);
			memcpy(word + 1 + len - anywhere, " ", 2);
			if (strstr(spaced, word))
				return true;
			word[1 + len - anywhere] = '\0';
			/* A whole name may be written without a gap: firstname, first_name. */
			if (anywhere ? strstr(squeezed, word + 1) != NULL
				     : strcmp(squeezed, word + 1) == 0)
				return true;
		}
		words += len;
		words += strspn(words, " ");
	}
	return false;
}

static struct pii by_name(const char *column)
{
	char spaced[2 * SQUEEZED_MAX + 3], squeezed[SQUEEZED_MAX + 1];

	take_apart(column, spaced, squeezed);
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (has_word(rules[i].words, spaced, squeezed))
			return (struct pii){.mask = mask_spec_default(rules[i].mask),
				.exclude = rules[i].exclude,
				.reason = rules[i].reason};
	return (struct pii){.mask = mask_spec_default(MASK_KEEP)};
}

bool pii_table_of_people(const char *table)
{
	static const char people[] =
		"person persons people customer customers client clients patient patients "
		"user users member members employee employees contact contacts "
		"guest guests student students";
	char spaced[2 * SQUEEZED_MAX + 3], squeezed[SQUEEZED_MAX + 1];
	char *last;

	take_apart(table, spaced, squeezed);
	/* "billing.customers", and not "customer_groups" */
	spaced[strlen(spaced) - 1] = '\0';
	last = strrchr(spaced, ' ') + 1;
	return has_word(people, "", last);
}

/* --- shapes ----------------------------------------------------------------------------- */

static bool is_mail(const char *s, size_t len)
{
	const char *at = memchr(s, '@', len);

	return at && at != s && memchr(at, '.', len - (size_t)(at - s)) && s[len - 1] != '.' &&
		!memchr(s, ' ', len);
}

/* Digits alone, without blanks and dashes. */
static size_t digits_of(const char *s, size_t len, char out[32])
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (isdigit((unsigned char)s[i]) && n < 31)
			out[n++] = s[i];
		else if (s[i] != ' ' && s[i] != '-')
			return 0;
	}
	out[n] = '\0';
	return n;
}

static bool is_card(const char *s, size_t len)
{
	char d[32];
	size_t n = digits_of(s, len, d);
	int sum = 0;

	if (n < 13 || n > 19 || *d == '0')
		return false;
	for (size_t i = 0; i < n; i++) {
		int x = d[n - 1 - i] - '0';

		x = i % 2 ? 2 * x : x;
		sum += x > 9 ? x - 9 : x;
	}
	return sum % 10 == 0;
}

static bool is_iban(const char *s, size_t len)
{
	char c[40];
	size_t n = 0;
	unsigned rest = 0;

	for (size_t i = 0; i < len; i++) {
		if (s[i] == ' ')
			continue;
		if (!isupper((unsigned char)s[i]) && !isdigit((unsigned char)s[i]))
			return false;
		if (n == 34)
			return false;
		c[n++] = s[i];
	}
	if (n < 15 || !isupper((unsigned char)c[0]) || !isupper((unsigned char)c[1]))
		return false;
	for (size_t i = 0; i < n; i++) {
		char x = c[(i + 4) % n];

		rest = isdigit((unsigned char)x) ? (rest * 10 + (unsigned)(x - '0')) % 97
						 : (rest * 100 + (unsigned)(x - 'A') + 10) % 97;
	}
	return rest == 1;
}

/* Whether s is made as the pattern: '9' stands for a digit. */
static bool is_like(const char *s, size_t len, const char *pattern)
{
	if (len != strlen(pattern))
		return false;
	for (size_t i = 0; i < len; i++)
		if (pattern[i] == '9' ? !isdigit((unsigned char)s[i]) : s[i] != pattern[i])
			return false;
	return true;
}

static bool is_phone(const char *s, size_t len)
{
	size_t digits = 0;

	if (*s != '+' && *s != '(' && !memchr(s, '-', len) && !memchr(s, ' ', len))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (isdigit((unsigned char)s[i]))
			digits++;
		else if (!strchr("+()-. /", s[i]) || !s[i])
			return false;
	}
	/* A date has eight digits too. */
	return digits >= 7 && digits <= 15 && !is_like(s, len, "9999-99-99");
}

static bool is_ip(const char *s, size_t len)
{
	size_t dots = 0;

	for (size_t i = 0; i < len; i++) {
		dots += s[i] == '.';
		if (s[i] != '.' && !isdigit((unsigned char)s[i]))
			return false;
	}
	return dots == 3 && len >= 7 && len <= 15;
}

/* A few words in a row, as people write them. */
static bool is_prose(const char *s, size_t len)
{
	size_t words = 0;

	for (size_t i = 0; i < len; i++)
		words += isalpha((unsigned char)s[i]) && (i == 0 || s[i - 1] == ' ');
	return words >= PROSE_WORDS;
}

void pii_sample(struct pii_shapes *s, const struct value *v)
{
	static bool (*const shapes[PII_SHAPES])(const char *, size_t) = {[PII_MAIL] = is_mail,
		[PII_CARD] = is_card,
		[PII_IBAN] = is_iban,
		[PII_PHONE] = is_phone,
		[PII_IP] = is_ip};
	struct civil date;

	if (v->kind == VALUE_NULL)
		return;
	s->values++;
	if (v->kind == VALUE_INT || v->kind == VALUE_REAL)
		s->largest = fmax(s->largest, fabs(v->kind == VALUE_INT ? (double)v->i : v->r));
	if (v->kind != VALUE_TEXT || v->len == 0)
		return;
	s->hits[PII_PROSE] += is_prose(v->p, v->len);
	s->dates += civil_parse(v->p, v->len, &date);
	if (v->len > SHAPE_MAX)
		return;
	if (is_like(v->p, v->len, "999-99-9999")) {
		s->hits[PII_SSN]++;
		return;
	}
	for (size_t i = 0; i < PII_SHAPES; i++)
		s->hits[i] += shapes[i] && shapes[i](v->p, v->len);
}

static struct pii by_shape(const struct pii_shapes *s)
{
	static const struct {
		enum mask_kind mask;
		const char *reason;
	} found[PII_SHAPES] = {[PII_MAIL] = {MASK_EMAIL, "values look like mail addresses"},
		[PII_CARD] = {MASK_PARTIAL, "values look like card numbers"},
		[PII_IBAN] = {MASK_TOKEN, "values look like IBANs"},
		[PII_SSN] = {MASK_TOKEN, "values look like social security numbers"},
		[PII_PHONE] = {MASK_PARTIAL, "values look like phone numbers"},
		[PII_IP] = {MASK_HASH, "values look like IP addresses"},
		[PII_PROSE] = {MASK_TEXT, "values look like free text; redact hides all of it"}};

	for (size_t i = 0; i < PII_SHAPES; i++)
		if (s->hits[i] > 0 && s->hits[i] * 3 >= s->values)
			return (struct pii){.mask = mask_spec_default(found[i].mask),
				.reason = found[i].reason};
	return (struct pii){.mask = mask_spec_default(MASK_KEEP)};
}

/* --- what fits ----------------------------------------------------------------------------- */

static bool holds_numbers(enum column_kind kind, const struct pii_shapes *s)
{
	return kind == COLUMN_INT || kind == COLUMN_REAL ||
		(kind != COLUMN_TEXT && kind != COLUMN_BLOB && s->largest > 0);
}

/* The kind of mask, or the next best for such a column. */
static struct mask_spec fitting(
	enum mask_kind mask, enum column_kind kind, const struct pii_shapes *s)
{
	struct mask_spec m = mask_spec_default(mask);
	bool numbers = holds_numbers(kind, s);

	switch (mask) {
	case MASK_DATE_SHIFT:
	case MASK_BUCKET:
		if (numbers && s->largest > 0 && s->largest <= YEAR_MAX) {
			m = mask_spec_default(MASK_BUCKET);
			m.size = YEARS;
		} else if (mask == MASK_BUCKET || numbers || kind == COLUMN_BLOB ||
			s->dates < s->values) {
			/* A date that can't be read is hidden by date_shift too, but null says so.
			 */
			m = mask_spec_default(mask == MASK_BUCKET ? MASK_REDACT : MASK_NULL);
		}
		break;
	case MASK_NOISE:
		if (!numbers)
			m = mask_spec_default(MASK_REDACT);
		break;
	case MASK_EMAIL:
	case MASK_TOKEN:
		if (kind == COLUMN_BLOB)
			m = mask_spec_default(MASK_HASH);
		break;
	case MASK_PARTIAL:
	case MASK_TEXT:
		if (kind == COLUMN_BLOB || (mask == MASK_TEXT && numbers))
			m = mask_spec_default(MASK_REDACT);
		break;
	default:
		break;
	}
	return m;
}

struct pii pii_judge(const char *column, enum column_kind kind, const struct pii_shapes *s)
{
	struct pii p = by_name(column);

	if (p.mask.kind == MASK_KEEP)
		p = by_shape(s);
	p.mask = fitting(p.mask.kind, kind, s);
	return p;
}
