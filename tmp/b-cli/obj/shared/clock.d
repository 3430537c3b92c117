tmp/b-cli/obj/shared/clock.o: shared/clock.c shared/clock.h shared/rc.h
shared/clock.h:
shared/rc.h:
