tmp/b-cli/obj/worker/announce.o: worker/announce.c worker/announce.h \
 worker/link.h shared/buf.h shared/rc.h shared/crypto.h \
 shared/handshake.h shared/msg.h shared/jscan.h worker/identity.h \
 worker/endpoint.h shared/log.h shared/mem.h shared/sidecar.h
worker/announce.h:
worker/link.h:
shared/buf.h:
shared/rc.h:
shared/crypto.h:
shared/handshake.h:
shared/msg.h:
shared/jscan.h:
worker/identity.h:
worker/endpoint.h:
shared/log.h:
shared/mem.h:
shared/sidecar.h:
