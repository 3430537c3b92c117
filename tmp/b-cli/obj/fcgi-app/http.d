tmp/b-cli/obj/fcgi-app/http.o: fcgi-app/http.c fcgi-app/http.h \
 shared/apikey.h shared/crypto.h shared/rc.h shared/store.h \
 shared/audit.h shared/buf.h shared/jscan.h shared/db.h shared/clientip.h \
 shared/config.h shared/log.h shared/dispatch.h shared/msg.h \
 shared/problem.h fcgi-app/http_parse.h shared/clock.h shared/mem.h
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
fcgi-app/http_parse.h:
shared/clock.h:
shared/mem.h:
