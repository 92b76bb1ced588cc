# roto: `make demo` and `make test` do everything a newcomer needs; `make help` lists the rest.

BUILD ?= build
PREFIX ?= /usr/local
ifeq ($(origin CC),default)
CC = gcc
endif
ifeq ($(origin CXX),default)
CXX = $(if $(findstring clang,$(CC)),clang++,g++)
endif
DEPS := build/deps
CFLAGS ?= -O2 -g
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 1)
endif
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wundef
# Asked when a recipe runs: on a bare machine the compiler arrives with the setup.
OPENMP = $(shell $(CC) -fopenmp -include omp.h -fsyntax-only -x c /dev/null 2>/dev/null && echo -fopenmp)
# The linker warns about dlopen in libgomp, which would load plug-ins for accelerators; there are none to load.
# Without symbols and what nothing calls (most of the C++ library that tinyexr brings): STATIC= keeps them for a debugger.
STATIC ?= -static -s -Wl,--gc-sections
COMPILE = $(CC) -std=c99 -D_DEFAULT_SOURCE $(WARNINGS) $(CFLAGS) -ffunction-sections -fdata-sections $(OPENMP) -I$(BUILD) -isystem $(DEPS)/include -MMD -MP
# The one C++ file: OpenEXR through tinyexr, which shifts negative numbers, as every compiler lets it.
COMPILE_CXX = $(CXX) -std=c++11 $(filter-out -Wstrict-prototypes -Wmissing-prototypes,$(WARNINGS)) $(CFLAGS) -ffunction-sections -fdata-sections -fno-sanitize=shift -MMD -MP
LIBS := $(DEPS)/libcjson.a -lz -lstdc++ -lm -lpthread

# One archive serves both programs and every test: the linker takes what it needs.
PROGRAMS := tools/roto.c tools/amalgamate.c trainer/main.c
SOURCES := $(filter-out $(PROGRAMS) trainer/compute_reference.c,$(wildcard tools/*.c trainer/*.c model_format/*.c))
OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o) $(BUILD)/tools/exr_file.o $(BUILD)/roto.o
TESTS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/test_*.c))
TEST_TOOLS := $(BUILD)/tests/make_models $(BUILD)/tests/fuzz_replay $(BUILD)/tests/native # which tests/test_*.sh use
SCRIPTS := $(wildcard tests/test_*.sh)
HOST_TOOLS := $(BUILD)/tests/compare_mattes # which tests/hosts/test_*.sh use
DEMO := $(BUILD)/demo

all: $(BUILD)/roto $(BUILD)/roto-train

help:
	@echo "make demo          render a shot, find its landmarks and shapes, write document, mattes and contact sheet in $(DEMO)"
	@echo "make test          build and run every test (DATA=folder: on real data too)"
	@echo "make               build $(BUILD)/roto and $(BUILD)/roto-train"
	@echo "make demo-train    train the demo's model from nothing"
	@echo "make roto.h        join the parts of runtime/ into roto.h"
	@echo "make check-asan    the tests under clang's address and undefined-behaviour sanitizers"
	@echo "make check-tsan    the threaded tests under clang's thread sanitizer"
	@echo "make check-hosts   our files in the programs they are for: Blender, melt, a browser"
	@echo "make check-blender4  the same in Blender 4.3, which it fetches from Debian 13 into $(DEPS)"
	@echo "make bench-shot    a shot of 105 frames of 2348x1566, from files to document, against decoding alone"
	@echo "make bench-film    DATA=folder of an annotated shot, MODEL=file that has not seen it: crops, smoothing, confidence, adapting"
	@echo "make check-slurm   the farm example on a Slurm of one node (installs Slurm; as root)"
	@echo "make fuzz          90 seconds of fuzzing the readers of models and of ONNX files"
	@echo "make bench         start-up, inference and training against this machine's peak; PEERS=folder: beside others"
	@echo "make docs          man pages, completions and the reference of roto.h in $(BUILD)/doc"
	@echo "make install       programs, header, plug-ins and docs to DESTDIR/PREFIX ($(PREFIX))"
	@echo "make clean         remove $(BUILD)"

$(DEPS)/build.stamp: tools/setup.sh
	@sh tools/setup.sh $(DEPS)
$(DEPS)/test.stamp: tools/setup.sh | $(DEPS)/build.stamp
	@sh tools/setup.sh $(DEPS) test

$(BUILD)/%.o: %.c | $(DEPS)/build.stamp
	@mkdir -p $(@D)
	$(COMPILE) -c -o $@ $<
$(BUILD)/tools/exr_file.o: tools/exr_file.cpp | $(DEPS)/build.stamp
	@mkdir -p $(@D)
	$(COMPILE_CXX) -c -o $@ $<
# Files that the programs carry inside: each line as a string literal.
LITERAL = @mkdir -p $(@D); sed 's/["\\]/\\&/g; s/.*/"&\\n"/' $< > $@
EXPORT_SCRIPTS := nuke natron blender after_effects
$(BUILD)/puppet27.inc: trainer/templates/puppet27.json
	$(LITERAL)
$(BUILD)/export_%.inc: tools/export_scripts/%.py
	$(LITERAL)
$(BUILD)/export_%.inc: tools/export_scripts/%.jsx
	$(LITERAL)
$(BUILD)/trainer/demo_shots.o: $(BUILD)/puppet27.inc
$(BUILD)/tools/export_scripts.o: $(EXPORT_SCRIPTS:%=$(BUILD)/export_%.inc)

# The review page, which roto carries inside: text as string literals, its WebAssembly as base64.  clang compiles roto.h a second
# time, for the browser; wasi-libc gives it malloc and memcpy, and nothing is imported.
REVIEW := $(BUILD)/review
WASM_EXPORTS := malloc free roto_smooth review_matte review_open review_shape_landmarks review_shape
$(REVIEW)/kernel.wasm: tools/review/kernel.c $(CURDIR)/roto.h | $(DEPS)/build.stamp
	@mkdir -p $(@D)
	clang --target=wasm32-wasi -std=c99 -O2 -msimd128 -mbulk-memory -nostdlib -Wl,--no-entry -Wl,--strip-all \
	  -Wl,-z,stack-size=1048576 $(WASM_EXPORTS:%=-Wl,--export=%) -o $@ $< -lc
$(REVIEW)/kernel.inc: $(REVIEW)/kernel.wasm
	base64 -w 120 $< | sed 's/.*/"&"/' > $@
$(REVIEW)/%.inc: tools/review/%
	@mkdir -p $(@D)
	sed 's/["\\]/\\&/g; s/.*/"&\\n"/' $< > $@
$(BUILD)/tools/review.o: $(REVIEW)/kernel.inc $(patsubst %,$(REVIEW)/%.inc,review.html review.css engine.js shot.js page.js)

# Which build a program is: the commit, with a + where files differ from it.
$(BUILD)/build_id.inc: FORCE
	@mkdir -p $(@D)
	@echo "\"$$(git describe --always --abbrev=9 --exclude='*' --dirty=+ 2>/dev/null || echo unknown)\"" > $@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi
$(BUILD)/tools/roto.o $(BUILD)/trainer/main.o: $(BUILD)/build_id.inc

# By its full name: `roto.h` alone is the target that makes it anew, which no build does unasked (check-sync would pass).
$(BUILD)/roto.o: $(CURDIR)/roto.h | $(DEPS)/build.stamp
	@mkdir -p $(@D)
	$(COMPILE) -DROTO_IMPLEMENTATION -x c -c -o $@ $<
$(BUILD)/libroto.a: $(OBJECTS)
	@rm -f $@
	ar rcs $@ $^
$(BUILD)/roto: $(BUILD)/tools/roto.o $(BUILD)/libroto.a
	$(COMPILE) $(STATIC) -o $@ $^ $(LIBS)
$(BUILD)/roto-train: $(BUILD)/trainer/main.o $(BUILD)/libroto.a
	$(COMPILE) $(STATIC) -o $@ $^ $(LIBS)
$(BUILD)/tests/fuzz_replay.o: tests/fuzz/load.c | $(DEPS)/build.stamp
	@mkdir -p $(@D)
	$(COMPILE) -DREPLAY -c -o $@ $<
$(TESTS) $(TEST_TOOLS) $(HOST_TOOLS): $(BUILD)/tests/%: $(BUILD)/tests/%.o $(BUILD)/libroto.a
	$(COMPILE) -o $@ $^ $(LIBS)

$(BUILD)/amalgamate: tools/amalgamate.c | $(DEPS)/build.stamp
	@mkdir -p $(@D)
	$(CC) -std=c99 $(WARNINGS) $(CFLAGS) -o $@ $<
roto.h: $(BUILD)/amalgamate
	@while read -r part; do case "$$part" in *.c|*.h) [ -f "runtime/$$part" ] || { echo "no runtime/$$part yet" >&2; continue; };; esac; echo "$$part"; done < runtime/roto.in > $(BUILD)/roto.in
	$(BUILD)/amalgamate runtime/ $(BUILD)/roto.in > $(BUILD)/roto.h
	cp $(BUILD)/roto.h $@

# What tests/run runs: the compile matrix, then programs, then scripts.  DATA=folder and PEERS=folder add tests on their files.
export DATA PEERS
test: $(DEPS)/test.stamp all $(BUILD)/amalgamate $(TESTS) $(TEST_TOOLS)
	@tests/run $(BUILD) tests/compile/run $(TESTS) $(SCRIPTS)
test-programs: all $(TESTS) $(TEST_TOOLS)
	@tests/run $(BUILD) $(TESTS) $(SCRIPTS)

# Tests in other programs, which are large: not part of `make test`.
$(DEPS)/hosts.stamp: tools/setup.sh | $(DEPS)/build.stamp
	@sh tools/setup.sh $(DEPS) hosts
check-hosts: $(DEPS)/hosts.stamp all $(HOST_TOOLS) $(BUILD)/tests/native
	@tests/run $(BUILD) $(wildcard tests/hosts/test_*.sh)
$(DEPS)/blender4.stamp: | $(DEPS)/hosts.stamp
	@sh tools/setup.sh $(DEPS) blender4
check-blender4: $(DEPS)/blender4.stamp all $(HOST_TOOLS)
	@BLENDER=$(abspath $(DEPS))/blender4/blender tests/run $(BUILD) tests/hosts/test_blender.sh

# The C++ file brings checks whose run-time support clang links only into C++ programs, unless told to.
SANITIZE = $(MAKE) --no-print-directory CC=clang STATIC= test-programs
check-asan: $(DEPS)/test.stamp
	@$(SANITIZE) BUILD=$(BUILD)/asan CFLAGS="-O1 -g -fsanitize=address,undefined -fsanitize-link-c++-runtime -fno-sanitize-recover=all -DROTOI_UNROLL="
check-tsan: $(DEPS)/test.stamp
	@TSAN_OPTIONS=ignore_noninstrumented_modules=1 $(SANITIZE) BUILD=$(BUILD)/tsan CFLAGS="-O1 -g -fsanitize=thread -DROTOI_UNROLL="

fuzz: $(DEPS)/test.stamp $(BUILD)/tests/test_import
	@mkdir -p $(BUILD)/fuzz/found
	clang -std=c99 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -DROTOI_UNROLL= \
	  tests/fuzz/load.c -o $(BUILD)/fuzz/load -lm
	cd $(BUILD)/fuzz && ./load -max_total_time=60 -max_len=65536 found $(CURDIR)/tests/fuzz/corpus $(CURDIR)/model_format/valid
	@mkdir -p $(BUILD)/fuzz/onnx_found && $(BUILD)/tests/test_import seeds $(BUILD)/fuzz/onnx_found
	clang -std=c99 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -DROTOI_UNROLL= \
	  tests/fuzz/onnx.c model_format/import_onnx.c model_format/write.c -o $(BUILD)/fuzz/onnx -lm
	cd $(BUILD)/fuzz && ./onnx -max_total_time=30 -max_len=65536 onnx_found

demo: all
	@rm -rf $(DEMO) && mkdir -p $(DEMO)
	$(BUILD)/roto-train demo -o $(DEMO)/shot --frames 48 --seed 4201
	$(BUILD)/roto run $(DEMO)/shot --model demo/puppet.roto --crops $(DEMO)/shot/crop.json --smooth full \
	  -o $(DEMO)/shot.roto.json
	@echo "frame by frame:"; $(BUILD)/roto eval $(DEMO)/shot.roto.json --truth $(DEMO)/shot --raw
	@echo "smoothed:"; $(BUILD)/roto eval $(DEMO)/shot.roto.json --truth $(DEMO)/shot
	$(BUILD)/roto suggest $(DEMO)/shot.roto.json --top 3 | tee $(DEMO)/suggested
	@echo "an artist corrects the first of them:"
	demo/fix_frame.sh $(DEMO)/shot.roto.json $(DEMO)/shot/truth.roto.json $$(awk '{print $$1; exit}' $(DEMO)/suggested)
	$(BUILD)/roto smooth $(DEMO)/shot.roto.json --model demo/puppet.roto
	@$(BUILD)/roto eval $(DEMO)/shot.roto.json --truth $(DEMO)/shot
	$(BUILD)/roto run $(DEMO)/shot --model demo/puppet.roto --crops $(DEMO)/shot/crop.json --smooth full \
	  --skip-existing -o $(DEMO)/shot.roto.json --preview $(DEMO)/preview --sheet $(DEMO)/sheet.png
	$(BUILD)/roto matte $(DEMO)/shot.roto.json -o '$(DEMO)/mattes/{shape}.###.png'
	$(BUILD)/roto plot $(DEMO)/shot.roto.json -o $(DEMO)/plot.png
	@echo "document $(DEMO)/shot.roto.json, contact sheet $(DEMO)/sheet.png, overlays $(DEMO)/preview/, mattes $(DEMO)/mattes/, plot $(DEMO)/plot.png"

# The recipe of demo/puppet.roto: 32 shots, judged on 4 others; none has the seed of the demo's shot.
demo-train: all
	@mkdir -p $(DEMO)-train
	$(BUILD)/roto-train demo -o $(DEMO)-train/shots --shots 32 --frames 48 --size 224x224 --close --seed 1000
	$(BUILD)/roto-train demo -o $(DEMO)-train/held_out --shots 4 --frames 48 --size 224x224 --close --seed 9000
	$(BUILD)/roto-train landmarks $(DEMO)-train/shots --validation $(DEMO)-train/held_out --net tiny --epochs 40 --batch 32 \
	  --evaluate-every 10 --average 0.998 --name puppet27 \
	  --description "The demo's puppet: 27 landmarks, trained on rendered shots" -o $(DEMO)-train/puppet.roto
	$(BUILD)/roto-train shapes $(DEMO)-train/shots --validation $(DEMO)-train/held_out -o $(DEMO)-train/puppet.roto
	$(BUILD)/roto-train refine $(DEMO)-train/shots --validation $(DEMO)-train/held_out -o $(DEMO)-train/puppet.roto
	for model in demo/puppet.roto $(DEMO)-train/puppet.roto; do \
	  echo $$model; $(BUILD)/roto-train eval --model $$model --data $(DEMO)-train/held_out; done

bench-shot: all
	tools/bench_shot.sh $(BUILD)

bench-film: all
	tools/bench_film.sh $(BUILD) $(DATA) $(MODEL)

# The farm example on a Slurm of one node; as root.
check-slurm: all
	@sh tools/setup.sh $(DEPS) slurm
	@tests/check_slurm.sh $(BUILD)

bench: all
	tools/bench_peers.sh $(BUILD)

# Man pages, completions, the reference of roto.h: from what the programs and the header say themselves.
docs: all
	@tools/docs.sh $(BUILD) $(BUILD)/doc $(PREFIX)

install: docs
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/share/doc/roto
	install -s $(BUILD)/roto $(BUILD)/roto-train $(DESTDIR)$(PREFIX)/bin
	install -m 644 roto.h $(DESTDIR)$(PREFIX)/include
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man1 $(BUILD)/doc/roto.1 $(BUILD)/doc/roto-train.1
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/pkgconfig $(BUILD)/doc/roto.pc
	install -D -m 644 $(BUILD)/doc/roto.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/roto
	ln -sf roto $(DESTDIR)$(PREFIX)/share/bash-completion/completions/roto-train
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/zsh/site-functions $(BUILD)/doc/_roto
	install -m 644 $(BUILD)/doc/api.md docs/*.md docs/*.jpg LICENSE $(DESTDIR)$(PREFIX)/share/doc/roto
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/roto/nuke tools/nuke/*.py
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/roto/blender tools/blender/*.py

# $(DEPS) stays: without it the next build would need the network again.
clean:
	find $(BUILD) -mindepth 1 -maxdepth 1 ! -path $(DEPS) -exec rm -rf {} +

.PHONY: bench-shot bench-film check-blender4 check-slurm all help roto.h test check-hosts test-programs check-asan check-tsan fuzz demo demo-train bench docs install clean FORCE
-include $(wildcard $(BUILD)/*.d $(BUILD)/*/*.d)
