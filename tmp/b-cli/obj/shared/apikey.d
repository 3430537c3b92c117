tmp/b-cli/obj/shared/apikey.o: shared/apikey.c shared/apikey.h \
 shared/crypto.h shared/rc.h shared/store.h shared/audit.h shared/buf.h \
 shared/jscan.h shared/db.h shared/dbmark.h shared/log.h shared/mem.h \
 shared/text.h
shared/apikey.h:
shared/crypto.h:
shared/rc.h:
shared/store.h:
shared/audit.h:
shared/buf.h:
shared/jscan.h:
shared/db.h:
shared/dbmark.h:
shared/log.h:
shared/mem.h:
shared/text.h:
