tmp/b-cli/obj/worker/resolver.o: worker/resolver.c worker/resolver.h \
 shared/mem.h
worker/resolver.h:
shared/mem.h:
