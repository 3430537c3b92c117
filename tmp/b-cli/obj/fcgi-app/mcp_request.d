tmp/b-cli/obj/fcgi-app/mcp_request.o: fcgi-app/mcp_request.c \
 fcgi-app/mcp_request.h shared/audit.h shared/buf.h shared/rc.h \
 shared/jscan.h shared/manifest.h shared/problem.h shared/mem.h \
 shared/text.h
fcgi-app/mcp_request.h:
shared/audit.h:
shared/buf.h:
shared/rc.h:
shared/jscan.h:
shared/manifest.h:
shared/problem.h:
shared/mem.h:
shared/text.h:
