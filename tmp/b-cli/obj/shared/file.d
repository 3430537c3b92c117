tmp/b-cli/obj/shared/file.o: shared/file.c shared/file.h shared/rc.h \
 shared/mem.h
shared/file.h:
shared/rc.h:
shared/mem.h:
