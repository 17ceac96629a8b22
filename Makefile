# make build demo check bench fuzz sanitize lint format install. Builds with Meson; installs what is missing first (tools/bootstrap).
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
CHAPTER ?=
MESON = meson
NINJA = ninja
PROGRAMS = ifd ifctl if-verify
.PHONY: all build demo check bench fuzz sanitize lint format install clean

all: build

# A build directory that was set up for another tree (a copy of this one) would build that one: it is set up anew.
ifneq ($(wildcard $(BUILD)/build.ninja),)
SOURCE_OF_BUILD := $(shell python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["directories"]["source"])' $(BUILD)/meson-info/meson-info.json 2>/dev/null)
ifneq ($(SOURCE_OF_BUILD),)
ifneq ($(realpath $(SOURCE_OF_BUILD)),$(realpath $(CURDIR)))
$(info $(BUILD) was set up for $(SOURCE_OF_BUILD): it is set up anew for $(CURDIR))
$(shell cd "$(BUILD)" && rm -rf meson-private meson-info build.ninja .ninja_log .ninja_deps)
endif
endif
endif

$(BUILD)/build.ninja:
	@tools/bootstrap quick
	$(MESON) setup $(BUILD) --prefix $(PREFIX)

# Leaves build/{ifd,ifctl,if-verify} and build/libinfrafabric.{a,so}.
build: $(BUILD)/build.ninja
	$(NINJA) -C $(BUILD)
	@for p in $(PROGRAMS); do ln -f "$(BUILD)/src/programs/$$p/$$p" "$(BUILD)/$$p"; done
	@for p in if-sandbox if-sandbox-prepare; do if [ -e "$(BUILD)/src/programs/if-sandbox/$$p" ]; then ln -f "$(BUILD)/src/programs/if-sandbox/$$p" "$(BUILD)/$$p"; fi; done
	@ln -sf ifctl "$(BUILD)/if"
	@for l in a so; do ln -sf "src/programs/ifctl/libinfrafabric.$$l" "$(BUILD)/libinfrafabric.$$l"; done

# make demo, or make demo CHAPTER=agents, CHAPTER=tasks or CHAPTER=capabilities.
demo: build
	demo/run $(BUILD) $(CHAPTER)

# Everything: units, properties, conformance, fuzz corpora, the same under ASan+UBSan, threads under TSan, the live daemon. Last line: N passed, N failed.
check:
	@tools/bootstrap full
	tools/check $(BUILD)

bench: $(BUILD)-release/build.ninja
	$(NINJA) -C $(BUILD)-release
	bench/run $(BUILD)-release $(BUILD)

$(BUILD)-release/build.ninja:
	@tools/bootstrap quick
	$(MESON) setup $(BUILD)-release --buildtype release -Db_ndebug=false

# A minute a target; findings stay in build-fuzz.
fuzz:
	@tools/bootstrap full
	tools/fuzz $(BUILD)-fuzz 60

sanitize:
	@tools/bootstrap full
	tools/check $(BUILD) sanitize

lint:
	@tools/bootstrap full
	tools/lint $(BUILD)

format:
	@tools/bootstrap full
	git ls-files '*.c' '*.h' | grep -v '^tests/vectors/' | xargs clang-format -i

# A PREFIX of this command holds also for a build that was set up with another one: programs and unit are then made anew for it.
ifneq ($(origin PREFIX),file)
install: prefix
.PHONY: prefix
prefix: $(BUILD)/build.ninja
	@test "$$($(MESON) introspect --buildoptions $(BUILD) | python3 -c 'import json,sys; print([o["value"] for o in json.load(sys.stdin) if o["name"] == "prefix"][0])')" = "$(PREFIX)" || \
	    $(MESON) configure $(BUILD) -Dprefix="$(PREFIX)"
build: prefix
endif

install: build
	DESTDIR=$(DESTDIR) $(MESON) install -C $(BUILD) --no-rebuild

clean:
	rm -rf $(BUILD) $(BUILD)-release $(BUILD)-asan $(BUILD)-tsan $(BUILD)-fuzz
