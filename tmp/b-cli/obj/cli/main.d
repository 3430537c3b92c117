tmp/b-cli/obj/cli/main.o: cli/main.c cli/commands.h cli/args.h \
 shared/rc.h shared/buf.h shared/crypto.h shared/log.h
cli/commands.h:
cli/args.h:
shared/rc.h:
shared/buf.h:
shared/crypto.h:
shared/log.h:
