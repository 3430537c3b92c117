tmp/b-cli/obj/shared/text.o: shared/text.c shared/text.h shared/rc.h
shared/text.h:
shared/rc.h:
