tmp/b-cli/obj/cli/mcp.o: cli/mcp.c cli/mcp.h cli/args.h shared/rc.h \
 shared/buf.h cli/print.h
cli/mcp.h:
cli/args.h:
shared/rc.h:
shared/buf.h:
cli/print.h:
