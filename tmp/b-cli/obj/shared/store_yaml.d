tmp/b-cli/obj/shared/store_yaml.o: shared/store_yaml.c shared/apikey.h \
 shared/crypto.h shared/rc.h shared/store.h shared/audit.h shared/buf.h \
 shared/jscan.h shared/db.h shared/clock.h shared/file.h shared/mem.h \
 shared/store_sql.h shared/text.h shared/yaml_read.h
shared/apikey.h:
shared/crypto.h:
shared/rc.h:
shared/store.h:
shared/audit.h:
shared/buf.h:
shared/jscan.h:
shared/db.h:
shared/clock.h:
shared/file.h:
shared/mem.h:
shared/store_sql.h:
shared/text.h:
shared/yaml_read.h:
