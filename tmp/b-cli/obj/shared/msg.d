tmp/b-cli/obj/shared/msg.o: shared/msg.c shared/msg.h shared/buf.h \
 shared/rc.h shared/crypto.h shared/jscan.h shared/mem.h shared/text.h
shared/msg.h:
shared/buf.h:
shared/rc.h:
shared/crypto.h:
shared/jscan.h:
shared/mem.h:
shared/text.h:
