#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/clientip.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void inside(void **state)
{
	static const struct {
		const char *address, *cidr;
		bool yes;
	} cases[] = {
		{"10.1.2.3", "10.0.0.0/8", true},
		{"11.1.2.3", "10.0.0.0/8", false},
		{"10.1.2.3", "10.1.2.3", true},
		{"10.1.2.3", "10.1.2.2/31", true},
		{"10.1.2.4", "10.1.2.2/31", false},
		{"10.1.2.3", "0.0.0.0/0", true},
		{"::1", "0.0.0.0/0", false},
		{"::1", "::1/128", true},
		{"::1", "::1", true},
		{"2001:db8:1::5", "2001:db8::/32", true},
		{"2001:db9::5", "2001:db8::/32", false},
		{"::ffff:10.1.2.3", "10.0.0.0/8", true}, /* one address, two spellings */
		{"10.1.2.3", "::ffff:10.0.0.0/104", true},
		{"10.1.2.3", "::/0", true},
		{"nonsense", "10.0.0.0/8", false},
		{"10.1.2.3", "nonsense", false},
		{"", "", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_int_equal(clientip_in(cases[i].address, cases[i].cidr), cases[i].yes);
}

static void cidrs(void **state)
{
	static const char *const bad[] = {"", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1",
		"10.0.0.0/8x", "10.0.0.0/ 8", "10.0.0/8", "::1/129", "::1/1280", "fe80::1%eth0",
		"10.0.0.0/8/8", "localhost", "0000:0000:0000:0000:0000:0000:0000:0000:0000/8"};

	(void)state;
	assert_true(clientip_cidr_ok("10.0.0.0/8"));
	assert_true(clientip_cidr_ok("10.0.0.1"));
	assert_true(clientip_cidr_ok("2001:db8::/32"));
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(clientip_cidr_ok(bad[i]));
}

static void resolves(void **state)
{
	static char *const trusted[] = {"127.0.0.0/8", "10.0.0.0/8", "::1/128"};
	static const struct {
		const char *peer, *forwarded_for, *client;
	} cases[] = {
		/* An untrusted peer's header is nothing but a claim. */
		{"203.0.113.9", "1.1.1.1", "203.0.113.9"},
		{"203.0.113.9", NULL, "203.0.113.9"},
		{"127.0.0.1", NULL, "127.0.0.1"},
		{"127.0.0.1", "203.0.113.9", "203.0.113.9"},
		/* The client wrote 1.1.1.1 itself; our front added the rest. */
		{"127.0.0.1", "1.1.1.1, 203.0.113.9", "203.0.113.9"},
		{"127.0.0.1", "1.1.1.1, 203.0.113.9 , 10.0.0.7", "203.0.113.9"},
		{"127.0.0.1", "1.1.1.1,\t203.0.113.9,10.0.0.7,10.0.0.8", "203.0.113.9"},
		/* All are ours: the farthest one. */
		{"127.0.0.1", "10.0.0.5, 10.0.0.7", "10.0.0.5"},
		/* Nonsense ends the search at the last that is known. */
		{"127.0.0.1", "1.1.1.1, nonsense, 10.0.0.7", "10.0.0.7"},
		{"127.0.0.1", "nonsense", "127.0.0.1"},
		{"127.0.0.1", "", "127.0.0.1"},
		{"127.0.0.1", ",", "127.0.0.1"},
		{"127.0.0.1", "1.1.1.1,", "127.0.0.1"},
		{"", NULL, ""},
		{"", "203.0.113.9", "203.0.113.9"},
		{"unix:", "203.0.113.9", "203.0.113.9"},
		{"unix:/run/x.sock", "203.0.113.9, 10.0.0.1", "203.0.113.9"},
		{"unix:", "nonsense", ""},
		{"nonsense", "203.0.113.9", ""},
		/* Spellings. */
		{"::1", "2001:DB8:0::1", "2001:db8::1"},
		{"::ffff:127.0.0.1", "203.0.113.9", "203.0.113.9"},
		{"::1", "::ffff:203.0.113.9", "203.0.113.9"},
		{"::1", "203.0.113.9:4711", "203.0.113.9"},
		{"::1", "[2001:db8::1]:4711", "2001:db8::1"},
		{"::1", "[2001:db8::1]", "2001:db8::1"},
		{"::1", "[2001:db8::1]x", "::1"},
		{"::1", "[2001:db8::1", "::1"},
		{"::1", "fe80::1%eth0", "::1"},
		{"::1", "9999999999999999999999999999999999999999999999999999999999999999", "::1"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char out[CLIENTIP_MAX];

		clientip_resolve(
			cases[i].peer, cases[i].forwarded_for, trusted, COUNT(trusted), out);
		assert_string_equal(out, cases[i].client);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inside),
		cmocka_unit_test(cidrs),
		cmocka_unit_test(resolves),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
