tmp/b-cli/obj/shared/handshake.o: shared/handshake.c shared/handshake.h \
 shared/buf.h shared/rc.h shared/crypto.h shared/msg.h shared/jscan.h \
 shared/mem.h shared/text.h
shared/handshake.h:
shared/buf.h:
shared/rc.h:
shared/crypto.h:
shared/msg.h:
shared/jscan.h:
shared/mem.h:
shared/text.h:
