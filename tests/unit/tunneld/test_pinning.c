/* Pins at work: what the daemon makes of them when a worker comes, when an operator changes them,
 * and when a call asks for a tool. */
#include "tests/unit/tunneld/fixture.h"

#include "tunneld/lineup.h"
#include "tunneld/pinning.h"

#define LIST(title)                                                                                \
	"{\"serverInfo\":{\"name\":\"t\",\"version\":\"1\"},\"tools\":[{\"name\":\"execute_sql\"," \
	"\"title\":\"" title "\",\"inputSchema\":{}},{\"name\":\"other\",\"inputSchema\":{}}]}"
#define DEFINITION(title) "{\"inputSchema\":{},\"name\":\"execute_sql\",\"title\":\"" title "\"}"

struct ticket {
	struct flush_ticket ticket;
	bool answered;
};

static void on_flushed(struct flush_ticket *t, bool ok)
{
	assert_true(ok);
	((struct ticket *)(void *)t)->answered = true;
}

static bool answered(void *ctx)
{
	return ((struct ticket *)ctx)->answered;
}

/* Until the daemon knows of every change made before. */
static void flush(struct fixture *f)
{
	struct ticket t = {.ticket = {.done = on_flushed}};

	state_writer_flush(f->hub.state, &t.ticket);
	fixture_wait(f, answered, &t);
}

static void pin(struct fixture *f, const char *definition)
{
	struct audit_record who = fixture_who();
	struct db *db;
	bool changed;

	assert_int_equal(db_open(f->state_path, &db), RC_OK);
	assert_int_equal(tool_pin_put(db, "t_acme", "execute_sql", definition, strlen(definition),
				 &who, &changed),
		RC_OK);
	db_close(db);
	flush(f);
}

static void unpin(struct fixture *f)
{
	struct audit_record who = fixture_who();
	struct db *db;

	assert_int_equal(db_open(f->state_path, &db), RC_OK);
	assert_int_equal(tool_pin_remove(db, "t_acme", "execute_sql", &who), RC_OK);
	db_close(db);
	flush(f);
}

static void up(struct fixture *f, struct fake_worker *w, const char *manifest)
{
	struct crypto_identity id;
	struct worker row;

	enroll(f, "t_acme", &id, &row);
	fake_connect(f, w);
	w->identity = id;
	fake_hello(f, w, &id, row.id, "t_acme", manifest);
	fake_accepted(w);
}

static enum registry_pick pick(struct fixture *f, const char *tool)
{
	struct session *s;

	return registry_pick(registry_tenant(&f->hub.registry, "t_acme"), tool, "", 3, &s);
}

struct seen {
	struct fixture *f;
	int count;
};

static bool noticed(void *ctx)
{
	const struct seen *s = ctx;

	return fixture_count(s->f, "\"event\":\"tool.changed\"") >= s->count;
}

static void enforced_pins_hold_from_the_first_call_on(void **state)
{
	struct fixture *f = *state;
	struct fake_worker w;

	f->hub.config = &f->config;
	f->config.tool_pinning = CONFIG_PINNING_ENFORCE;
	pin(f, DEFINITION("1"));
	up(f, &w, LIST("2"));
	assert_int_equal(pick(f, "execute_sql"), REGISTRY_CHANGED);
	assert_int_equal(pick(f, "other"), REGISTRY_PICKED);
	/* And change with the operator's mind, and with the worker's. */
	pin(f, DEFINITION("2"));
	assert_int_equal(pick(f, "execute_sql"), REGISTRY_PICKED);
	fake_say(&w, "{\"t\":\"MANIFEST\"}", LIST("3"));
	assert_int_equal(pick(f, "execute_sql"), REGISTRY_CHANGED);
	fake_say(&w, "{\"t\":\"MANIFEST\"}", LIST("2"));
	assert_int_equal(pick(f, "execute_sql"), REGISTRY_PICKED);
	fake_say(&w, "{\"t\":\"MANIFEST\"}", LIST("3"));
	unpin(f);
	assert_int_equal(pick(f, "execute_sql"), REGISTRY_PICKED);
	fake_disconnect(&w);
}

static void pins_that_are_not_enforced_stop_nothing(void **state)
{
	static const enum config_pinning modes[] = {CONFIG_PINNING_OFF, CONFIG_PINNING_WARN};
	struct fixture *f = *state;
	struct fake_worker w;

	for (size_t i = 0; i < 2; i++) {
		f->config.tool_pinning = modes[i];
		pin(f, i ? DEFINITION("0") : DEFINITION("1"));
		up(f, &w, LIST("2"));
		assert_int_equal(pick(f, "execute_sql"), REGISTRY_PICKED);
		fake_disconnect(&w);
	}
}

static void what_agents_are_listed_has_another_hash_when_a_pin_bars_it(void **state)
{
	uint8_t free_hash[CRYPTO_HASH_LEN], barred[CRYPTO_HASH_LEN], again[CRYPTO_HASH_LEN];
	struct fixture *f = *state;
	struct registry_tenant *t;
	struct fake_worker w;

	f->config.tool_pinning = CONFIG_PINNING_ENFORCE;
	up(f, &w, LIST("2"));
	t = registry_tenant(&f->hub.registry, "t_acme");
	pinning_tools_hash(t, free_hash);
	assert_memory_equal(free_hash, t->latest->manifest->tools_hash, CRYPTO_HASH_LEN);
	pin(f, DEFINITION("1"));
	pinning_tools_hash(t, barred);
	assert_memory_not_equal(free_hash, barred, CRYPTO_HASH_LEN);
	pin(f, DEFINITION("2"));
	pinning_tools_hash(t, again);
	assert_memory_equal(free_hash, again, CRYPTO_HASH_LEN);
	fake_disconnect(&w);
}

static void a_change_is_written_down_once_and_not_with_off(void **state)
{
	struct fixture *f = *state;
	struct seen once = {f, 1}, twice = {f, 2};
	struct fake_worker w;

	pin(f, DEFINITION("1"));
	up(f, &w, LIST("2"));
	fixture_wait(f, noticed, &once);
	fake_disconnect(&w);
	up(f, &w, LIST("2"));
	fake_say(&w, "{\"t\":\"MANIFEST\"}", LIST("1"));
	fake_say(&w, "{\"t\":\"MANIFEST\"}", LIST("2"));
	fake_say(&w, "{\"t\":\"MANIFEST\"}", LIST("3"));
	fixture_wait(f, noticed, &twice);
	flush(f);
	assert_int_equal(fixture_count(f, "\"event\":\"tool.changed\""), 2);
	fake_disconnect(&w);
	/* Jobs are done in order: the flush behind the one of the closed session comes after it. */
	fixture_close(f);
	f->config.tool_pinning = CONFIG_PINNING_OFF;
	fixture_open(f);
	up(f, &w, LIST("4"));
	fake_disconnect(&w);
	fixture_close(f);
	assert_int_equal(fixture_count(f, "\"event\":\"tool.changed\""), 2);
}

static void sessions_say_how_their_tools_differ_from_the_newest(void **state)
{
	struct fixture *f = *state;
	struct fake_worker a, b;
	struct buf out;

	up(f, &a, LIST("1"));
	up(f, &b, MANIFEST);
	buf_init(&out, 4096);
	lineup_put(&out, &b.tunnel->session);
	buf_char(&out, '\0');
	assert_string_equal((const char *)out.data, ",\"newest\":true,\"tools\":2");
	buf_reset(&out);
	lineup_put(&out, &a.tunnel->session);
	buf_char(&out, '\0');
	assert_string_equal((const char *)out.data,
		",\"newest\":false,\"tools\":2,\"differs\":{\"extra_count\":1,\"extra\":[\"other\"]"
		","
		"\"missing_count\":1,\"missing\":[\"get_schema\"],\"changed_count\":1,"
		"\"changed\":[\"execute_sql\"]}");
	buf_free(&out);
	fake_disconnect(&b);
	fake_disconnect(&a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

static int warned_setup(void **state)
{
	struct fixture *f;

	if (fixture_setup(state) != 0)
		return -1;
	f = *state;
	fixture_close(f);
	f->config.tool_pinning = CONFIG_PINNING_WARN;
	fixture_open(f);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(enforced_pins_hold_from_the_first_call_on),
		TEST(pins_that_are_not_enforced_stop_nothing),
		TEST(what_agents_are_listed_has_another_hash_when_a_pin_bars_it),
		cmocka_unit_test_setup_teardown(a_change_is_written_down_once_and_not_with_off,
			warned_setup, fixture_teardown),
		TEST(sessions_say_how_their_tools_differ_from_the_newest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
