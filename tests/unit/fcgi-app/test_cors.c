#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi-app/cors.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void origins(void **state)
{
	static const struct {
		const char *public_url, *origin;
		bool ok;
	} cases[] = {
		/* on the list */
		{"https://cp.example.com", "https://console.example.com", true},
		{"https://cp.example.com", "http://localhost:3000", true},
		{"https://cp.example.com", "https://console.example.com:8443", false},
		{"https://cp.example.com", "http://console.example.com", false},
		{"https://cp.example.com", "https://console.example.com.evil.example", false},
		{"https://cp.example.com", "https://console.example.com/", false},
		{"https://cp.example.com", "https://console.example.com/x", false},
		{"https://cp.example.com", "https://x@console.example.com", false},
		{"https://cp.example.com", "HTTPS://CONSOLE.example.com", true},
		/* the public URL's own */
		{"https://cp.example.com", "https://cp.example.com", true},
		{"https://cp.example.com/base", "https://cp.example.com", true},
		{"https://cp.example.com:443", "https://cp.example.com", true},
		{"http://localhost:80", "http://localhost", true},
		{"http://localhost:8080", "http://localhost:8080", true},
		{"http://localhost:8080", "http://localhost", false},
		{"http://localhost:8080", "http://localhost:80", false},
		{"https://cp.example.com", "http://cp.example.com", false},
		/* never */
		{"https://cp.example.com", "null", false},
		{"https://cp.example.com", "", false},
		{"https://cp.example.com", "file://", false},
		{"https://cp.example.com", "*", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char listed[] = "https://console.example.com";
		char local[] = "http://localhost:3000";
		char url[100];
		struct config c = {
			.origins = {listed, local}, .origin_count = 2, .public_url = url};

		(void)snprintf(url, sizeof(url), "%s", cases[i].public_url);
		if (cors_origin_ok(&c, cases[i].origin) != cases[i].ok)
			fail_msg("%s at %s", cases[i].origin, cases[i].public_url);
	}
}

static void empty_list(void **state)
{
	char url[] = "https://cp.example.com";
	struct config c = {.public_url = url};

	(void)state;
	assert_true(cors_origin_ok(&c, "https://cp.example.com"));
	assert_false(cors_origin_ok(&c, "https://console.example.com"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(origins),
		cmocka_unit_test(empty_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
