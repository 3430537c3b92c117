#include "cli/args.h"

#include <stdio.h>
#include <string.h>

#include "shared/text.h"

const struct arg_row arg_rows[ARG_COUNT] = {
	[ARG_HELP] = {'h', "help", NULL, false, "Show this and exit"},
	[ARG_JSON] = {0, "json", NULL, false, "Print JSON instead of text"},
	[ARG_QUIET] = {'q', "quiet", NULL, false, "Print only the id, or the secret just made"},
	[ARG_URL] = {0, "url", "URL", false, "The control plane (default: $AIRLOCK_CP_PUBLIC_URL)"},
	[ARG_TOKEN_FILE] = {0, "token-file", "FILE", false,
		"Read the operator token from FILE (default: $AIRLOCK_CP_OPERATOR_TOKEN, or "
		"the file that $AIRLOCK_CP_OPERATOR_TOKEN_FILE names)"},
	[ARG_CA_FILE] = {0, "ca-file", "FILE", false,
		"Trust the certificates in FILE, not the system's"},
	[ARG_TIMEOUT] = {0, "timeout", "TIME", false,
		"Give up after TIME (default: 30s; call: 90s)"},
	[ARG_NAME] = {0, "name", "NAME", false, "The name for people"},
	[ARG_TTL] = {0, "ttl", "TIME", false, "The token is good for TIME: 90s, 15m, 12h or 30d"},
	[ARG_EXPIRES_IN] = {0, "expires-in", "TIME", false,
		"The key expires after TIME (default: never)"},
	[ARG_TOOL] = {0, "tool", "TOOL", true,
		"This tool only; for a key, may be repeated (default: all)"},
	[ARG_RATE] = {0, "rate", "N", false, "Allow N requests a minute; 0: no limit"},
	[ARG_IDEMPOTENCY_KEY] = {0, "idempotency-key", "KEY", false,
		"Make it once, however often this is tried with the same KEY"},
	[ARG_ARG] = {0, "arg", "NAME=VALUE", true,
		"An argument of the tool, a string; NAME:=JSON for any other value; may be "
		"repeated"},
	[ARG_JSON_ARGS] = {0, "json-args", "FILE", false,
		"All arguments as a JSON object from FILE (-: standard input)"},
	[ARG_KEY_FILE] = {0, "key-file", "FILE", false,
		"Read the API key from FILE (default: $AIRLOCK_API_KEY)"},
	[ARG_YES] = {'y', "yes", NULL, false, "Do not ask"},
	[ARG_OUT] = {'o', "out", "FILE", false,
		"Write to FILE (mode 0600), not to standard output"},
	[ARG_FILE] = {'f', "file", "FILE", true,
		"A file of the log, or its directory; repeated, the files are one log in this "
		"order (default: the "
		"log that config.yaml names)"},
	[ARG_PUBLIC_KEY] = {0, "public-key", "FILE", false,
		"The control plane's public key in PEM (default: this control plane's)"},
	[ARG_EXPECT] = {0, "expect", "SEQ:HASH", false,
		"The log must hold this row with this hash: then nothing was cut off up to it"},
	[ARG_FROM] = {0, "from", "SEQ", false,
		"The log begins with this row; what was before is kept elsewhere (default: 1)"},
	[ARG_TENANT] = {0, "tenant", "TENANT", false, "Rows about this tenant only"},
	[ARG_ACTOR] = {0, "actor", "ACTOR", false,
		"Rows of this actor only: a kind, an id, a name or a key id"},
	[ARG_OUTCOME] = {0, "outcome", "OUTCOME", false, "Rows with this outcome only"},
	[ARG_EVENT] = {0, "event", "EVENT", false,
		"Rows of this event only: key.revoke, or 'key.*' for all of them"},
	[ARG_SINCE] = {0, "since", "TIME", false,
		"Rows from TIME on: 2026-11-23, 2026-11-23T21:04:05Z, or 90m, 12h, 30d ago"},
	[ARG_UNTIL] = {0, "until", "TIME", false, "Rows before TIME, given as with --since"},
	[ARG_TEXT] = {0, "text", "WORDS", false,
		"Rows that have all of these words, whatever the case: ids, addresses, names"},
	[ARG_LIMIT] = {'n', "limit", "N", false, "At most N rows (default: 50; 0: all)"},
	[ARG_FORMAT] = {0, "format", "FORMAT", false,
		"jsonl (default), csv, or bundle, which proves itself"},
	[ARG_WITH_KEY] = {0, "with-key", NULL, false,
		"Put the control plane's private key in too: keep the file as you keep the key"},
	[ARG_FULL] = {0, "full", NULL, false,
		"Check the audit log from its first row on, not its end alone"},
	[ARG_ALL] = {0, "all", NULL, false, "Every tool of the tenant"},
	[ARG_FINGERPRINT] = {0, "fingerprint", "FINGERPRINT", false,
		"Only if the tool still is the one with this fingerprint (sha256:...)"},
};

static int find_long(const char *name, size_t len)
{
	for (int i = 0; i < ARG_COUNT; i++)
		if (strlen(arg_rows[i].name) == len && memcmp(arg_rows[i].name, name, len) == 0)
			return i;
	return -1;
}

static int find_letter(char letter)
{
	for (int i = 0; i < ARG_COUNT; i++)
		if (arg_rows[i].letter == letter)
			return i;
	return -1;
}

static void unknown_option(
	const char *word, size_t len, uint64_t allowed, char *why, size_t why_cap)
{
	const char *names[ARG_COUNT];
	const char *near;
	char name[40];
	size_t count = 0;

	for (int i = 0; i < ARG_COUNT; i++)
		if (allowed & ARG_BIT(i))
			names[count++] = arg_rows[i].name;
	snprintf(name, sizeof(name), "%.*s", (int)(len > 32 ? 32 : len), word);
	near = strncmp(name, "--", 2) == 0 ? text_nearest(name + 2, names, count) : NULL;
	if (near)
		snprintf(why, why_cap, "there is no option '%s' here; did you mean '--%s'?", name,
			near);
	else
		snprintf(why, why_cap, "there is no option '%s' here", name);
}

static enum rc take(struct args *out, int option, const char *value, char *why, size_t why_cap)
{
	if (!arg_rows[option].many && out->value[option] && arg_rows[option].value) {
		snprintf(why, why_cap, "--%s is given twice", arg_rows[option].name);
		return RC_INVALID;
	}
	if (arg_rows[option].many) {
		if (out->many_count == ARGS_MANY_MAX) {
			snprintf(why, why_cap, "--%s is given too often", arg_rows[option].name);
			return RC_INVALID;
		}
		out->many[out->many_count].option = (enum arg_option)option;
		out->many[out->many_count++].value = value;
	}
	out->value[option] = value;
	return RC_OK;
}

/* One option at argv[*i]; moves *i on to its value when that is a word of its own. */
static enum rc parse_option(int argc, char *const argv[], int *i, uint64_t allowed,
	struct args *out, char *why, size_t why_cap)
{
	const char *word = argv[*i];
	const char *equals = word[1] == '-' ? strchr(word, '=') : NULL;
	size_t len = equals ? (size_t)(equals - word) : strlen(word);
	const char *value = equals ? equals + 1 : NULL;
	int option = word[1] == '-' ? find_long(word + 2, len - 2)
		: len == 2          ? find_letter(word[1])
				    : -1;

	if (option < 0 || !(allowed & ARG_BIT(option))) {
		unknown_option(word, len, allowed, why, why_cap);
		return RC_INVALID;
	}
	if (!arg_rows[option].value) {
		if (!value)
			return take(out, option, "", why, why_cap);
		snprintf(why, why_cap, "--%s takes no value", arg_rows[option].name);
		return RC_INVALID;
	}
	if (!value && *i + 1 < argc)
		value = argv[++*i];
	if (!value || *value == '\0') {
		snprintf(why, why_cap, "--%s needs a value: %s", arg_rows[option].name,
			arg_rows[option].value);
		return RC_INVALID;
	}
	return take(out, option, value, why, why_cap);
}

enum rc args_parse(
	int argc, char *const argv[], uint64_t allowed, struct args *out, char *why, size_t why_cap)
{
	struct args a = {0};
	bool options_end = false;

	for (int i = 0; i < argc; i++) {
		if (!options_end && strcmp(argv[i], "--") == 0) {
			options_end = true;
		} else if (!options_end && argv[i][0] == '-' && argv[i][1] != '\0') {
			if (parse_option(argc, argv, &i, allowed, &a, why, why_cap) != RC_OK)
				return RC_INVALID;
		} else if (a.operand_count == ARGS_OPERANDS_MAX) {
			snprintf(why, why_cap, "one word too many: '%.40s'", argv[i]);
			return RC_INVALID;
		} else {
			a.operand[a.operand_count++] = argv[i];
		}
	}
	*out = a;
	return RC_OK;
}

bool args_has(const struct args *a, enum arg_option option)
{
	return a->value[option] != NULL;
}

enum rc args_count(const char *text, int64_t max, int64_t *out)
{
	int64_t n = 0;

	if (*text == '\0' || strlen(text) > 18)
		return RC_INVALID;
	for (const char *p = text; *p; p++) {
		if (*p < '0' || *p > '9')
			return RC_INVALID;
		n = n * 10 + (*p - '0');
	}
	if (n > max)
		return RC_INVALID;
	*out = n;
	return RC_OK;
}

enum rc args_duration(const char *text, int64_t *seconds)
{
	const int64_t longest = (int64_t)10 * 365 * 86400;
	static const struct {
		char letter;
		int64_t factor;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
	char digits[20];
	size_t len = strlen(text);
	int64_t factor = 1, n;

	if (len == 0 || len >= sizeof(digits))
		return RC_INVALID;
	memcpy(digits, text, len + 1);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (digits[len - 1] == units[i].letter) {
			factor = units[i].factor;
			digits[len - 1] = '\0';
			break;
		}
	}
	if (args_count(digits, longest / factor, &n) != RC_OK || n == 0)
		return RC_INVALID;
	*seconds = n * factor;
	return RC_OK;
}
