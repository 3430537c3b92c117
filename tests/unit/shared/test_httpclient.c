#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/httpclient.h"

/* A server for one connection: keeps the request, sends what it was told to. */
static struct {
	int fd;
	int port;
	const char *answer; /* NULL: none, until the client goes away */
	char request[8192];
	pthread_t thread;
} server;

static void *serve(void *arg)
{
	size_t len = 0;
	ssize_t n;
	int fd = accept(server.fd, NULL, NULL);

	(void)arg;
	/* To the end of the headers, and of the "{}" that is the only body of these tests. */
	while ((n = read(fd, server.request + len, sizeof(server.request) - 1 - len)) > 0) {
		const char *end;

		len += (size_t)n;
		server.request[len] = '\0';
		end = strstr(server.request, "\r\n\r\n");
		if (server.answer && end &&
			(!strstr(server.request, "Content-Length: 2\r\n") || end[4]))
			break;
	}
	if (server.answer && send(fd, server.answer, strlen(server.answer), MSG_NOSIGNAL) < 0)
		server.request[0] = '\0';
	close(fd);
	return NULL;
}

static void server_up(const char *answer)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);

	memset(server.request, 0, sizeof(server.request));
	server.answer = answer;
	server.fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(server.fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(server.fd, 1), 0);
	assert_int_equal(getsockname(server.fd, (struct sockaddr *)&address, &len), 0);
	server.port = ntohs(address.sin_port);
	assert_int_equal(pthread_create(&server.thread, NULL, serve, NULL), 0);
}

static void server_down(void)
{
	pthread_join(server.thread, NULL);
	close(server.fd);
}

static enum rc ask(struct httpclient_request *rq, struct httpclient_answer *a, char why[300])
{
	static char url[100];

	snprintf(url, sizeof(url), "http://127.0.0.1:%d/x", server.port);
	rq->url = url;
	if (!rq->timeout_ms)
		rq->timeout_ms = 10000;
	if (!rq->max_answer)
		rq->max_answer = 1000;
	why[0] = '\0';
	return httpclient_do(rq, a, why, 300);
}

static void sends_and_receives(void **state)
{
	static const char *const headers[] = {"Idempotency-Key: k1", NULL};
	struct httpclient_request rq = {.method = "POST",
		.bearer = "t0ken",
		.headers = headers,
		.body = "{}",
		.body_len = 2,
		.content_type = "application/json"};
	struct httpclient_answer a;
	char why[300];

	(void)state;
	server_up(
		"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nX-Request-Id: req_1\r\n"
		"Content-Length: 5\r\n\r\n{\"a\"}");
	assert_int_equal(ask(&rq, &a, why), RC_OK);
	server_down();
	assert_int_equal(a.status, 201);
	assert_string_equal(a.content_type, "application/json");
	assert_string_equal(a.request_id, "req_1");
	assert_int_equal(a.body.len, 5);
	assert_string_equal((const char *)a.body.data, "{\"a\"}");
	assert_memory_equal(server.request, "POST /x HTTP/1.1\r\n", 18);
	assert_non_null(strstr(server.request, "\r\nAuthorization: Bearer t0ken\r\n"));
	assert_non_null(strstr(server.request, "\r\nIdempotency-Key: k1\r\n"));
	assert_non_null(strstr(server.request, "\r\nContent-Type: application/json\r\n"));
	assert_null(strstr(server.request, "Expect:"));
	assert_non_null(strstr(server.request, "\r\n\r\n{}"));
	httpclient_answer_free(&a);
}

static void bodies_may_be_missing(void **state)
{
	struct httpclient_request rq = {.method = "DELETE"};
	struct httpclient_answer a;
	char why[300];

	(void)state;
	server_up("HTTP/1.1 204 No Content\r\n\r\n");
	assert_int_equal(ask(&rq, &a, why), RC_OK);
	server_down();
	assert_int_equal(a.status, 204);
	assert_int_equal(a.body.len, 0);
	assert_string_equal((const char *)a.body.data, "");
	assert_string_equal(a.content_type, "");
	assert_memory_equal(server.request, "DELETE /x HTTP/1.1\r\n", 20);
	httpclient_answer_free(&a);
}

static void redirects_are_not_followed(void **state)
{
	struct httpclient_request rq = {.method = "GET", .bearer = "t0ken"};
	struct httpclient_answer a;
	char why[300];

	(void)state;
	server_up(
		"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(ask(&rq, &a, why), RC_OK);
	server_down();
	assert_int_equal(a.status, 302);
	httpclient_answer_free(&a);
}

static void answers_are_bounded(void **state)
{
	struct httpclient_request rq = {.method = "GET", .max_answer = 5};
	struct httpclient_answer a;
	char why[300];

	(void)state;
	server_up("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345");
	assert_int_equal(ask(&rq, &a, why), RC_OK);
	server_down();
	assert_int_equal(a.body.len, 5);
	httpclient_answer_free(&a);
	server_up("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n123456");
	assert_int_equal(ask(&rq, &a, why), RC_LIMIT);
	server_down();
	assert_string_equal(why, "the answer is longer than 5 bytes");
	server_up("HTTP/1.1 200 OK\r\n\r\n1234567890");
	assert_int_equal(ask(&rq, &a, why), RC_LIMIT);
	server_down();
}

static void silence_times_out(void **state)
{
	struct httpclient_request rq = {.method = "GET", .timeout_ms = 200};
	struct httpclient_answer a;
	char why[300];
	int64_t start = clock_mono_ms();

	(void)state;
	server_up(NULL);
	assert_int_equal(ask(&rq, &a, why), RC_UNAVAILABLE);
	assert_true(clock_mono_ms() - start >= 150);
	server_down();
	assert_non_null(strstr(why, "timed out"));
}

static void a_closed_port_is_explained(void **state)
{
	struct httpclient_request rq = {.method = "GET",
		.url = "http://127.0.0.1:1/",
		.timeout_ms = 5000,
		.max_answer = 10};
	struct httpclient_answer a;
	char why[300] = "";

	(void)state;
	assert_int_equal(httpclient_do(&rq, &a, why, sizeof(why)), RC_UNAVAILABLE);
	assert_non_null(strstr(why, "127.0.0.1"));
}

static void other_protocols_are_refused(void **state)
{
	static const char *const urls[] = {"file:///etc/passwd", "ftp://127.0.0.1/",
		"gopher://127.0.0.1/", "dict://127.0.0.1/"};
	struct httpclient_request rq = {.method = "GET", .timeout_ms = 5000, .max_answer = 10000};
	struct httpclient_answer a;
	char why[300];

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		rq.url = urls[i];
		assert_int_equal(httpclient_do(&rq, &a, why, sizeof(why)), RC_UNAVAILABLE);
		assert_non_null(strstr(why, "rotocol"));
	}
}

static void line_breaks_are_refused(void **state)
{
	static const char *const headers[] = {"A: b\r\nC: d", NULL};
	struct httpclient_request rq = {
		.method = "GET", .url = "http://127.0.0.1:1/", .max_answer = 10};
	struct httpclient_answer a;
	char why[300];

	(void)state;
	rq.bearer = "a\r\nX: y";
	assert_int_equal(httpclient_do(&rq, &a, why, sizeof(why)), RC_INVALID);
	assert_null(strstr(why, "X: y"));
	rq.bearer = NULL;
	rq.headers = headers;
	assert_int_equal(httpclient_do(&rq, &a, why, sizeof(why)), RC_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sends_and_receives),
		cmocka_unit_test(bodies_may_be_missing),
		cmocka_unit_test(redirects_are_not_followed),
		cmocka_unit_test(answers_are_bounded),
		cmocka_unit_test(silence_times_out),
		cmocka_unit_test(a_closed_port_is_explained),
		cmocka_unit_test(other_protocols_are_refused),
		cmocka_unit_test(line_breaks_are_refused),
	};
	/* The tests talk to this machine only. */
	unsetenv("http_proxy");
	unsetenv("all_proxy");
	unsetenv("ALL_PROXY");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
