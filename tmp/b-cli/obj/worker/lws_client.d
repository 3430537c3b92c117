tmp/b-cli/obj/worker/lws_client.o: worker/lws_client.c \
 worker/lws_client.h shared/buf.h shared/rc.h worker/endpoint.h \
 shared/log.h shared/mem.h shared/msg.h shared/crypto.h shared/jscan.h
worker/lws_client.h:
shared/buf.h:
shared/rc.h:
worker/endpoint.h:
shared/log.h:
shared/mem.h:
shared/msg.h:
shared/crypto.h:
shared/jscan.h:
