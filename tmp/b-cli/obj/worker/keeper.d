tmp/b-cli/obj/worker/keeper.o: worker/keeper.c worker/keeper.h \
 shared/rc.h worker/tools.h shared/buf.h shared/jscan.h worker/wconfig.h \
 shared/clock.h shared/log.h shared/mem.h
worker/keeper.h:
shared/rc.h:
worker/tools.h:
shared/buf.h:
shared/jscan.h:
worker/wconfig.h:
shared/clock.h:
shared/log.h:
shared/mem.h:
