/* airlock-demo-data: writes the three demo databases. Everything in them is made up from syllables
 * and test ranges (cards 4000 00.., SSN 666-.., IBAN country XX, phones 555-01.., documentation IP
 * ranges, example.com mail), and the same seed gives the same rows. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY0 1609459200LL /* 2021-01-01: nothing is older */
#define DAYS 1800
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* C leaves the order in which a call's arguments are worked out to the compiler, so no list
 * of arguments here draws twice. */
struct gen {
	sqlite3 *db;
	sqlite3_stmt *row; /* being filled */
	int column;
	uint64_t state;
	const char *path;
	int64_t rows;
	int tables;
};

static void fail(const struct gen *g, const char *what)
{
	fprintf(stderr, "airlock-demo-data: %s: %s: %s\n", g->path, what,
		g->db ? sqlite3_errmsg(g->db) : strerror(errno));
	exit(1);
}

/* --- chance ------------------------------------------------------------------------ */

/* SplitMix64. */
static uint64_t next(struct gen *g)
{
	uint64_t z = (g->state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* From low to high, both included. */
static int64_t between(struct gen *g, int64_t low, int64_t high)
{
	return low + (int64_t)(next(g) % (uint64_t)(high - low + 1));
}

static bool chance(struct gen *g, int percent)
{
	return between(g, 1, 100) <= percent;
}

#define PICK(g, list) ((list)[next(g) % COUNT(list)])

/* --- made-up people and things -------------------------------------------------------- */

#define TEXT 64
#define PROSE 512

static void word(struct gen *g, int syllables, char out[TEXT])
{
	static const char *const start[] = {"ba", "bel", "cor", "da", "dri", "el", "fa", "gal",
		"han", "il", "jo", "ka", "kel", "lo", "mar", "mi", "na", "no", "or", "pe", "qua",
		"ra", "sa", "sel", "ta", "tor", "ul", "va", "wen", "ya", "zor"};
	static const char *const rest[] = {"ba", "bren", "da", "dan", "del", "fin", "ga", "ken",
		"la", "lin", "lo", "mar", "mi", "mond", "na", "nel", "ra", "rel", "ri", "ron", "sa",
		"shan", "ta", "tan", "tir", "va", "vin", "wen", "xa", "zel"};

	snprintf(out, TEXT, "%s", PICK(g, start));
	for (int i = 1; i < syllables; i++)
		strncat(out, PICK(g, rest), TEXT - strlen(out) - 1);
	out[0] = (char)(out[0] - 'a' + 'A');
}

struct person {
	char first[TEXT], last[TEXT], full[2 * TEXT], email[3 * TEXT], phone[TEXT], ssn[TEXT],
		street[2 * TEXT], city[TEXT];
	char postcode[TEXT], born[TEXT];
};

static void date(char out[TEXT], int64_t day)
{
	/* Days since 1970 to a civil date. */
	int64_t z = day + 719468, era = z / 146097, doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365,
		doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153, d = doy - (153 * mp + 2) / 5 + 1,
		m = mp < 10 ? mp + 3 : mp - 9;

	snprintf(out, TEXT, "%04d-%02d-%02d", (int)(yoe + era * 400 + (m <= 2)), (int)m, (int)d);
}

/* A date, or a date and time, from days after DAY0. */
static const char *day_text(struct gen *g, int64_t day, bool with_time, char out[TEXT])
{
	int64_t second = with_time ? between(g, 21600, 82799) : 0;
	char d[TEXT];

	date(d, DAY0 / 86400 + day);
	if (with_time)
		snprintf(out, TEXT, "%.10s %02d:%02d:%02d", d, (int)(second / 3600),
			(int)(second / 60 % 60), (int)(second % 60));
	else
		snprintf(out, TEXT, "%.10s", d);
	return out;
}

static void person(struct gen *g, int64_t id, struct person *p)
{
	static const char *const cities[] = {"Northbeck", "Alderport", "Miravale", "Eastmoor",
		"Stonelea", "Harrowgate Bay", "Linden Falls", "Port Orvane", "Caldwick",
		"Westmarsh"};
	static const char *const kinds[] = {"Street", "Avenue", "Lane", "Road", "Court", "Terrace"};
	static const char *const domains[] = {
		"example.com", "example.org", "mail.example.com", "post.example.org"};
	char road[TEXT];
	int64_t n;

	word(g, (int)between(g, 2, 3), p->first);
	word(g, (int)between(g, 2, 4), p->last);
	word(g, 3, road);
	snprintf(p->full, sizeof(p->full), "%s %s", p->first, p->last);
	snprintf(p->email, sizeof(p->email), "%s.%s%" PRId64 "@%s", p->first, p->last, id,
		PICK(g, domains));
	for (char *c = p->email; *c; c++)
		*c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
	n = between(g, 20100, 98999);
	snprintf(p->phone, TEXT, "+1-%03d-555-01%02d", (int)(n / 100), (int)(n % 100));
	n = between(g, 10001, 999999);
	snprintf(p->ssn, TEXT, "666-%02d-%04d", (int)(n / 10000), (int)(n % 10000));
	n = between(g, 1, 980);
	snprintf(p->street, sizeof(p->street), "%d %s %s", (int)n, road, PICK(g, kinds));
	snprintf(p->city, TEXT, "%s", PICK(g, cities));
	snprintf(p->postcode, TEXT, "%05d", (int)between(g, 10000, 99999));
	date(p->born, between(g, -10950, 12700)); /* 1940 to 2004 */
}

static void digits(struct gen *g, int n, char *out)
{
	for (int i = 0; i < n; i++)
		out[i] = (char)('0' + between(g, 0, 9));
	out[n] = '\0';
}

/* 16 digits with a right check digit (Luhn). */
static void card(struct gen *g, char out[TEXT])
{
	int sum = 0;

	snprintf(out, TEXT, "400000");
	digits(g, 9, out + 6);
	for (int i = 0; i < 15; i++) {
		int d = out[i] - '0';

		if (i % 2 == 0)
			d = d * 2 > 9 ? d * 2 - 9 : d * 2;
		sum += d;
	}
	snprintf(out + 15, TEXT - 15, "%d", (10 - sum % 10) % 10);
}

/* Country XX, with right check digits (ISO 7064 mod 97-10). */
static void iban(struct gen *g, char out[TEXT])
{
	char body[19];
	int rest = 0;

	digits(g, 18, body);
	for (const char *c = body; *c; c++)
		rest = (rest * 10 + (*c - '0')) % 97;
	for (const char *c = "333300"; *c; c++) /* X is 33 */
		rest = (rest * 10 + (*c - '0')) % 97;
	snprintf(out, TEXT, "XX%02d%s", 98 - rest, body);
}

static void address(struct gen *g, char out[TEXT])
{
	static const char *const nets[] = {"192.0.2", "198.51.100", "203.0.113"};

	int host = (int)between(g, 1, 254);

	snprintf(out, TEXT, "%s.%d", PICK(g, nets), host);
}

static const char *prose(char out[PROSE], const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static const char *prose(char out[PROSE], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(out, PROSE, fmt, ap);
	va_end(ap);
	return out;
}

/* --- rows ---------------------------------------------------------------------------- */

static void run(struct gen *g, const char *sql)
{
	if (sqlite3_exec(g->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail(g, "SQL");
}

static void start(
	struct gen *g, const char *dir, const char *name, uint64_t seed, char *path, size_t cap)
{
	snprintf(path, cap, "%s/%s.db", dir, name);
	*g = (struct gen){.path = path, .state = seed};
	for (const char *c = name; *c; c++)
		g->state = g->state * 31 + (unsigned char)*c;
	if (unlink(path) != 0 && errno != ENOENT)
		fail(g, "can't replace");
	if (sqlite3_open(path, &g->db) != SQLITE_OK)
		fail(g, "can't open");
	run(g, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN");
}

static void finish(
	struct gen *g, const char *name, int64_t subjects, const char *subject, const char *example)
{
	run(g, "COMMIT");
	if (sqlite3_close(g->db) != SQLITE_OK)
		fail(g, "close");
	printf("%-10s  %d tables, %" PRId64 " rows, %" PRId64 " %s (such as %s) in %s\n", name,
		g->tables, g->rows, subjects, subject, example, g->path);
}

static sqlite3_stmt *table(struct gen *g, const char *create, const char *insert)
{
	sqlite3_stmt *stmt;

	run(g, create);
	if (sqlite3_prepare_v2(g->db, insert, -1, &stmt, NULL) != SQLITE_OK)
		fail(g, "prepare");
	g->tables++;
	return stmt;
}

static void begin(struct gen *g, sqlite3_stmt *stmt)
{
	g->row = stmt;
	g->column = 0;
}

static void put_int(struct gen *g, int64_t v)
{
	sqlite3_bind_int64(g->row, ++g->column, v);
}

static void put_real(struct gen *g, double v)
{
	sqlite3_bind_double(g->row, ++g->column, v);
}

/* NULL is NULL. */
static void put_text(struct gen *g, const char *v)
{
	sqlite3_bind_text(g->row, ++g->column, v, -1, SQLITE_TRANSIENT);
}

static void end(struct gen *g)
{
	if (sqlite3_step(g->row) != SQLITE_DONE)
		fail(g, "insert");
	sqlite3_reset(g->row);
	g->rows++;
}

/* --- fintech -------------------------------------------------------------------------- */

struct fintech {
	struct gen g;
	sqlite3_stmt *customers, *accounts, *cards, *merchants, *transactions, *tickets, *messages,
		*kyc;
	int64_t account_id, card_id, transaction_id, ticket_id, message_id, kyc_id;
};

#define MERCHANTS 400
#define CUSTOMERS 600

static void fintech_tables(struct fintech *f)
{
	struct gen *g = &f->g;

	f->customers = table(g,
		"CREATE TABLE customers(id INTEGER PRIMARY KEY, full_name TEXT NOT NULL, email "
		"TEXT NOT NULL, phone TEXT, "
		"national_id TEXT, date_of_birth DATE, street_address TEXT, city TEXT, postcode "
		"TEXT, segment TEXT, "
		"risk_score REAL, password_hash TEXT, created_at TIMESTAMP)",
		"INSERT INTO customers VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)");
	f->accounts = table(g,
		"CREATE TABLE accounts(id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL "
		"REFERENCES customers, iban TEXT, "
		"kind TEXT, currency TEXT, balance_cents INTEGER, status TEXT, opened_at DATE, "
		"closed_at DATE)",
		"INSERT INTO accounts VALUES(?,?,?,?,?,?,?,?,?)");
	f->cards = table(g,
		"CREATE TABLE cards(id INTEGER PRIMARY KEY, account_id INTEGER NOT NULL REFERENCES "
		"accounts, pan TEXT, "
		"cardholder_name TEXT, cvv TEXT, network TEXT, expires_on DATE, status TEXT)",
		"INSERT INTO cards VALUES(?,?,?,?,?,?,?,?)");
	f->merchants = table(g,
		"CREATE TABLE merchants(id INTEGER PRIMARY KEY, name TEXT, category TEXT, city "
		"TEXT, contact_email TEXT, "
		"risk_level TEXT)",
		"INSERT INTO merchants VALUES(?,?,?,?,?,?)");
	f->transactions = table(g,
		"CREATE TABLE transactions(id INTEGER PRIMARY KEY, account_id INTEGER NOT NULL "
		"REFERENCES accounts, card_id "
		"INTEGER REFERENCES cards, merchant_id INTEGER REFERENCES merchants, amount_cents "
		"INTEGER, currency TEXT, kind "
		"TEXT, status TEXT, counterparty_iban TEXT, memo TEXT, ip_address TEXT, booked_at "
		"TIMESTAMP)",
		"INSERT INTO transactions VALUES(?,?,?,?,?,?,?,?,?,?,?,?)");
	f->tickets = table(g,
		"CREATE TABLE support_tickets(id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL "
		"REFERENCES customers, topic "
		"TEXT, subject TEXT, priority TEXT, status TEXT, opened_at TIMESTAMP, closed_at "
		"TIMESTAMP)",
		"INSERT INTO support_tickets VALUES(?,?,?,?,?,?,?,?)");
	f->messages = table(g,
		"CREATE TABLE ticket_messages(id INTEGER PRIMARY KEY, ticket_id INTEGER NOT NULL "
		"REFERENCES support_tickets, "
		"author TEXT, body TEXT, sent_at TIMESTAMP)",
		"INSERT INTO ticket_messages VALUES(?,?,?,?,?)");
	f->kyc = table(g,
		"CREATE TABLE kyc_documents(id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL "
		"REFERENCES customers, kind "
		"TEXT, document_number TEXT, issued_on DATE, expires_on DATE, verdict TEXT, "
		"reviewer_notes TEXT, scan BLOB)",
		"INSERT INTO kyc_documents VALUES(?,?,?,?,?,?,?,?,?)");
}

static void fintech_merchants(struct fintech *f)
{
	static const char *const categories[] = {"groceries", "fuel", "travel", "restaurants",
		"electronics", "health", "utilities", "clothing", "entertainment", "education"};
	static const char *const kinds[] = {
		"Market", "Trading", "Supplies", "Works", "Kitchen", "Outfitters", "Logistics"};
	static const char *const levels[] = {"low", "low", "low", "medium", "high"};
	char name[TEXT], full[2 * TEXT], mail[2 * TEXT];

	for (int64_t id = 1; id <= MERCHANTS; id++) {
		struct person p;

		person(&f->g, id, &p);
		word(&f->g, 3, name);
		snprintf(full, sizeof(full), "%s %s", name, PICK(&f->g, kinds));
		snprintf(mail, sizeof(mail), "billing%" PRId64 "@shop.example.com", id);
		begin(&f->g, f->merchants);
		put_int(&f->g, id);
		put_text(&f->g, full);
		put_text(&f->g, PICK(&f->g, categories));
		put_text(&f->g, p.city);
		put_text(&f->g, mail);
		put_text(&f->g, PICK(&f->g, levels));
		end(&f->g);
	}
}

static void fintech_transactions(struct fintech *f, int64_t account, int64_t first_card,
	int64_t opened, const struct person *p)
{
	static const char *const states[] = {
		"settled", "settled", "settled", "settled", "pending", "declined", "reversed"};
	struct gen *g = &f->g;
	int64_t count = between(g, 20, 60);
	char other[TEXT], ip[TEXT], when[TEXT], memo[PROSE];

	for (int64_t i = 0; i < count; i++) {
		bool by_card = first_card < f->card_id && chance(g, 70);
		int64_t card_id = by_card ? between(g, first_card + 1, f->card_id) : 0,
			merchant = between(g, 1, MERCHANTS);

		iban(g, other);
		address(g, ip);
		day_text(g, between(g, opened, DAYS), true, when);
		if (by_card)
			memo[0] = '\0';
		else
			prose(memo, "Transfer from %s, ref %06d, call %s if it bounces", p->full,
				(int)between(g, 0, 999999), p->phone);
		begin(g, f->transactions);
		put_int(g, ++f->transaction_id);
		put_int(g, account);
		put_int(g, card_id);
		put_int(g, merchant);
		put_int(g, by_card ? -between(g, 150, 42000) : between(g, -250000, 320000));
		put_text(g, "EUR");
		put_text(g, by_card ? "card" : "transfer");
		put_text(g, PICK(g, states));
		put_text(g, by_card ? NULL : other);
		put_text(g, *memo ? memo : NULL);
		put_text(g, ip);
		put_text(g, when);
		end(g);
	}
}

static void fintech_accounts(struct fintech *f, int64_t customer, const struct person *p)
{
	static const char *const kinds[] = {"checking", "savings", "credit", "business"};
	static const char *const networks[] = {"visa-test", "debit-test"};
	static const char *const states[] = {"active", "active", "active", "blocked", "expired"};
	struct gen *g = &f->g;

	for (int64_t n = between(g, 1, 3); n > 0; n--) {
		int64_t opened = between(g, 0, DAYS - 200), first_card = f->card_id,
			account = ++f->account_id;
		bool closed = chance(g, 8);
		char number[TEXT], a[TEXT], b[TEXT], cvv[8];

		iban(g, number);
		begin(g, f->accounts);
		put_int(g, account);
		put_int(g, customer);
		put_text(g, number);
		put_text(g, PICK(g, kinds));
		put_text(g, "EUR");
		put_int(g, between(g, -50000, 9000000));
		put_text(g, closed ? "closed" : "open");
		put_text(g, day_text(g, opened, false, a));
		put_text(g, closed ? day_text(g, between(g, opened + 100, DAYS), false, b) : NULL);
		end(g);
		for (int64_t k = between(g, 0, 2); k > 0; k--) {
			card(g, number);
			digits(g, 3, cvv);
			begin(g, f->cards);
			put_int(g, ++f->card_id);
			put_int(g, account);
			put_text(g, number);
			put_text(g, p->full);
			put_text(g, cvv);
			put_text(g, PICK(g, networks));
			put_text(g, day_text(g, DAYS + between(g, 30, 1400), false, a));
			put_text(g, PICK(g, states));
			end(g);
		}
		fintech_transactions(f, account, first_card, opened, p);
	}
}

static void fintech_support(struct fintech *f, int64_t customer, const struct person *p)
{
	static const char *const topics[] = {
		"card", "transfer", "login", "fees", "fraud", "statement"};
	static const char *const levels[] = {"low", "normal", "normal", "high", "urgent"};
	struct gen *g = &f->g;
	char opened[TEXT], closed[TEXT], text[PROSE];

	for (int64_t n = between(g, 0, 4); n > 0; n--) {
		int64_t day = between(g, 100, DAYS - 20), ticket = ++f->ticket_id;
		bool open = chance(g, 15);
		const char *topic = PICK(g, topics);

		begin(g, f->tickets);
		put_int(g, ticket);
		put_int(g, customer);
		put_text(g, topic);
		put_text(g,
			prose(text, "%s asks about %s, reachable at %s", p->full, topic, p->phone));
		put_text(g, PICK(g, levels));
		put_text(g, open ? "open" : "closed");
		put_text(g, day_text(g, day, true, opened));
		put_text(g, open ? NULL : day_text(g, day + between(g, 0, 14), true, closed));
		end(g);
		for (int64_t k = between(g, 1, 5); k > 0; k--) {
			bool agent = chance(g, 50);

			prose(text,
				agent ? "Hello %s, we wrote to %s and have noted your address %s."
				      : "This is %s. Please answer to %s, I moved to %s.",
				p->first, p->email, p->street);
			begin(g, f->messages);
			put_int(g, ++f->message_id);
			put_int(g, ticket);
			put_text(g, agent ? "agent" : "customer");
			put_text(g, text);
			put_text(g, day_text(g, day, true, opened));
			end(g);
		}
	}
}

static void fintech_kyc(struct fintech *f, int64_t customer, const struct person *p)
{
	static const char *const kinds[] = {"passport", "driving_licence", "utility_bill"};
	static const char *const verdicts[] = {
		"accepted", "accepted", "accepted", "rejected", "pending"};
	struct gen *g = &f->g;
	char number[TEXT], issued[TEXT], expires[TEXT], text[PROSE], scan[33];

	for (int64_t n = between(g, 1, 2); n > 0; n--) {
		int64_t day = between(g, 0, DAYS);

		snprintf(number, sizeof(number), "T%08d", (int)between(g, 0, 99999999));
		digits(g, 32, scan);
		begin(g, f->kyc);
		put_int(g, ++f->kyc_id);
		put_int(g, customer);
		put_text(g, PICK(g, kinds));
		put_text(g, number);
		put_text(g, day_text(g, day, false, issued));
		put_text(g, chance(g, 20) ? NULL : day_text(g, day + 3650, false, expires));
		put_text(g, PICK(g, verdicts));
		put_text(g,
			chance(g, 40) ? NULL
				      : prose(text, "Checked %s, born %s, number %s", p->full,
						p->born, number));
		put_text(g, scan);
		end(g);
	}
}

static void fintech(const char *dir, uint64_t seed)
{
	static const char *const segments[] = {"retail", "retail", "retail", "premium", "business"};
	struct fintech f = {.account_id = 20000, .card_id = 50000};
	char path[4096], created[TEXT], secret[2 * TEXT];
	struct gen *g = &f.g;

	start(g, dir, "fintech", seed, path, sizeof(path));
	fintech_tables(&f);
	fintech_merchants(&f);
	for (int64_t id = 1001; id < 1001 + CUSTOMERS; id++) {
		struct person p;

		person(g, id, &p);
		snprintf(secret, sizeof(secret), "$demo$%016" PRIx64, next(g));
		begin(g, f.customers);
		put_int(g, id);
		put_text(g, p.full);
		put_text(g, p.email);
		put_text(g, chance(g, 10) ? NULL : p.phone);
		put_text(g, chance(g, 25) ? NULL : p.ssn);
		put_text(g, p.born);
		put_text(g, p.street);
		put_text(g, p.city);
		put_text(g, p.postcode);
		put_text(g, PICK(g, segments));
		put_real(g, (double)between(g, 0, 1000) / 1000);
		put_text(g, secret);
		put_text(g, day_text(g, between(g, 0, 400), true, created));
		end(g);
		fintech_accounts(&f, id, &p);
		fintech_support(&f, id, &p);
		fintech_kyc(&f, id, &p);
	}
	sqlite3_finalize(f.customers);
	sqlite3_finalize(f.accounts);
	sqlite3_finalize(f.cards);
	sqlite3_finalize(f.merchants);
	sqlite3_finalize(f.transactions);
	sqlite3_finalize(f.tickets);
	sqlite3_finalize(f.messages);
	sqlite3_finalize(f.kyc);
	run(g,
		"UPDATE transactions SET card_id = NULL WHERE card_id = 0;"
		"CREATE INDEX accounts_customer ON accounts(customer_id); CREATE INDEX "
		"cards_account ON cards(account_id);"
		"CREATE INDEX transactions_account ON transactions(account_id);"
		"CREATE INDEX tickets_customer ON support_tickets(customer_id);"
		"CREATE INDEX messages_ticket ON ticket_messages(ticket_id); CREATE INDEX "
		"kyc_customer ON kyc_documents(customer_id)");
	finish(g, "fintech", CUSTOMERS, "customers", "1001");
}

/* --- healthcare ------------------------------------------------------------------------- */

struct healthcare {
	struct gen g;
	sqlite3_stmt *patients, *providers, *encounters, *diagnoses, *medications, *labs, *notes,
		*policies;
	int64_t encounter_id, diagnosis_id, medication_id, lab_id, note_id, policy_id;
};

#define PROVIDERS 80
#define PATIENTS 500

static void healthcare_tables(struct healthcare *h)
{
	struct gen *g = &h->g;

	h->patients = table(g,
		"CREATE TABLE patients(id INTEGER PRIMARY KEY, mrn TEXT NOT NULL UNIQUE, full_name "
		"TEXT, birth_date DATE, sex "
		"TEXT, ssn TEXT, phone TEXT, email TEXT, street_address TEXT, city TEXT, postcode "
		"TEXT, emergency_contact TEXT, "
		"blood_type TEXT, registered_at TIMESTAMP)",
		"INSERT INTO patients VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
	h->providers = table(g,
		"CREATE TABLE providers(id INTEGER PRIMARY KEY, full_name TEXT, specialty TEXT, "
		"licence_number TEXT, site TEXT)",
		"INSERT INTO providers VALUES(?,?,?,?,?)");
	h->encounters = table(g,
		"CREATE TABLE encounters(id INTEGER PRIMARY KEY, patient_id INTEGER NOT NULL "
		"REFERENCES patients, provider_id "
		"INTEGER REFERENCES providers, kind TEXT, reason TEXT, started_at TIMESTAMP, "
		"ended_at TIMESTAMP, cost_cents INTEGER)",
		"INSERT INTO encounters VALUES(?,?,?,?,?,?,?,?)");
	h->diagnoses = table(g,
		"CREATE TABLE diagnoses(id INTEGER PRIMARY KEY, encounter_id INTEGER NOT NULL "
		"REFERENCES encounters, code TEXT, "
		"description TEXT, is_primary BOOLEAN, onset_date DATE)",
		"INSERT INTO diagnoses VALUES(?,?,?,?,?,?)");
	h->medications = table(g,
		"CREATE TABLE medications(id INTEGER PRIMARY KEY, patient_id INTEGER NOT NULL "
		"REFERENCES patients, name TEXT, dose "
		"TEXT, route TEXT, instructions TEXT, started_on DATE, stopped_on DATE)",
		"INSERT INTO medications VALUES(?,?,?,?,?,?,?,?)");
	h->labs = table(g,
		"CREATE TABLE lab_results(id INTEGER PRIMARY KEY, encounter_id INTEGER NOT NULL "
		"REFERENCES encounters, test TEXT, "
		"value REAL, unit TEXT, reference_low REAL, reference_high REAL, flag TEXT, "
		"taken_at TIMESTAMP)",
		"INSERT INTO lab_results VALUES(?,?,?,?,?,?,?,?,?)");
	h->notes = table(g,
		"CREATE TABLE clinical_notes(id INTEGER PRIMARY KEY, encounter_id INTEGER NOT NULL "
		"REFERENCES encounters, author "
		"TEXT, kind TEXT, body TEXT, written_at TIMESTAMP)",
		"INSERT INTO clinical_notes VALUES(?,?,?,?,?,?)");
	h->policies = table(g,
		"CREATE TABLE insurance_policies(id INTEGER PRIMARY KEY, patient_id INTEGER NOT "
		"NULL REFERENCES patients, insurer "
		"TEXT, policy_number TEXT, holder_name TEXT, plan TEXT, valid_from DATE, valid_to "
		"DATE)",
		"INSERT INTO insurance_policies VALUES(?,?,?,?,?,?,?,?)");
}

static void healthcare_labs(struct healthcare *h, int64_t encounter, int64_t day)
{
	static const struct {
		const char *test, *unit;
		double low, high;
	} tests[] = {{"glucose", "mmol/L", 3.9, 5.6}, {"hba1c", "%", 4.0, 5.6},
		{"sodium", "mmol/L", 135, 145}, {"potassium", "mmol/L", 3.5, 5.1},
		{"creatinine", "umol/L", 60, 110}, {"haemoglobin", "g/L", 120, 170},
		{"crp", "mg/L", 0, 5}, {"ldl", "mmol/L", 0, 3}, {"tsh", "mU/L", 0.4, 4}};
	struct gen *g = &h->g;
	char when[TEXT];

	for (int64_t n = between(g, 0, 6); n > 0; n--) {
		size_t t = next(g) % COUNT(tests);
		double value = tests[t].low +
			(tests[t].high - tests[t].low) * (double)between(g, -20, 140) / 100;

		value = value < 0 ? 0 : (double)(int64_t)(value * 10 + 0.5) / 10;
		begin(g, h->labs);
		put_int(g, ++h->lab_id);
		put_int(g, encounter);
		put_text(g, tests[t].test);
		put_real(g, value);
		put_text(g, tests[t].unit);
		put_real(g, tests[t].low);
		put_real(g, tests[t].high);
		put_text(g, value < tests[t].low ? "low" : value > tests[t].high ? "high" : NULL);
		put_text(g, day_text(g, day, true, when));
		end(g);
	}
}

/* Late on the day of the date and time a, or some days on. */
static const char *later(struct gen *g, int64_t day, const char *a, char out[TEXT])
{
	if (chance(g, 10))
		return day_text(g, day + between(g, 1, 5), true, out);
	snprintf(out, TEXT, "%.11s23%.6s", a, a + 13);
	return out;
}

static void healthcare_encounters(struct healthcare *h, int64_t patient, const struct person *p)
{
	static const char *const kinds[] = {
		"outpatient", "outpatient", "telehealth", "inpatient", "emergency"};
	static const struct {
		const char *code, *text;
	} codes[] = {{"E11.9", "Type 2 diabetes"}, {"I10", "Hypertension"}, {"J45.9", "Asthma"},
		{"M54.5", "Low back pain"}, {"F41.1", "Generalised anxiety"},
		{"E78.5", "Hyperlipidaemia"}, {"K21.9", "Reflux disease"}, {"R51", "Headache"}};
	struct gen *g = &h->g;
	char a[TEXT], b[TEXT], text[PROSE];

	for (int64_t n = between(g, 4, 22); n > 0; n--) {
		int64_t id = ++h->encounter_id, day = between(g, 0, DAYS);

		begin(g, h->encounters);
		put_int(g, id);
		put_int(g, patient);
		put_int(g, chance(g, 5) ? 0 : between(g, 1, PROVIDERS));
		put_text(g, PICK(g, kinds));
		put_text(g,
			chance(g, 20) ? NULL
				      : prose(text, "%s reports symptoms since %s", p->full,
						day_text(g, day - 9, false, a)));
		put_text(g, day_text(g, day, true, a));
		put_text(g, later(g, day, a, b));
		put_int(g, between(g, 4000, 900000));
		end(g);
		for (int64_t k = between(g, 1, 3); k > 0; k--) {
			size_t c = next(g) % COUNT(codes);

			begin(g, h->diagnoses);
			put_int(g, ++h->diagnosis_id);
			put_int(g, id);
			put_text(g, codes[c].code);
			put_text(g, codes[c].text);
			put_int(g, (int64_t)(k == 1));
			put_text(g,
				chance(g, 40) ? NULL
					      : day_text(g, day - between(g, 0, 90), false, a));
			end(g);
		}
		healthcare_labs(h, id, day);
		for (int64_t k = between(g, 0, 2); k > 0; k--) {
			begin(g, h->notes);
			put_int(g, ++h->note_id);
			put_int(g, id);
			put_text(g, "Dr. on duty");
			put_text(g, chance(g, 50) ? "progress" : "discharge");
			put_text(g,
				prose(text,
					"Patient %s (born %s, phone %s) of %s seen today. "
					"Reachable at %s.",
					p->full, p->born, p->phone, p->street, p->email));
			put_text(g, day_text(g, day, true, a));
			end(g);
		}
	}
}

static void healthcare_others(struct healthcare *h, int64_t patient, const struct person *p)
{
	static const char *const drugs[] = {"metformin", "lisinopril", "salbutamol", "ibuprofen",
		"sertraline", "atorvastatin", "omeprazole", "levothyroxine"};
	static const char *const doses[] = {"5 mg", "10 mg", "20 mg", "50 mg", "500 mg", "100 ug"};
	static const char *const plans[] = {"basic", "standard", "premium"};
	struct gen *g = &h->g;
	char a[TEXT], b[TEXT], text[PROSE], number[TEXT];

	for (int64_t n = between(g, 0, 6); n > 0; n--) {
		int64_t day = between(g, 0, DAYS);

		begin(g, h->medications);
		put_int(g, ++h->medication_id);
		put_int(g, patient);
		put_text(g, PICK(g, drugs));
		put_text(g, PICK(g, doses));
		put_text(g, chance(g, 80) ? "oral" : "inhaled");
		put_text(g,
			chance(g, 50)
				? NULL
				: prose(text, "Explained to %s by phone %s", p->first, p->phone));
		put_text(g, day_text(g, day, false, a));
		put_text(g, chance(g, 40) ? NULL : day_text(g, day + between(g, 5, 300), false, b));
		end(g);
	}
	for (int64_t n = between(g, 1, 2); n > 0; n--) {
		int64_t day = between(g, 0, DAYS);

		snprintf(number, sizeof(number), "POL-%09d", (int)between(g, 0, 999999999));
		begin(g, h->policies);
		put_int(g, ++h->policy_id);
		put_int(g, patient);
		put_text(g, "Example Mutual");
		put_text(g, number);
		put_text(g, p->full);
		put_text(g, PICK(g, plans));
		put_text(g, day_text(g, day, false, a));
		put_text(g, chance(g, 60) ? NULL : day_text(g, day + 365, false, b));
		end(g);
	}
}

static void healthcare_providers(struct healthcare *h)
{
	static const char *const specialties[] = {"general practice", "cardiology", "endocrinology",
		"psychiatry", "orthopaedics", "emergency medicine", "pulmonology"};
	static const char *const sites[] = {
		"North Clinic", "Harbour Hospital", "East Ward", "Riverside Practice"};

	for (int64_t id = 1; id <= PROVIDERS; id++) {
		struct person p;
		char licence[TEXT];

		person(&h->g, id, &p);
		snprintf(licence, sizeof(licence), "LIC-%06d", (int)between(&h->g, 0, 999999));
		begin(&h->g, h->providers);
		put_int(&h->g, id);
		put_text(&h->g, p.full);
		put_text(&h->g, PICK(&h->g, specialties));
		put_text(&h->g, licence);
		put_text(&h->g, PICK(&h->g, sites));
		end(&h->g);
	}
}

static void healthcare(const char *dir, uint64_t seed)
{
	static const char *const blood[] = {"A+", "A-", "B+", "B-", "AB+", "O+", "O-"};
	struct healthcare h = {.encounter_id = 100000};
	char path[4096], created[TEXT], mrn[TEXT], contact[4 * TEXT];
	struct gen *g = &h.g;

	start(g, dir, "healthcare", seed, path, sizeof(path));
	healthcare_tables(&h);
	healthcare_providers(&h);
	for (int64_t id = 1; id <= PATIENTS; id++) {
		struct person p, kin;

		person(g, id, &p);
		person(g, id + 10000, &kin);
		snprintf(mrn, sizeof(mrn), "MRN-%06" PRId64, 100000 + id);
		snprintf(contact, sizeof(contact), "%s, %s", kin.full, kin.phone);
		begin(g, h.patients);
		put_int(g, id);
		put_text(g, mrn);
		put_text(g, p.full);
		put_text(g, p.born);
		put_text(g, chance(g, 50) ? "F" : "M");
		put_text(g, p.ssn);
		put_text(g, p.phone);
		put_text(g, chance(g, 15) ? NULL : p.email);
		put_text(g, p.street);
		put_text(g, p.city);
		put_text(g, p.postcode);
		put_text(g, chance(g, 20) ? NULL : contact);
		put_text(g, chance(g, 30) ? NULL : PICK(g, blood));
		put_text(g, day_text(g, between(g, 0, 300), true, created));
		end(g);
		healthcare_encounters(&h, id, &p);
		healthcare_others(&h, id, &p);
	}
	sqlite3_finalize(h.patients);
	sqlite3_finalize(h.providers);
	sqlite3_finalize(h.encounters);
	sqlite3_finalize(h.diagnoses);
	sqlite3_finalize(h.medications);
	sqlite3_finalize(h.labs);
	sqlite3_finalize(h.notes);
	sqlite3_finalize(h.policies);
	run(g,
		"UPDATE encounters SET provider_id = NULL WHERE provider_id = 0;"
		"CREATE INDEX encounters_patient ON encounters(patient_id); CREATE INDEX "
		"diagnoses_encounter ON diagnoses(encounter_id);"
		"CREATE INDEX labs_encounter ON lab_results(encounter_id); CREATE INDEX "
		"notes_encounter ON clinical_notes(encounter_id);"
		"CREATE INDEX medications_patient ON medications(patient_id); CREATE INDEX "
		"policies_patient ON "
		"insurance_policies(patient_id)");
	finish(g, "healthcare", PATIENTS, "patients", "MRN-100001");
}

/* --- hr ------------------------------------------------------------------------------------ */

struct hr {
	struct gen g;
	sqlite3_stmt *employees, *departments, *compensation, *reviews, *leave, *payslips, *notes,
		*trainings;
	int64_t compensation_id, review_id, leave_id, payslip_id, note_id, training_id;
};

#define EMPLOYEES 450

static const char *const department_names[] = {"Engineering", "Sales", "Support", "Finance",
	"People", "Legal", "Marketing", "Operations", "Research", "Security"};

static void hr_tables(struct hr *h)
{
	struct gen *g = &h->g;

	h->employees = table(g,
		"CREATE TABLE employees(id INTEGER PRIMARY KEY, employee_no TEXT NOT NULL UNIQUE, "
		"full_name TEXT, work_email TEXT, "
		"private_email TEXT, phone TEXT, ssn TEXT, birth_date DATE, street_address TEXT, "
		"city TEXT, department_id INTEGER, "
		"manager_id INTEGER REFERENCES employees, title TEXT, hired_on DATE, left_on DATE)",
		"INSERT INTO employees VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
	h->departments = table(g,
		"CREATE TABLE departments(id INTEGER PRIMARY KEY, name TEXT, cost_centre TEXT, "
		"site TEXT, headcount_plan INTEGER)",
		"INSERT INTO departments VALUES(?,?,?,?,?)");
	h->compensation = table(g,
		"CREATE TABLE compensation(id INTEGER PRIMARY KEY, employee_id INTEGER NOT NULL "
		"REFERENCES employees, "
		"salary_cents INTEGER, bonus_cents INTEGER, currency TEXT, bank_iban TEXT, grade "
		"TEXT, valid_from DATE, reason TEXT)",
		"INSERT INTO compensation VALUES(?,?,?,?,?,?,?,?,?)");
	h->reviews = table(g,
		"CREATE TABLE reviews(id INTEGER PRIMARY KEY, employee_id INTEGER NOT NULL "
		"REFERENCES employees, reviewer_name TEXT, "
		"period TEXT, rating INTEGER, strengths TEXT, concerns TEXT, signed_on DATE)",
		"INSERT INTO reviews VALUES(?,?,?,?,?,?,?,?)");
	h->leave = table(g,
		"CREATE TABLE leave_requests(id INTEGER PRIMARY KEY, employee_id INTEGER NOT NULL "
		"REFERENCES employees, kind TEXT, "
		"first_day DATE, last_day DATE, status TEXT, reason TEXT)",
		"INSERT INTO leave_requests VALUES(?,?,?,?,?,?,?)");
	h->payslips = table(g,
		"CREATE TABLE payslips(id INTEGER PRIMARY KEY, employee_id INTEGER NOT NULL "
		"REFERENCES employees, month TEXT, "
		"gross_cents INTEGER, tax_cents INTEGER, net_cents INTEGER, paid_to_iban TEXT, "
		"paid_on DATE)",
		"INSERT INTO payslips VALUES(?,?,?,?,?,?,?,?)");
	h->notes = table(g,
		"CREATE TABLE employee_notes(id INTEGER PRIMARY KEY, employee_id INTEGER NOT NULL "
		"REFERENCES employees, author TEXT, "
		"body TEXT, confidential BOOLEAN, written_at TIMESTAMP)",
		"INSERT INTO employee_notes VALUES(?,?,?,?,?,?)");
	h->trainings = table(g,
		"CREATE TABLE trainings(id INTEGER PRIMARY KEY, employee_id INTEGER NOT NULL "
		"REFERENCES employees, course TEXT, score "
		"INTEGER, passed BOOLEAN, completed_on DATE)",
		"INSERT INTO trainings VALUES(?,?,?,?,?,?)");
}

static void hr_pay(struct hr *h, int64_t id, int64_t hired, int64_t left)
{
	static const char *const reasons[] = {"hire", "annual round", "promotion", "correction"};
	struct gen *g = &h->g;
	int64_t salary = between(g, 3200000, 9800000);
	char account[TEXT], a[TEXT], grade[TEXT], month[TEXT];

	iban(g, account);
	for (int64_t day = hired; day < left; day += between(g, 300, 420)) {
		snprintf(grade, sizeof(grade), "G%d", (int)(salary / 1500000));
		begin(g, h->compensation);
		put_int(g, ++h->compensation_id);
		put_int(g, id);
		put_int(g, salary);
		put_int(g, chance(g, 40) ? between(g, 50000, 900000) : 0);
		put_text(g, "EUR");
		put_text(g, account);
		put_text(g, grade);
		put_text(g, day_text(g, day, false, a));
		put_text(g, day == hired ? reasons[0] : PICK(g, reasons));
		end(g);
		salary += between(g, 50000, 500000);
	}
	for (int64_t day = hired + 30; day < left; day += 30) {
		int64_t gross = salary / 12, tax = gross * between(g, 24, 38) / 100;

		day_text(g, day, false, a);
		snprintf(month, sizeof(month), "%.7s", a);
		begin(g, h->payslips);
		put_int(g, ++h->payslip_id);
		put_int(g, id);
		put_text(g, month);
		put_int(g, gross);
		put_int(g, tax);
		put_int(g, gross - tax);
		put_text(g, account);
		put_text(g, a);
		end(g);
	}
}

static void hr_reviews(
	struct hr *h, int64_t id, int64_t hired, int64_t left, const struct person *p)
{
	struct gen *g = &h->g;
	char a[TEXT], period[TEXT], text[PROSE], more[PROSE];

	for (int64_t day = hired + 180; day < left; day += 180) {
		struct person boss;

		person(g, id, &boss);
		day_text(g, day, false, a);
		snprintf(period, sizeof(period), "%.4s-H%d", a, a[5] == '0' && a[6] < '7' ? 1 : 2);
		begin(g, h->reviews);
		put_int(g, ++h->review_id);
		put_int(g, id);
		put_text(g, boss.full);
		put_text(g, period);
		put_int(g, between(g, 1, 5));
		put_text(g, prose(text, "%s is trusted by the whole team", p->first));
		put_text(g,
			chance(g, 60)
				? NULL
				: prose(more, "%s should answer %s sooner", p->full, boss.full));
		put_text(g, a);
		end(g);
	}
}

static void hr_others(struct hr *h, int64_t id, int64_t hired, int64_t left, const struct person *p)
{
	static const char *const kinds[] = {"vacation", "vacation", "sick", "parental", "unpaid"};
	static const char *const states[] = {
		"approved", "approved", "approved", "rejected", "pending"};
	static const char *const courses[] = {"Fire safety", "Data protection",
		"Information security", "First aid", "Leadership", "Anti-bribery"};
	struct gen *g = &h->g;
	char a[TEXT], b[TEXT], text[PROSE];

	for (int64_t n = between(g, 2, 18); n > 0; n--) {
		int64_t day = between(g, hired, left);

		begin(g, h->leave);
		put_int(g, ++h->leave_id);
		put_int(g, id);
		put_text(g, PICK(g, kinds));
		put_text(g, day_text(g, day, false, a));
		put_text(g, day_text(g, day + between(g, 0, 20), false, b));
		put_text(g, PICK(g, states));
		put_text(g,
			chance(g, 50) ? NULL
				      : prose(text, "%s can be called on %s meanwhile", p->first,
						p->phone));
		end(g);
	}
	for (int64_t n = between(g, 0, 6); n > 0; n--) {
		begin(g, h->notes);
		put_int(g, ++h->note_id);
		put_int(g, id);
		put_text(g, "HR partner");
		put_text(g,
			prose(text, "Spoke with %s about the move to %s; private mail is %s",
				p->full, p->street, p->email));
		put_int(g, (int64_t)chance(g, 30));
		put_text(g, day_text(g, between(g, hired, left), true, a));
		end(g);
	}
	for (int64_t n = between(g, 2, 12); n > 0; n--) {
		int64_t score = between(g, 35, 100);

		begin(g, h->trainings);
		put_int(g, ++h->training_id);
		put_int(g, id);
		put_text(g, PICK(g, courses));
		put_int(g, score);
		put_int(g, (int64_t)(score >= 60));
		put_text(g, day_text(g, between(g, hired, left), false, a));
		end(g);
	}
}

static void hr_employee(struct hr *h, int64_t id)
{
	static const char *const titles[] = {"Analyst", "Engineer", "Senior Engineer", "Manager",
		"Director", "Specialist", "Assistant"};
	struct gen *g = &h->g;
	int64_t hired = between(g, 0, DAYS - 300),
		left = chance(g, 15) ? between(g, hired + 200, DAYS) : DAYS;
	char number[TEXT], mail[2 * TEXT], a[TEXT], b[TEXT];
	struct person p;

	person(g, id, &p);
	snprintf(number, sizeof(number), "E-%04" PRId64, 1000 + id);
	snprintf(mail, sizeof(mail), "e%04" PRId64 "@corp.example.com", 1000 + id);
	begin(g, h->employees);
	put_int(g, id);
	put_text(g, number);
	put_text(g, p.full);
	put_text(g, mail);
	put_text(g, chance(g, 25) ? NULL : p.email);
	put_text(g, chance(g, 10) ? NULL : p.phone);
	put_text(g, p.ssn);
	put_text(g, p.born);
	put_text(g, p.street);
	put_text(g, p.city);
	put_int(g, between(g, 1, (int64_t)COUNT(department_names)));
	put_int(g, id == 1 ? 0 : between(g, 1, id - 1));
	put_text(g, PICK(g, titles));
	put_text(g, day_text(g, hired, false, a));
	put_text(g, left < DAYS ? day_text(g, left, false, b) : NULL);
	end(g);
	hr_pay(h, id, hired, left);
	hr_reviews(h, id, hired, left, &p);
	hr_others(h, id, hired, left, &p);
}

static void hr(const char *dir, uint64_t seed)
{
	static const char *const sites[] = {"Northbeck", "Alderport", "Remote"};
	struct hr h = {.note_id = 0};
	char path[4096], centre[TEXT];
	struct gen *g = &h.g;

	start(g, dir, "hr", seed, path, sizeof(path));
	hr_tables(&h);
	for (size_t i = 0; i < COUNT(department_names); i++) {
		snprintf(centre, sizeof(centre), "CC-%03d", (int)between(g, 100, 999));
		begin(g, h.departments);
		put_int(g, (int64_t)i + 1);
		put_text(g, department_names[i]);
		put_text(g, centre);
		put_text(g, PICK(g, sites));
		put_int(g, between(g, 10, 90));
		end(g);
	}
	for (int64_t id = 1; id <= EMPLOYEES; id++)
		hr_employee(&h, id);
	sqlite3_finalize(h.employees);
	sqlite3_finalize(h.departments);
	sqlite3_finalize(h.compensation);
	sqlite3_finalize(h.reviews);
	sqlite3_finalize(h.leave);
	sqlite3_finalize(h.payslips);
	sqlite3_finalize(h.notes);
	sqlite3_finalize(h.trainings);
	run(g,
		"UPDATE employees SET manager_id = NULL WHERE manager_id = 0;"
		"CREATE INDEX compensation_employee ON compensation(employee_id); CREATE INDEX "
		"reviews_employee ON reviews(employee_id);"
		"CREATE INDEX leave_employee ON leave_requests(employee_id); CREATE INDEX "
		"payslips_employee ON payslips(employee_id);"
		"CREATE INDEX notes_employee ON employee_notes(employee_id); CREATE INDEX "
		"trainings_employee ON trainings(employee_id)");
	finish(g, "hr", EMPLOYEES, "employees", "E-1001");
}

int main(int argc, char **argv)
{
	static const char usage[] = "Usage: airlock-demo-data --out DIR [--seed N]\n"
				    "Writes fintech.db, healthcare.db and hr.db, made-up data for "
				    "the demo, into DIR.\n";
	static const struct option options[] = {{"out", required_argument, NULL, 'o'},
		{"seed", required_argument, NULL, 's'}, {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}};
	const char *dir = NULL;
	uint64_t seed = 1;
	char *rest;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'o':
			dir = optarg;
			break;
		case 's':
			errno = 0;
			seed = strtoull(optarg, &rest, 10);
			if (*rest || rest == optarg || errno) {
				fprintf(stderr,
					"airlock-demo-data: --seed must be a whole number\n");
				return 2;
			}
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		case 'V':
			puts("airlock-demo-data " AIRLOCK_VERSION);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (!dir || optind < argc || strlen(dir) > 4000) {
		fputs(usage, stderr);
		return 2;
	}
	if (mkdir(dir, 0777) != 0 && errno != EEXIST) {
		fprintf(stderr, "airlock-demo-data: %s: %s\n", dir, strerror(errno));
		return 1;
	}
	fintech(dir, seed);
	healthcare(dir, seed);
	hr(dir, seed);
	return fflush(stdout) == 0 ? 0 : 1;
}
