tmp/b-cli/obj/fcgi-app/mcp_front.o: fcgi-app/mcp_front.c \
 fcgi-app/mcp_front.h shared/mem.h shared/text.h shared/rc.h
fcgi-app/mcp_front.h:
shared/mem.h:
shared/text.h:
shared/rc.h:
