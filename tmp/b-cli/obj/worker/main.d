tmp/b-cli/obj/worker/main.o: worker/main.c shared/crypto.h shared/rc.h \
 shared/log.h worker/enroll.h shared/buf.h worker/identity.h \
 worker/endpoint.h worker/run.h
shared/crypto.h:
shared/rc.h:
shared/log.h:
worker/enroll.h:
shared/buf.h:
worker/identity.h:
worker/endpoint.h:
worker/run.h:
