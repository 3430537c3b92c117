# Airlock CP. `make help` lists the targets.
# Everything is built under $(BUILD); SAN=1 (ASan+UBSan) has a tree of its own.

VERSION := 0.1.0
SAN     ?=
CC      ?= gcc
BUILD   ?= build$(if $(SAN),/san)
PREFIX  ?= /usr/local
DESTDIR ?=

PROGRAMS := fcgi-app tunneld worker cli
BIN_fcgi-app := airlock-fcgi-app
BIN_tunneld  := airlock-tunneld
BIN_worker   := airlock-worker
BIN_cli      := airlockctl

PKGS := libwebsockets openssl yaml-0.1 jansson libsodium libargon2 sqlite3 libcurl libpq
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror
HARDEN := -fstack-protector-strong -fPIE $(if $(SAN),,-D_FORTIFY_SOURCE=2)
OPT  := $(if $(SAN),-O1 -fsanitize=address$(,)undefined -fno-sanitize-recover=all -fno-omit-frame-pointer,-O2)
, := ,
CPPFLAGS += -I. -D_GNU_SOURCE -DAIRLOCK_VERSION='"$(VERSION)"' -MMD -MP
CFLAGS   += -std=c11 -g $(OPT) $(HARDEN) $(WARN) $(shell pkg-config --cflags $(PKGS))
LDFLAGS  += -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(if $(SAN),-fsanitize=address$(,)undefined)
LIBS     := $(shell pkg-config --libs $(PKGS)) -lfcgi -lev -ldl -lm -lpthread

shared_OBJ := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard shared/*.c))
$(foreach p,$(PROGRAMS),$(eval $(p)_OBJ := $$(patsubst %.c,$$(BUILD)/obj/%.o,$$(filter-out $(p)/main.c,$$(wildcard $(p)/*.c)))))
TESTS := $(patsubst tests/unit/%.c,$(BUILD)/test/%,$(wildcard tests/unit/*/test_*.c))
BINS  := $(foreach p,$(PROGRAMS),$(BUILD)/bin/$(BIN_$(p)))

# The quiet form of a recipe: V=1 shows the command instead.
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2);)$(if $(V),,)

.PHONY: all help tests
all: $(BINS)

tests: $(TESTS)

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/lib/shared.a: $(shared_OBJ)
	@mkdir -p $(@D)
	$(call say,AR,$@)rm -f $@ && ar rcs $@ $^

define program
$(BUILD)/lib/$(1).a: $$($(1)_OBJ)
	@mkdir -p $$(@D)
	$$(call say,AR,$$@)rm -f $$@ && ar rcs $$@ $$^
$(BUILD)/bin/$(BIN_$(1)): $(BUILD)/obj/$(1)/main.o $(BUILD)/lib/$(1).a $(BUILD)/lib/shared.a
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)$$(CC) $$(CFLAGS) $$(LDFLAGS) -o $$@ $$^ $$(LIBS)
$(BUILD)/test/$(1)/%: $(BUILD)/obj/tests/unit/$(1)/%.o $(BUILD)/lib/$(1).a $(BUILD)/lib/shared.a
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)$$(CC) $$(CFLAGS) $$(LDFLAGS) -o $$@ $$^ $$(LIBS) -lcmocka
endef
$(foreach p,$(PROGRAMS),$(eval $(call program,$(p))))
$(BUILD)/test/shared/%: $(BUILD)/obj/tests/unit/shared/%.o $(BUILD)/lib/shared.a
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) -lcmocka

.PRECIOUS: $(BUILD)/obj/%.o
-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
