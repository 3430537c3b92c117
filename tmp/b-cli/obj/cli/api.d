tmp/b-cli/obj/cli/api.o: cli/api.c cli/api.h cli/args.h shared/rc.h \
 cli/commands.h shared/buf.h cli/print.h shared/httpclient.h \
 shared/file.h shared/mem.h shared/text.h
cli/api.h:
cli/args.h:
shared/rc.h:
cli/commands.h:
shared/buf.h:
cli/print.h:
shared/httpclient.h:
shared/file.h:
shared/mem.h:
shared/text.h:
