tmp/b-cli/obj/cli/call.o: cli/call.c cli/api.h cli/args.h shared/rc.h \
 cli/commands.h shared/buf.h cli/print.h shared/httpclient.h cli/mcp.h \
 shared/manifest.h shared/jscan.h shared/mem.h
cli/api.h:
cli/args.h:
shared/rc.h:
cli/commands.h:
shared/buf.h:
cli/print.h:
shared/httpclient.h:
cli/mcp.h:
shared/manifest.h:
shared/jscan.h:
shared/mem.h:
