tmp/b-cli/obj/cli/local.o: cli/local.c cli/api.h cli/args.h shared/rc.h \
 cli/commands.h shared/buf.h cli/print.h shared/httpclient.h \
 shared/config.h shared/log.h shared/crypto.h shared/db.h shared/file.h \
 shared/firstboot.h shared/store.h shared/audit.h shared/jscan.h
cli/api.h:
cli/args.h:
shared/rc.h:
cli/commands.h:
shared/buf.h:
cli/print.h:
shared/httpclient.h:
shared/config.h:
shared/log.h:
shared/crypto.h:
shared/db.h:
shared/file.h:
shared/firstboot.h:
shared/store.h:
shared/audit.h:
shared/jscan.h:
