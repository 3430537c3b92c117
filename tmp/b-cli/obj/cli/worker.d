tmp/b-cli/obj/cli/worker.o: cli/worker.c cli/items.h cli/api.h cli/args.h \
 shared/rc.h cli/commands.h shared/buf.h cli/print.h shared/httpclient.h
cli/items.h:
cli/api.h:
cli/args.h:
shared/rc.h:
cli/commands.h:
shared/buf.h:
cli/print.h:
shared/httpclient.h:
