tmp/b-cli/obj/shared/dbmark.o: shared/dbmark.c shared/dbmark.h \
 shared/rc.h shared/mem.h
shared/dbmark.h:
shared/rc.h:
shared/mem.h:
