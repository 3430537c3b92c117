tmp/b-cli/obj/tunneld/audit_writer.o: tunneld/audit_writer.c \
 tunneld/audit_writer.h shared/audit.h shared/buf.h shared/rc.h \
 shared/jscan.h shared/config.h shared/log.h shared/clock.h shared/mem.h \
 tunneld/journal.h
tunneld/audit_writer.h:
shared/audit.h:
shared/buf.h:
shared/rc.h:
shared/jscan.h:
shared/config.h:
shared/log.h:
shared/clock.h:
shared/mem.h:
tunneld/journal.h:
