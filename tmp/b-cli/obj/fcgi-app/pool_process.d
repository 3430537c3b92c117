tmp/b-cli/obj/fcgi-app/pool_process.o: fcgi-app/pool_process.c \
 fcgi-app/pool.h fcgi-app/http.h shared/apikey.h shared/crypto.h \
 shared/rc.h shared/store.h shared/audit.h shared/buf.h shared/jscan.h \
 shared/db.h shared/clientip.h shared/config.h shared/log.h \
 shared/dispatch.h shared/msg.h shared/problem.h fcgi-app/routes.h \
 shared/clock.h shared/mem.h
fcgi-app/pool.h:
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
fcgi-app/routes.h:
shared/clock.h:
shared/mem.h:
