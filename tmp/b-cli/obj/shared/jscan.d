tmp/b-cli/obj/shared/jscan.o: shared/jscan.c shared/jscan.h shared/rc.h \
 shared/text.h
shared/jscan.h:
shared/rc.h:
shared/text.h:
