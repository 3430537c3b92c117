tmp/b-cli/obj/fcgi-app/mcp.o: fcgi-app/mcp.c fcgi-app/mcp.h \
 fcgi-app/http.h shared/apikey.h shared/crypto.h shared/rc.h \
 shared/store.h shared/audit.h shared/buf.h shared/jscan.h shared/db.h \
 shared/clientip.h shared/config.h shared/log.h shared/dispatch.h \
 shared/msg.h shared/problem.h fcgi-app/cors.h fcgi-app/mcp_front.h \
 fcgi-app/mcp_local.h fcgi-app/mcp_request.h shared/manifest.h \
 fcgi-app/mcp_manifest.h fcgi-app/mcp_relay.h shared/clock.h shared/mem.h \
 shared/text.h
fcgi-app/mcp.h:
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
fcgi-app/cors.h:
fcgi-app/mcp_front.h:
fcgi-app/mcp_local.h:
fcgi-app/mcp_request.h:
shared/manifest.h:
fcgi-app/mcp_manifest.h:
fcgi-app/mcp_relay.h:
shared/clock.h:
shared/mem.h:
shared/text.h:
