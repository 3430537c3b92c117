# Airlock CP. `make help` lists the targets.
# Everything is built under $(BUILD); SAN=1 (ASan+UBSan) and FUZZ=1 (libFuzzer) have trees of their own.

VERSION := 0.1.0
SAN     ?=
FUZZ    ?=
CC      := $(if $(FUZZ),clang,$(if $(filter default,$(origin CC)),gcc,$(CC)))
BUILD   ?= build$(if $(FUZZ),/fuzz,$(if $(SAN),/san))
PREFIX  ?= /usr/local
DESTDIR ?=

PROGRAMS := fcgi-app tunneld worker cli
BIN_fcgi-app := airlock-fcgi-app
BIN_tunneld  := airlock-tunneld
BIN_worker   := airlock-worker
BIN_cli      := airlockctl

# pkg-config may be missing still: `make demo` and `make check` install what they need, then call make again.
PKGS := libwebsockets openssl yaml-0.1 jansson libsodium libargon2 sqlite3 libcurl libpq libutf8proc libarchive libzstd
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null)

, := ,
SANITIZE := $(if $(FUZZ),-fsanitize=fuzzer-no-link$(,)address$(,)undefined,$(if $(SAN),-fsanitize=address$(,)undefined))
WARN   := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror
HARDEN := -fstack-protector-strong -fPIE $(if $(SANITIZE),,-D_FORTIFY_SOURCE=2)
OPT    := $(if $(SANITIZE),-O1 $(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer,-O2)
CPPFLAGS += -I. -D_GNU_SOURCE -DAIRLOCK_VERSION='"$(VERSION)"' -MMD -MP
CFLAGS   += -std=c11 -g $(OPT) $(HARDEN) $(WARN) $(PKG_CFLAGS)
LDFLAGS  += -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(SANITIZE)
LIBS     := $(PKG_LIBS) -lfcgi -lev -ldl -lm -lpthread

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
shared_OBJ := $(call objects,$(wildcard shared/*.c))
$(foreach p,$(PROGRAMS),$(eval $(p)_OBJ := $(call objects,$(filter-out $(p)/main.c,$(wildcard $(p)/*.c)))))
BINS    := $(foreach p,$(PROGRAMS),$(BUILD)/bin/$(BIN_$(p))) $(BUILD)/bin/airlock-demo-data
TESTS   := $(patsubst tests/unit/%.c,$(BUILD)/test/%,$(wildcard tests/unit/*/test_*.c))
BENCH   := $(patsubst tests/bench/%.c,$(BUILD)/bench/bin/%,$(wildcard tests/bench/*.c))
PRELOADS := $(patsubst tests/crash/%.c,$(BUILD)/test/%.so,$(wildcard tests/crash/*.c))
FUZZERS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzzer/%,$(wildcard tests/fuzz/fuzz_*.c))

# The quiet form of a recipe: V=1 shows the command instead.
say  = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2);)
link = $(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

.PHONY: all tests demo demo-stop check conformance bench bench-programs lint fuzz fuzzers deps install clean help toolchain
all: $(BINS) ## Build the programs
tests: $(TESTS) $(PRELOADS)
fuzzers: $(FUZZERS)

demo: ## Install, build and start everything on DEMO_PORT (8080), behind FRONT (nginx or caddy)
	@+BUILD=$(BUILD) scripts/demo start

demo-stop: ## Stop what `make demo` started
	@BUILD=$(BUILD) scripts/demo stop

check: ## Run every test (SAN=1: under ASan and UBSan)
	@scripts/install-packages build run nginx caddy check bench
	@+BUILD=$(BUILD) SAN=$(SAN) scripts/check

conformance: ## Run the MCP conformance suite through a tunnel (FRONT=nginx or caddy, UPSTREAM=stdio or http)
	@scripts/install-packages build run $(or $(FRONT),nginx) check >&2
	@+BUILD=$(BUILD) scripts/conformance

soak: ## Kill, stop and starve a control plane under load, SOAK_CRASHES (500) times
	@scripts/install-packages build run nginx check
	@+BUILD=$(BUILD) SAN=$(SAN) scripts/soak

bench: ## Measure, in a quarter of an hour (QUICK=1: in a minute), and write docs/performance.md
	@scripts/install-packages build run nginx bench
	@+BUILD=$(BUILD) scripts/bench

bench-programs: all $(BENCH)

lint: ## Check format, includes, static analysis and shell scripts
	@scripts/install-packages build lint
	@scripts/lint

fuzz: ## Run each fuzzer for FUZZ_SECONDS (30)
	@scripts/install-packages build fuzz
	@+scripts/fuzz

deps: ## Install the Debian packages that the build needs
	@scripts/install-packages build run

clean: ## Remove everything built (stops the demo first)
	@scripts/demo stop
	rm -rf build

help: ## This list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

toolchain:
	@[ -n "$(PKG_LIBS)" ] || { echo 'Packages that the build needs are missing: run "make deps" first.' >&2; exit 1; }

$(BUILD)/obj/%.o: %.c | toolchain
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
	$$(call say,LD,$$@)$$(link)
$(BUILD)/test/$(1)/%: $(BUILD)/obj/tests/unit/$(1)/%.o $(BUILD)/lib/$(1).a $(BUILD)/lib/shared.a
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)$$(link) -lcmocka
endef
$(foreach p,$(PROGRAMS),$(eval $(call program,$(p))))
$(BUILD)/test/shared/%: $(BUILD)/obj/tests/unit/shared/%.o $(BUILD)/lib/shared.a
	@mkdir -p $(@D)
	$(call say,LD,$@)$(link) -lcmocka
# For LD_PRELOAD: a disk that fails on demand, a process that is killed or stopped at a step of its own, another clock,
# an Argon2 that waits.
$(BUILD)/test/%.so: tests/crash/%.c
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(CPPFLAGS) -std=c11 -O2 $(WARN) -fPIC -shared -o $@ $<
$(BUILD)/fuzzer/%: $(BUILD)/obj/tests/fuzz/%.o $(foreach p,$(PROGRAMS),$(BUILD)/lib/$(p).a) $(BUILD)/lib/shared.a
	@mkdir -p $(@D)
	$(call say,LD,$@)$(link) -fsanitize=fuzzer
$(BUILD)/bench/bin/seed: $(BUILD)/obj/tests/bench/seed.o $(BUILD)/lib/shared.a
	@mkdir -p $(@D)
	$(call say,LD,$@)$(link)
$(BUILD)/bench/bin/audit_rows: $(BUILD)/obj/tests/bench/audit_rows.o $(BUILD)/lib/tunneld.a $(BUILD)/lib/shared.a
	@mkdir -p $(@D)
	$(call say,LD,$@)$(link)
$(BUILD)/bench/bin/%: $(BUILD)/obj/tests/bench/%.o $(BUILD)/lib/worker.a $(BUILD)/lib/shared.a
	@mkdir -p $(@D)
	$(call say,LD,$@)$(link)
$(BUILD)/bin/airlock-demo-data: $(BUILD)/obj/demo/generate.o $(BUILD)/lib/shared.a
	@mkdir -p $(@D)
	$(call say,LD,$@)$(link)

install: all ## Install under DESTDIR and PREFIX (/usr/local)
	@DESTDIR=$(DESTDIR) PREFIX=$(PREFIX) BUILD=$(BUILD) scripts/install-files

include mk/embed.mk

.PRECIOUS: $(BUILD)/obj/%.o
-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
