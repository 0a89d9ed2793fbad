# brokerd: build, test, install. `make help` lists the targets.
#
# A source file is found by its folder, so a new one needs no line here. Everything built
# lands in build/ (with SANITIZE=address in build/address, and so on).

# Said once, in the public header.
VERSION := $(shell sed -nE 's/^.define BROKER_VERSION_(MAJOR|MINOR|PATCH) ([0-9]+)$$/\2/p' \
             libbroker/include/broker.h | paste -sd.)

PREFIX  ?= /usr/local
DESTDIR ?=
# address (with undefined), thread, or fuzzer (clang only); empty for the real thing
SANITIZE ?=
# pack or spread: how the tests have connections placed on workers; empty for both in turn
PLACEMENT ?=
# how long `make fuzz` keeps each target busy, seconds
FUZZ_SECONDS ?= 30
JOBS ?= $(shell nproc)

OUT := build$(SANITIZE:%=/%)
OBJ := $(OUT)/obj

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

# ---- What there is, in the order of the layers (tests/layers.sh checks the arrows) ----

BASE   := $(wildcard libbroker/base/*.c)
WIRE   := $(wildcard libbroker/wire/*.c)
CLIENT := $(wildcard libbroker/client/*.c)
CLI    := $(wildcard libbroker/cli/*.c)

CORE   := $(wildcard brokerd/core/*.c)
WORKER := $(wildcard brokerd/worker/*.c)
DOORS  := $(wildcard brokerd/doors/*.c brokerd/doors/*/*.c)
NET    := $(wildcard brokerd/net/*.c)
STORE  := $(wildcard brokerd/store/*.c brokerd/store/*/*.c)
HOOKS  := $(wildcard brokerd/webhooks/*.c)
NODES  := $(wildcard brokerd/nodes/*.c)
ADMIN  := $(wildcard brokerd/admin/*.c)
CONFIG := $(wildcard config/*.c)
MAIN   := $(wildcard brokerd/*.c)
DAEMON := $(CORE) $(WORKER) $(DOORS) $(NET) $(STORE) $(NODES) $(HOOKS) $(ADMIN) $(CONFIG)

UNIT  := $(wildcard tests/unit/test_*.c tests/unit/*/test_*.c tests/unit/*/*/test_*.c)
SIM   := $(wildcard tests/sim/*.c)
SIM_PARTS := $(wildcard tests/sim/*/*.c)
FUZZ  := $(wildcard tests/fuzz/fuzz_*.c)
BENCH := $(wildcard tests/bench/*.c)
LOAD  := $(wildcard tests/bench/load/*.c)
GUARD := $(wildcard tests/bench/guard/*.c)
SUITE := $(wildcard tests/suites/stores/*.c)
PROGRAMS := $(wildcard tests/programs/*.c)
# Faults: a disk that is watched and fails (preloaded), and what tells of the states it leaves.
FAULT    := $(wildcard tests/fault/crash.c)
FAULTY   := $(filter-out tests/fault/crash.c tests/fault/shim.c tests/fault/clock.c,$(wildcard tests/fault/*.c))

HEADERS := $(wildcard libbroker/*/*.h brokerd/*.h brokerd/*/*.h brokerd/*/*/*.h config/*.h tests/*/*.h \
           tests/bench/load/*.h)
SOURCES := $(BASE) $(WIRE) $(CLIENT) $(CLI) $(DAEMON) $(MAIN)
ALL_C   := $(SOURCES) $(UNIT) $(SIM) $(SIM_PARTS) $(BENCH) $(LOAD) $(GUARD) $(SUITE) $(PROGRAMS) $(wildcard tests/fuzz/*.c tests/fault/*.c)

comma := ,
objects = $(patsubst %.c,$(OBJ)/%.o,$(1))
# What only the server speaks stays out of the library, with what it needs.
SERVER_WIRE := $(addprefix libbroker/wire/,http.c http_chunks.c handshake.c webhook_sign.c)
SHARED_WIRE := $(filter-out $(SERVER_WIRE),$(WIRE))
LIB_OBJ    := $(call objects,$(BASE) $(SHARED_WIRE) $(CLIENT))
# The dashboard's files go into the program as they are.
PAGE     := $(wildcard brokerd/admin/page/*)
PAGE_OBJ := $(OBJ)/brokerd/admin/page_files.o
# What the command can do without a broker: the journal, but for what runs it; no worker, no libevent.
JOURNAL_TOOL := $(addprefix brokerd/store/journal/,format.c catalog.c places.c segments.c recover.c \
    clear.c explain.c files.c keep.c log.c start.c tool.c tool_write.c) brokerd/core/index.c \
    libbroker/base/headers.c libbroker/base/utf8.c libbroker/wire/mime.c
# So do the functions that brokerd loads into Redis.
LUA_OBJ  := $(OBJ)/brokerd/store/redis/functions_file.o
BROKERD_OBJ := $(call objects,$(BASE) $(WIRE) $(DAEMON) $(MAIN)) $(PAGE_OBJ) $(LUA_OBJ)
INNER_OBJ  := $(LIB_OBJ) $(call objects,$(SERVER_WIRE) $(DAEMON) $(filter-out %/main.c,$(CLI)) $(FAULTY)) \
              $(PAGE_OBJ) $(LUA_OBJ)

SONAME  := libbroker.so.$(firstword $(subst ., ,$(VERSION)))
LIB     := $(if $(CLIENT),$(OUT)/libbroker.a $(OUT)/libbroker.so)
BINS    := $(if $(MAIN),$(OUT)/brokerd) \
           $(if $(CLIENT),$(OUT)/broker)

UNIT_BIN  := $(UNIT:%.c=$(OUT)/%)
SIM_BIN   := $(SIM:%.c=$(OUT)/%)
FUZZ_BIN  := $(FUZZ:%.c=$(OUT)/%)
BENCH_BIN := $(BENCH:%.c=$(OUT)/%)
LOAD_BIN  := $(OUT)/tests/bench/load/load $(OUT)/tests/bench/load/relay
GUARD_BIN := $(GUARD:%.c=$(OUT)/%)
SUITE_BIN := $(OUT)/tests/suites/stores/stores
PROGRAM_BIN := $(PROGRAMS:%.c=$(OUT)/%) $(FAULT:%.c=$(OUT)/%)
SHIM        := $(OUT)/tests/fault/shim.so
CLOCK       := $(OUT)/tests/fault/clock.so

# ---- How it is compiled ----

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
        -Wold-style-definition -Wpointer-arith -Wwrite-strings -Wvla -Wundef -Wformat=2 \
        -Wimplicit-fallthrough
OPT  := -O2 -g
HARD := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong
SAN  :=
ifeq ($(SANITIZE),address)
SAN := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
else ifeq ($(SANITIZE),thread)
SAN := -fsanitize=thread -fno-omit-frame-pointer
else ifeq ($(SANITIZE),fuzzer)
CC  := clang-14
SAN := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
else ifneq ($(SANITIZE),)
$(error SANITIZE is address or thread, not '$(SANITIZE)')
endif
ifneq ($(SAN),)
OPT  := -O1 -g
HARD :=
endif

# pkg-config is asked when the first recipe needs it, not before: `make deps` installs it.
ask = $(eval $(1) := $(shell command -v $(firstword $(CC)) >/dev/null && pkg-config $(2)))$(if \
    $(filter 0,$(.SHELLSTATUS)),$($(1)),$(error $(CC), pkg-config or one of $(filter-out --%,$(2)) \
    is missing here; `make deps` installs what building and testing need))
PKG_CFLAGS = $(call ask,PKG_CFLAGS,--cflags libevent jansson hiredis libconfuse libcrypto libxxhash)
DAEMON_PKGS = $(call ask,DAEMON_PKGS,--libs libevent_core libevent_pthreads jansson hiredis \
    libconfuse libssl libcrypto libcurl libxxhash)
DAEMON_LIBS = $(DAEMON_PKGS) -lhttp_parser -lwslay
CLIENT_LIBS = $(call ask,CLIENT_LIBS,--libs libevent_core libevent_pthreads jansson)
HASH_LIBS = $(call ask,HASH_LIBS,--libs libxxhash)
CHECK_LIBS = $(call ask,CHECK_LIBS,--libs check)

CPPFLAGS += -I. -Ilibbroker/include -D_GNU_SOURCE= -DBROKER_BUILD_VERSION='"$(VERSION)"'
CFLAGS   += -std=gnu11 -fvisibility=hidden -pthread
LDFLAGS  += -pthread -Wl,-z,relro,-z,now -Wl,--as-needed
compile   = $(CC) $(CPPFLAGS) $(PKG_CFLAGS) $(OPT) $(CFLAGS) $(WARN) $(HARD) $(SAN)
link      = $(CC) $(OPT) $(CFLAGS) $(SAN) $(LDFLAGS)

# base, wire and client go into the shared library too: compiled once, as -fPIC.
PIC := -fPIE
$(OBJ)/libbroker/base/%.o $(OBJ)/libbroker/wire/%.o $(OBJ)/libbroker/client/%.o: PIC := -fPIC

$(OBJ)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(compile) $(PIC) -MMD -MP -c -o $@ $<

$(LUA_OBJ): brokerd/store/redis/functions_file.S brokerd/store/redis/functions.lua Makefile
	@mkdir -p $(@D)
	@echo "  AS    $<"
	@$(CC) $(CPPFLAGS) -c -o $@ $<

$(PAGE_OBJ): brokerd/admin/page_files.S brokerd/admin/page_files.h $(PAGE) Makefile
	@mkdir -p $(@D)
	@echo "  AS    $<"
	@$(CC) $(CPPFLAGS) -c -o $@ $<

-include $(patsubst %.c,$(OBJ)/%.d,$(ALL_C))

# ---- Building ----

.PHONY: all
all: $(BINS) $(LIB) ## build brokerd, broker and libbroker (the default)

$(OUT)/brokerd: $(BROKERD_OBJ)
	@echo "  LINK  $@"
	@$(link) -pie -o $@ $(BROKERD_OBJ) $(DAEMON_LIBS)

# The command is written against the public header only, so it gets the public library only; and
# the journal, for `broker store` (brokerd/store/journal/tool.h).
$(OUT)/broker: $(call objects,$(CLI) $(JOURNAL_TOOL)) $(OUT)/libbroker.a
	@echo "  LINK  $@"
	@$(link) -pie -o $@ $^ $(CLIENT_LIBS) $(HASH_LIBS) -lm

$(OUT)/libbroker.so: $(LIB_OBJ) libbroker/libbroker.map
	@echo "  LINK  $@"
	@$(link) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=libbroker/libbroker.map \
	    -o $@.$(VERSION) $(LIB_OBJ) $(CLIENT_LIBS)
	@ln -sf libbroker.so.$(VERSION) $(OUT)/$(SONAME)
	@ln -sf $(SONAME) $@

# One object in which all but broker_* is local: our internals cannot clash with a user's.
$(OUT)/libbroker.a: $(LIB_OBJ)
	@echo "  AR    $@"
	@mkdir -p $(OBJ)
	@ld -r -o $(OBJ)/libbroker.o $(LIB_OBJ)
	@objcopy --wildcard --keep-global-symbol='broker_*' $(OBJ)/libbroker.o
	@rm -f $@ && ar rcs $@ $(OBJ)/libbroker.o

# Everything but the two mains, internals visible: what test programs link with.
$(OBJ)/inner.a: $(INNER_OBJ)
	@mkdir -p $(@D)
	@rm -f $@ && ar qcs $@ $(INNER_OBJ)

$(UNIT_BIN) $(SIM_BIN) $(BENCH_BIN) $(GUARD_BIN) $(PROGRAM_BIN): $(OUT)/%: $(OBJ)/%.o $(OBJ)/inner.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(link) -pie -o $@ $^ $(CHECK_LIBS) $(DAEMON_LIBS) -lm

$(OUT)/tests/sim/sim_makes: $(OBJ)/tests/sim/makes/awaited.o

# Preloaded into programs that may have a sanitizer: it has none itself.
$(SHIM): tests/fault/shim.c tests/fault/trace.c tests/fault/trace.h
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) -std=gnu11 -O2 -g $(WARN) -I. -shared -fPIC -o $@ $(filter %.c,$^) -ldl

$(CLOCK): tests/fault/clock.c
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) -std=gnu11 -O2 -g $(WARN) -I. -shared -fPIC -o $@ $<

# One program of all its files: what every make of store is asked.
$(SUITE_BIN): $(call objects,$(SUITE)) $(OBJ)/inner.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(link) -pie -o $@ $^ $(CHECK_LIBS) $(DAEMON_LIBS) -lm

# The load generator and the relays it is compared with: codecs of ours, nothing else.
$(OUT)/tests/bench/load/load: $(call objects,$(filter-out %/relay.c,$(LOAD)))
$(OUT)/tests/bench/load/relay: $(OBJ)/tests/bench/load/relay.o
$(LOAD_BIN): $(call objects,$(BASE) $(SHARED_WIRE))
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(link) -pie -o $@ $^ $(CLIENT_LIBS)

# The simulation, and a door as a whole, are tried with each request for memory failing.
$(OUT)/tests/sim/sim_core $(OUT)/tests/sim/sim_calls $(OUT)/tests/unit/doors/test_json: LDFLAGS += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
# A start is killed at each call that changes a file.
$(OUT)/tests/unit/store/test_journal_start: LDFLAGS += \
    $(addprefix -Wl$(comma)--wrap=,pwritev pwritev64 fdatasync fsync fallocate fallocate64 \
    rename unlink ftruncate ftruncate64 link mkdir)
# It is full, or slow, when the test says so.
$(OUT)/tests/unit/store/test_journal_full: LDFLAGS += \
    $(addprefix -Wl$(comma)--wrap=,pwritev pwritev64 pread pread64 fallocate fallocate64 \
    clock_gettime)
# Something comes in behind each look into a mailbox.
$(OUT)/tests/unit/core/test_nomem_durable: LDFLAGS += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
$(OUT)/tests/unit/worker/test_sleep: LDFLAGS += -Wl,--wrap=mailbox_is_empty

ifeq ($(SANITIZE),fuzzer)
FUZZ_MAIN := -fsanitize=fuzzer
else
FUZZ_MAIN := $(OBJ)/tests/fuzz/replay.o
endif
$(FUZZ_BIN): $(OUT)/%: $(OBJ)/%.o $(filter %.o,$(FUZZ_MAIN)) $(OBJ)/inner.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(link) -pie -o $@ $< $(FUZZ_MAIN) $(OBJ)/inner.a $(DAEMON_LIBS) -lm

# ---- Running and testing: the first two install what is missing, and say so ----

again = $(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j$(JOBS))

.PHONY: run test check check-unit tests sim-long bench bench-guard bench-peers bench-nats bench-stomp bench-stores bench-recovery bench-http bench-webhooks fuzz fuzz-all deps
run: ## build, start brokerd on a free port and show messages flowing
	@tests/deps.sh build
	@$(again) all
	@OUT=$(OUT) tests/demo.sh

test: ## build and run every test (SANITIZE=address|thread, PLACEMENT=pack|spread)
	@tests/deps.sh build test
	@$(again) tests
	@OUT=$(OUT) JOBS=$(JOBS) SANITIZE=$(SANITIZE) PLACEMENT=$(PLACEMENT) tests/run.sh

tests: all $(UNIT_BIN) $(SIM_BIN) $(FUZZ_BIN) $(PROGRAM_BIN) $(SHIM) $(CLOCK) $(LOAD_BIN) $(SUITE_BIN)

check-unit: ## build and run the unit tests only
	@tests/deps.sh build test
	@$(again) $(UNIT_BIN)
	@OUT=$(OUT) JOBS=$(JOBS) tests/run.sh unit

sim-long: ## the simulations for SIM_SECONDS each (600): cores, stores that fail, make against make
	@tests/deps.sh build test
	@$(again) $(SIM_BIN) $(CLOCK)
	@set -e; for s in $(SIM_BIN); do echo "== $$s"; SIM_SECONDS=$(or $(SIM_SECONDS),600) $$s; done

bench: ## build and run the benchmarks
	@tests/deps.sh build test
	@$(again) all $(BENCH_BIN)
	@set -e; for b in $(BENCH_BIN) $(wildcard tests/bench/*.sh); do \
	    echo "== $$b"; OUT=$(OUT) $$b; done

bench-guard: ## fail if a message costs over 5 % more instructions than committed (ACCEPT=1: new figures)
	@tests/deps.sh build test guard
	@$(again) $(GUARD_BIN)
	@CC="$(CC)" tests/bench/guard/guard.py $(GUARD_BIN) $(if $(ACCEPT),--accept) $(ROWS)

bench-peers: ## compare with other brokers, 45 minutes: ROUNDS=3 ROUND_SECONDS=2 WORKLOADS= PEERS=
bench-nats: ## the same with nats-server only, 16 to 1024 bytes, 2 minutes
bench-nats: WORKLOADS = W1-16 W1-128 W1-1024
bench-nats: PEERS = raw framed brokerd nats
bench-stomp: ## the same in STOMP, with RabbitMQ's plugin and ActiveMQ, 5 minutes
bench-stomp: WORKLOADS = S1-16 S1-128 S1-1024 S2-10 S5-1024
bench-stores: ## durable work queues, with Redis, JetStream and RabbitMQ on disk, 6 minutes
bench-stores: WORKLOADS = D5-1024 D5-1 R5-1024
bench-peers bench-nats bench-stomp bench-stores:
	@tests/deps.sh build peers $(if $(filter bench-stomp,$@),stomp)
	@$(again) all $(LOAD_BIN)
	@OUT=$(OUT) ROUNDS="$(ROUNDS)" ROUND_SECONDS="$(ROUND_SECONDS)" WORKLOADS="$(WORKLOADS)" \
	    PEERS="$(PEERS)" tests/bench/load/compare.sh
	@$(if $(filter bench-stores,$@),$(again) $(OUT)/tests/bench/bench_journal && \
	    $(OUT)/tests/bench/bench_journal 1 && OUT=$(OUT) tests/bench/stores/beside.sh)

bench-recovery: ## a start with 1 and 10 million messages in the journal; fails above 2 and 20 s; takes a minute
	@tests/deps.sh build
	@$(again) $(OUT)/tests/bench/bench_recovery
	@$(OUT)/tests/bench/bench_recovery "$(or $(DIR),/var/tmp)" 1 10

bench-http: ## publishing by HTTP, beside RabbitMQ's and Redis's with webdis; 4 minutes: ROUNDS=5 ROUND_SECONDS=2
	@tests/deps.sh build http
	@$(again) all
	@OUT=$(OUT) ROUNDS="$(ROUNDS)" ROUND_SECONDS="$(ROUND_SECONDS)" tests/bench/http/run.sh

bench-webhooks: ## deliveries/s to an endpoint, and what a dead one costs its neighbours: ROUNDS=5
	@tests/deps.sh build test
	@$(again) all $(PROGRAM_BIN)
	@OUT=$(OUT) tests/bench/webhooks/run.sh

.PHONY: crash-states kill-loop redis-chaos
crash-states: export STATES ?= 10000
crash-states: ## power failures at any instant of a broker's work: STATES=10000, 3 minutes
kill-loop: export KILLS ?= 500
kill-loop: ## a broker under load killed KILLS=500 times, what it confirmed is audited: 6 minutes
crash-states kill-loop:
	@tests/deps.sh build test
	@$(again) tests
	@OUT=$(OUT) PLACEMENT=$(PLACEMENT) tests/integration/test_$(if $(filter crash%,$@),crash_states,kill).sh

redis-chaos: ## brokers on Redis, a Cluster, Sentinels or one, in trouble, audited: ON= SCENARIOS= AUDIT=; 20 minutes
	@tests/deps.sh build test
	@$(again) tests
	@set -e; for on in $(or $(ON),cluster sentinel single); do OUT=$(OUT) ON=$$on \
	    SCENARIOS="$(SCENARIOS)" LEVEL="$(LEVEL)" RATE="$(RATE)" LOSSES="$(LOSSES)" \
	    tests/fault/redis_chaos.sh; done

.PHONY: screenshots
screenshots: ## the pictures of docs/dashboard.md, of a broker at work; takes a minute
	@tests/deps.sh build test
	@$(again) all
	@OUT=$(OUT) tests/interop/dashboard/run.sh docs

fuzz: ## fuzz each parser for FUZZ_SECONDS with libFuzzer (clang-14)
	@tests/deps.sh build fuzz
	@$(again) SANITIZE=fuzzer fuzz-all

fuzz-all: $(FUZZ_BIN)
	@set -e; for f in $(FUZZ_BIN); do name=$${f##*/fuzz_}; \
	    echo "== $$name"; mkdir -p $(OUT)/corpus/$$name tests/fuzz/corpus/$$name; \
	    $$f -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 -verbosity=0 \
	        -artifact_prefix=$(OUT)/ $(OUT)/corpus/$$name tests/fuzz/corpus/$$name; done

deps: ## install what building, testing and linting need
	@tests/deps.sh build test lint fuzz

# ---- Keeping it tidy ----

TIDY_FLAGS = -std=gnu11 $(WARN) -I. -Ilibbroker/include -D_GNU_SOURCE= \
             -DBROKER_BUILD_VERSION=\"$(VERSION)\" $(PKG_CFLAGS)

brokerd.conf.example: $(OUT)/tests/unit/config/test_example ## the settings, from their table
	@$< --print > $@

.PHONY: fmt fmt-check lint layers headers tidy
fmt: ## format the C code in place
	@tests/deps.sh lint
	@clang-format-14 -i $(ALL_C) $(HEADERS)

fmt-check: ## fail if `make fmt` would change something
	@clang-format-14 --dry-run -Werror $(ALL_C) $(HEADERS)

lint: ## layers, headers, format, clang-tidy and shellcheck
	@tests/deps.sh build test lint
	@$(again) layers headers fmt-check tidy
	@shellcheck -x .ci/run $$(find tests -name '*.sh' -not -path '*/node_modules/*')
	@echo "lint: all is well"

layers: ## check which folder includes which
	@tests/layers.sh

headers: ## check that each header compiles alone
	@for h in $(HEADERS); do \
	    $(compile) -Wno-unused-function -fsyntax-only -include $$h -x c /dev/null || exit 1; done

tidy: ## clang-tidy over everything but the tests (.clang-tidy says what it looks for)
	@printf '%s\n' $(SOURCES) | xargs -r -P $(JOBS) -n 4 bash -o pipefail -c \
	    'clang-tidy-14 --quiet --warnings-as-errors="*" "$$@" -- $(TIDY_FLAGS) 2>&1 | \
	        sed "/warnings* generated/d"' tidy

# ---- Installing ----

bindir := $(DESTDIR)$(PREFIX)/bin
libdir := $(DESTDIR)$(PREFIX)/lib
incdir := $(DESTDIR)$(PREFIX)/include
docdir := $(DESTDIR)$(PREFIX)/share/doc/brokerd
mandir := $(DESTDIR)$(PREFIX)/share/man

# What is installed: pairs source:target, which uninstall walks too.
FILES = \
    $(foreach b,$(filter %/broker,$(BINS)) $(filter %/brokerd,$(BINS)),$(b):$(bindir)/$(notdir $(b)):755) \
    $(OUT)/libbroker.so.$(VERSION):$(libdir)/libbroker.so.$(VERSION):755 \
    $(OUT)/libbroker.a:$(libdir)/libbroker.a:644 \
    $(OUT)/libbroker.pc:$(libdir)/pkgconfig/libbroker.pc:644 \
    $(foreach h,$(wildcard libbroker/include/*.h),$(h):$(incdir)/$(notdir $(h)):644) \
    $(foreach f,$(wildcard brokerd.conf.example),$(f):$(docdir)/$(f):644) \
    $(foreach f,$(wildcard config/dist/*.service config/dist/*.socket),$(f):$(DESTDIR)$(PREFIX)/lib/systemd/system/$(notdir $(f)):644) \
    $(foreach f,$(wildcard config/dist/*sysusers*),$(f):$(DESTDIR)$(PREFIX)/lib/sysusers.d/brokerd.conf:644) \
    $(foreach f,$(wildcard config/dist/*tmpfiles*),$(f):$(DESTDIR)$(PREFIX)/lib/tmpfiles.d/brokerd.conf:644) \
    $(foreach n,1 3 5 7 8,$(foreach m,$(wildcard docs/man/*.$(n)),$(m):$(mandir)/man$(n)/$(notdir $(m)):644)) \
    $(foreach f,$(wildcard config/dist/broker.bash),$(f):$(DESTDIR)$(PREFIX)/share/bash-completion/completions/broker:644) \
    $(foreach f,$(wildcard config/dist/_broker),$(f):$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_broker:644)
LINKS = $(libdir)/$(SONAME) $(libdir)/libbroker.so

.PHONY: install uninstall clean help
install: all $(OUT)/libbroker.pc ## install under PREFIX (/usr/local), staged in DESTDIR
	@set -e; for f in $(FILES); do IFS=: read -r from to mode <<< "$$f"; \
	    install -D -m "$$mode" "$$from" "$$to"; echo "  INST  $$to"; done
	@for l in $(LINKS); do ln -sf libbroker.so.$(VERSION) $$l; echo "  INST  $$l"; done
	@[ -n "$(DESTDIR)" ] || [ "$$(id -u)" -ne 0 ] || ldconfig

uninstall: ## remove what install put there
	@for f in $(FILES); do IFS=: read -r from to mode <<< "$$f"; rm -f "$$to"; done
	@rm -f $(LINKS)
	@rmdir $(docdir) 2>/dev/null || true

$(OUT)/libbroker.pc: libbroker/libbroker.pc.in Makefile
	@mkdir -p $(@D)
	@sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' $< > $@

clean: ## remove build/
	@rm -rf build

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1\t\2/p' Makefile | expand -t 14

SHELL := /bin/bash
