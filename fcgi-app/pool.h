/* pool: the FastCGI pool. The parent opens the socket, forks the processes, makes new ones for
 * those that die, and stops them all; each process (pool_process.c) is a set of threads that answer
 * one request at a time. */
#ifndef FCGI_APP_POOL_H
#define FCGI_APP_POOL_H

#include "fcgi-app/http.h"

/* The parent: returns the exit status once every process is gone. SIGTERM and SIGINT stop it,
 * SIGHUP re-reads log level and origins everywhere. app->db and app->keys are made by each process
 * for itself: neither survives a fork. */
int pool_run(struct app *app);

/* One process, after the fork: returns its exit status when it was told to stop. Requests in hand
 * are finished, for at most tunnel.drain_timeout_ms. */
int pool_process(struct app *app, int listen_fd);

#endif
