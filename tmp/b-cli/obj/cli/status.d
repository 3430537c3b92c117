tmp/b-cli/obj/cli/status.o: cli/status.c cli/api.h cli/args.h shared/rc.h \
 cli/commands.h shared/buf.h cli/print.h shared/httpclient.h
cli/api.h:
cli/args.h:
shared/rc.h:
cli/commands.h:
shared/buf.h:
cli/print.h:
shared/httpclient.h:
