tmp/b-cli/obj/fcgi-app/mcp_local.o: fcgi-app/mcp_local.c \
 fcgi-app/mcp_local.h fcgi-app/mcp_request.h shared/audit.h shared/buf.h \
 shared/rc.h shared/jscan.h shared/manifest.h shared/problem.h
fcgi-app/mcp_local.h:
fcgi-app/mcp_request.h:
shared/audit.h:
shared/buf.h:
shared/rc.h:
shared/jscan.h:
shared/manifest.h:
shared/problem.h:
