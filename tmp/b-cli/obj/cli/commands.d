tmp/b-cli/obj/cli/commands.o: cli/commands.c cli/commands.h cli/args.h \
 shared/rc.h shared/buf.h shared/text.h
cli/commands.h:
cli/args.h:
shared/rc.h:
shared/buf.h:
shared/text.h:
