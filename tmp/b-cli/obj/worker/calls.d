tmp/b-cli/obj/worker/calls.o: worker/calls.c worker/calls.h shared/rc.h \
 worker/link.h shared/buf.h shared/crypto.h shared/handshake.h \
 shared/msg.h shared/jscan.h worker/identity.h worker/endpoint.h \
 worker/mcp_server.h worker/tools.h worker/wconfig.h shared/clock.h \
 shared/log.h shared/manifest.h shared/mem.h worker/executor.h
worker/calls.h:
shared/rc.h:
worker/link.h:
shared/buf.h:
shared/crypto.h:
shared/handshake.h:
shared/msg.h:
shared/jscan.h:
worker/identity.h:
worker/endpoint.h:
worker/mcp_server.h:
worker/tools.h:
worker/wconfig.h:
shared/clock.h:
shared/log.h:
shared/manifest.h:
shared/mem.h:
worker/executor.h:
