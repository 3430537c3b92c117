tmp/b-cli/obj/worker/mcp_server.o: worker/mcp_server.c \
 worker/mcp_server.h shared/buf.h shared/rc.h shared/jscan.h \
 worker/tools.h worker/wconfig.h
worker/mcp_server.h:
shared/buf.h:
shared/rc.h:
shared/jscan.h:
worker/tools.h:
worker/wconfig.h:
