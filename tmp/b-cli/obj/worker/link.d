tmp/b-cli/obj/worker/link.o: worker/link.c worker/link.h shared/buf.h \
 shared/rc.h shared/crypto.h shared/handshake.h shared/msg.h \
 shared/jscan.h worker/identity.h worker/endpoint.h shared/mem.h
worker/link.h:
shared/buf.h:
shared/rc.h:
shared/crypto.h:
shared/handshake.h:
shared/msg.h:
shared/jscan.h:
worker/identity.h:
worker/endpoint.h:
shared/mem.h:
