tmp/b-cli/obj/fcgi-app/status.o: fcgi-app/status.c fcgi-app/status.h \
 fcgi-app/http.h shared/apikey.h shared/crypto.h shared/rc.h \
 shared/store.h shared/audit.h shared/buf.h shared/jscan.h shared/db.h \
 shared/clientip.h shared/config.h shared/log.h shared/dispatch.h \
 shared/msg.h shared/problem.h fcgi-app/admin_common.h \
 fcgi-app/admin_live.h shared/clock.h shared/file.h shared/mem.h
fcgi-app/status.h:
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
fcgi-app/admin_common.h:
fcgi-app/admin_live.h:
shared/clock.h:
shared/file.h:
shared/mem.h:
