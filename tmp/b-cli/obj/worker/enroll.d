tmp/b-cli/obj/worker/enroll.o: worker/enroll.c worker/enroll.h \
 shared/buf.h shared/rc.h shared/crypto.h worker/identity.h \
 worker/endpoint.h shared/httpclient.h shared/jscan.h shared/log.h \
 shared/mem.h shared/text.h worker/secretenv.h worker/wconfig.h
worker/enroll.h:
shared/buf.h:
shared/rc.h:
shared/crypto.h:
worker/identity.h:
worker/endpoint.h:
shared/httpclient.h:
shared/jscan.h:
shared/log.h:
shared/mem.h:
shared/text.h:
worker/secretenv.h:
worker/wconfig.h:
