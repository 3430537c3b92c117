tmp/b-cli/obj/tunneld/journal.o: tunneld/journal.c tunneld/journal.h \
 shared/audit.h shared/buf.h shared/rc.h shared/jscan.h shared/clock.h \
 shared/crypto.h shared/file.h shared/log.h shared/mem.h shared/text.h
tunneld/journal.h:
shared/audit.h:
shared/buf.h:
shared/rc.h:
shared/jscan.h:
shared/clock.h:
shared/crypto.h:
shared/file.h:
shared/log.h:
shared/mem.h:
shared/text.h:
