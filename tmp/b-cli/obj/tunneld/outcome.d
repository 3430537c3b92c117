tmp/b-cli/obj/tunneld/outcome.o: tunneld/outcome.c tunneld/outcome.h \
 shared/problem.h shared/buf.h shared/rc.h
tunneld/outcome.h:
shared/problem.h:
shared/buf.h:
shared/rc.h:
