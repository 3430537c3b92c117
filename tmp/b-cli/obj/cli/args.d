tmp/b-cli/obj/cli/args.o: cli/args.c cli/args.h shared/rc.h shared/text.h
cli/args.h:
shared/rc.h:
shared/text.h:
