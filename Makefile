# make build demo check bench fuzz sanitize lint format install. Builds with Meson; installs what is missing first (tools/bootstrap).
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
MESON = meson
NINJA = ninja
PROGRAMS = ifd ifctl if-verify
.PHONY: all build demo check bench fuzz sanitize lint format install clean

all: build

$(BUILD)/build.ninja:
	@tools/bootstrap quick
	$(MESON) setup $(BUILD) --prefix $(PREFIX)

# Leaves build/{ifd,ifctl,if-verify} and build/libinfrafabric.{a,so}.
build: $(BUILD)/build.ninja
	$(NINJA) -C $(BUILD)
	@for p in $(PROGRAMS); do ln -f "$(BUILD)/src/programs/$$p/$$p" "$(BUILD)/$$p"; done
	@ln -sf ifctl "$(BUILD)/if"
	@for l in a so; do ln -sf "src/programs/ifctl/libinfrafabric.$$l" "$(BUILD)/libinfrafabric.$$l"; done

demo: build
	demo/run $(BUILD)

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

install: build
	DESTDIR=$(DESTDIR) $(MESON) install -C $(BUILD) --no-rebuild

clean:
	rm -rf $(BUILD) $(BUILD)-release $(BUILD)-asan $(BUILD)-tsan $(BUILD)-fuzz
