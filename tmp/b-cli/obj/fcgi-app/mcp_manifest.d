tmp/b-cli/obj/fcgi-app/mcp_manifest.o: fcgi-app/mcp_manifest.c \
 fcgi-app/mcp_manifest.h fcgi-app/http.h shared/apikey.h shared/crypto.h \
 shared/rc.h shared/store.h shared/audit.h shared/buf.h shared/jscan.h \
 shared/db.h shared/clientip.h shared/config.h shared/log.h \
 shared/dispatch.h shared/msg.h shared/problem.h shared/manifest.h \
 shared/clock.h shared/mem.h shared/text.h
fcgi-app/mcp_manifest.h:
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
shared/manifest.h:
shared/clock.h:
shared/mem.h:
shared/text.h:
