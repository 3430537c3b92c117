/* enroll: POST /v1/enroll: a one-time token and a public key make a worker. */
#ifndef FCGI_APP_ENROLL_H
#define FCGI_APP_ENROLL_H

#include "fcgi-app/http.h"

void enroll_post(struct request *rq);

#endif
