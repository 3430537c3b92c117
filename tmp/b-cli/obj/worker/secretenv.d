tmp/b-cli/obj/worker/secretenv.o: worker/secretenv.c worker/secretenv.h \
 shared/mem.h
worker/secretenv.h:
shared/mem.h:
