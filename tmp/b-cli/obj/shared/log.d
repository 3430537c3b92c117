tmp/b-cli/obj/shared/log.o: shared/log.c shared/log.h shared/rc.h \
 shared/clock.h shared/text.h
shared/log.h:
shared/rc.h:
shared/clock.h:
shared/text.h:
