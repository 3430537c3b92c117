tmp/b-cli/obj/cli/print.o: cli/print.c cli/print.h shared/buf.h \
 shared/rc.h shared/clock.h shared/mem.h
cli/print.h:
shared/buf.h:
shared/rc.h:
shared/clock.h:
shared/mem.h:
