tmp/b-cli/obj/shared/clientip.o: shared/clientip.c shared/clientip.h \
 shared/mem.h
shared/clientip.h:
shared/mem.h:
