tmp/b-cli/obj/fcgi-app/health.o: fcgi-app/health.c fcgi-app/health.h \
 fcgi-app/http.h shared/apikey.h shared/crypto.h shared/rc.h \
 shared/store.h shared/audit.h shared/buf.h shared/jscan.h shared/db.h \
 shared/clientip.h shared/config.h shared/log.h shared/dispatch.h \
 shared/msg.h shared/problem.h
fcgi-app/health.h:
fcgi-app/http.h:
shared/apikey.h:
shared/crypto.h:
shared/rc.h:
shared/store.h:
shared/audit.h:
shared/buf.h:
shared/jscan.h:
shared/db.h:
shared/clientip.h:
shared/config.h:
shared/log.h:
shared/dispatch.h:
shared/msg.h:
shared/problem.h:
