/* The ceiling of the relay benchmark: the least a FastCGI program can do, through the same library
 * and the same front, in its best arrangement (threads, kept-alive connections). usage: hello
 * SOCKET THREADS The answer is a JSON string of 120 bytes, or of as many as the query "bytes=N"
 * asks for. */
#include <fcgiapp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BODY_DEFAULT 120
#define BODY_MAX (16 * 1024 * 1024)

static int listen_fd;
static char *body; /* BODY_MAX bytes; an answer is the first so many and a quote */

static int body_bytes(const FCGX_Request *rq)
{
	const char *query = FCGX_GetParam("QUERY_STRING", rq->envp);
	long n = query && strncmp(query, "bytes=", 6) == 0 ? strtol(query + 6, NULL, 10)
							   : BODY_DEFAULT;

	return n >= 2 && n <= BODY_MAX ? (int)n : BODY_DEFAULT;
}

static void *serve(void *arg)
{
	FCGX_Request rq;
	char sink[4096];

	(void)arg;
	if (FCGX_InitRequest(&rq, listen_fd, 0) != 0)
		return NULL;
	while (FCGX_Accept_r(&rq) == 0) {
		int n = body_bytes(&rq);

		while (FCGX_GetStr(sink, sizeof sink, rq.in) > 0)
			;
		(void)FCGX_FPrintF(rq.out,
			"Status: 200\r\nContent-Type: application/json\r\nContent-Length: "
			"%d\r\n\r\n",
			n);
		(void)FCGX_PutStr(body, n - 1, rq.out);
		(void)FCGX_PutChar('"', rq.out);
		FCGX_Finish_r(&rq);
	}
	return NULL;
}

static int listen_on(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (fd < 0 || strlen(path) >= sizeof address.sun_path)
		return -1;
	(void)strcpy(address.sun_path, path);
	(void)unlink(path);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || chmod(path, 0666) != 0 ||
		listen(fd, 1024) != 0)
		return -1;
	return fd;
}

int main(int argc, char **argv)
{
	int threads = argc == 3 ? atoi(argv[2]) : 0;

	if (threads < 1) {
		(void)fprintf(stderr, "usage: hello SOCKET THREADS\n");
		return 2;
	}
	body = malloc(BODY_MAX);
	listen_fd = listen_on(argv[1]);
	if (!body || listen_fd < 0) {
		perror(argv[1]);
		return 1;
	}
	memset(body, 'x', BODY_MAX);
	body[0] = '"';
	FCGX_Init();
	(void)signal(SIGTERM, SIG_DFL);
	for (int i = 1; i < threads; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, serve, NULL) != 0)
			return 1;
	}
	serve(NULL);
	return 0;
}
