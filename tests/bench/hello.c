/* The ceiling of the relay benchmark: the least a FastCGI program can do, through the same library and the same front, in
 * its best arrangement (threads, kept-alive connections). usage: hello SOCKET THREADS [BODY_BYTES] */
#include <fcgiapp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int listen_fd;
static char *body;
static int body_len;

static void *serve(void *arg)
{
	FCGX_Request rq;
	char sink[4096];

	(void)arg;
	if (FCGX_InitRequest(&rq, listen_fd, 0) != 0)
		return NULL;
	while (FCGX_Accept_r(&rq) == 0) {
		while (FCGX_GetStr(sink, sizeof sink, rq.in) > 0)
			;
		FCGX_FPrintF(rq.out, "Status: 200\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", body_len);
		FCGX_PutStr(body, body_len, rq.out);
		FCGX_Finish_r(&rq);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int threads = argc > 2 ? atoi(argv[2]) : 0;

	if (threads < 1 || strlen(argv[1]) >= sizeof address.sun_path)
		return 2;
	body_len = argc > 3 ? atoi(argv[3]) : 120;
	body = malloc((size_t)body_len + 1);
	if (!body)
		return 1;
	memset(body, 'x', (size_t)body_len);
	body[0] = '"';
	body[body_len - 1] = '"';
	strcpy(address.sun_path, argv[1]);
	unlink(argv[1]);
	listen_fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (listen_fd < 0 || bind(listen_fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(listen_fd, 1024) != 0) {
		perror(argv[1]);
		return 1;
	}
	chmod(argv[1], 0666);
	FCGX_Init();
	for (int i = 1; i < threads; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, serve, NULL) != 0)
			return 1;
	}
	serve(NULL);
	return 0;
}
