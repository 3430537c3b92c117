tmp/b-cli/obj/worker/dialer.o: worker/dialer.c worker/dialer.h \
 shared/buf.h shared/rc.h worker/link.h shared/crypto.h \
 shared/handshake.h shared/msg.h shared/jscan.h worker/identity.h \
 worker/endpoint.h shared/clock.h shared/log.h shared/mem.h \
 worker/backoff.h worker/lws_client.h worker/resolver.h
worker/dialer.h:
shared/buf.h:
shared/rc.h:
worker/link.h:
shared/crypto.h:
shared/handshake.h:
shared/msg.h:
shared/jscan.h:
worker/identity.h:
worker/endpoint.h:
shared/clock.h:
shared/log.h:
shared/mem.h:
worker/backoff.h:
worker/lws_client.h:
worker/resolver.h:
