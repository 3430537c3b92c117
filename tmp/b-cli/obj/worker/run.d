tmp/b-cli/obj/worker/run.o: worker/run.c worker/run.h shared/clock.h \
 shared/rc.h shared/crypto.h shared/log.h shared/manifest.h shared/buf.h \
 shared/jscan.h shared/mem.h worker/announce.h worker/link.h \
 shared/handshake.h shared/msg.h worker/identity.h worker/endpoint.h \
 worker/calls.h worker/mcp_server.h worker/tools.h worker/wconfig.h \
 worker/dialer.h worker/keeper.h worker/secretenv.h
worker/run.h:
shared/clock.h:
shared/rc.h:
shared/crypto.h:
shared/log.h:
shared/manifest.h:
shared/buf.h:
shared/jscan.h:
shared/mem.h:
worker/announce.h:
worker/link.h:
shared/handshake.h:
shared/msg.h:
worker/identity.h:
worker/endpoint.h:
worker/calls.h:
worker/mcp_server.h:
worker/tools.h:
worker/wconfig.h:
worker/dialer.h:
worker/keeper.h:
worker/secretenv.h:
