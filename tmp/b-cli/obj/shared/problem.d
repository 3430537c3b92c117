tmp/b-cli/obj/shared/problem.o: shared/problem.c shared/problem.h \
 shared/buf.h shared/rc.h
shared/problem.h:
shared/buf.h:
shared/rc.h:
