tmp/b-cli/obj/shared/session.o: shared/session.c shared/session.h \
 shared/rc.h shared/store.h shared/audit.h shared/buf.h shared/jscan.h \
 shared/crypto.h shared/db.h shared/mem.h shared/text.h
shared/session.h:
shared/rc.h:
shared/store.h:
shared/audit.h:
shared/buf.h:
shared/jscan.h:
shared/crypto.h:
shared/db.h:
shared/mem.h:
shared/text.h:
