tmp/b-cli/obj/shared/dispatch.o: shared/dispatch.c shared/dispatch.h \
 shared/buf.h shared/rc.h shared/msg.h shared/crypto.h shared/jscan.h \
 shared/audit.h shared/clock.h shared/log.h shared/mem.h
shared/dispatch.h:
shared/buf.h:
shared/rc.h:
shared/msg.h:
shared/crypto.h:
shared/jscan.h:
shared/audit.h:
shared/clock.h:
shared/log.h:
shared/mem.h:
