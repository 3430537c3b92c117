tmp/b-cli/obj/shared/audit.o: shared/audit.c shared/audit.h shared/buf.h \
 shared/rc.h shared/jscan.h shared/clock.h shared/mem.h
shared/audit.h:
shared/buf.h:
shared/rc.h:
shared/jscan.h:
shared/clock.h:
shared/mem.h:
