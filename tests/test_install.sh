#!/bin/sh
# `make install` and what is made from --help and roto.h: tests/test_install.sh FOLDER, where FOLDER holds the programs.
#
# Everything is where packages expect it; man pages and completions know every command and option that the programs do; the reference
# knows every function; the installed header compiles through pkg-config.  Parts that need groff, bash, zsh or pkg-config are
# skipped without them.  make help names every target.
set -u

build=$1
passed=0
failed=0
skipped=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pass() { passed=$((passed + 1)); }
fail() {
  failed=$((failed + 1))
  echo "FAILED: $*"
}
has() { command -v "$1" >/dev/null || { skipped=$((skipped + 1)); echo "SKIP $2: no $1 here"; return 1; }; }

make -s install BUILD="$build" DESTDIR="$work/root" PREFIX=/usr >"$work/log" 2>&1 && pass || { fail "make install"; tail -n 5 "$work/log"; }
root=$work/root/usr
for file in bin/roto bin/roto-train include/roto.h share/pkgconfig/roto.pc share/man/man1/roto.1 share/man/man1/roto-train.1 \
  share/bash-completion/completions/roto share/bash-completion/completions/roto-train share/zsh/site-functions/_roto \
  share/doc/roto/api.md share/doc/roto/artist.md share/doc/roto/td.md share/doc/roto/farm.md share/doc/roto/trainer.md \
  share/doc/roto/review.jpg share/roto/nuke/feature_detect.py share/roto/nuke/menu.py share/roto/blender/roto_blender.py; do
  [ -s "$root/$file" ] && pass || fail "$file is not installed"
done
for program in roto roto-train; do
  "$root/bin/$program" --version | grep -Eq "^$program [0-9.]+, build ([0-9a-f]{9}\+?|unknown), (scalar|avx2|avx512)$" && pass ||
    fail "$program --version: $("$root/bin/$program" --version)"
done

# make help names every target that is meant to be called.
make -s help >"$work/help"
for target in $(sed -n 's/^\.PHONY: //p' Makefile); do
  case $target in all | help | test-programs | FORCE) continue ;; esac
  grep -q "^make $target " "$work/help" && pass || fail "make help does not name $target"
done

# Every command of --help, with every option of its own --help.
for program in roto roto-train; do
  plain=$work/$program.txt
  sed 's/\\-/-/g; s/\\f[BIR]//g' "$root/share/man/man1/$program.1" >"$plain"
  count=0
  for name in $("$build/$program" --help | awk '/^  [a-z]/ {print $1; found = 1; next} found && /^$/ {exit}'); do
    grep -q "^\.SS $program $name " "$plain" && pass || fail "$program.1 has no $name"
    grep -q "'$program $name '\*) words=" "$root/share/bash-completion/completions/roto" && pass || fail "bash completion has no $program $name"
    count=$((count + 1))
    for option in $("$build/$program" "$name" --help | awk '/^  -/ {print $1}'); do
      awk -v head=".SS $program $name " -v option="$option" 'index($0, ".SS ") == 1 {on = index($0, head) == 1}
        on && ($0 == option || index($0, option " ") == 1) {found = 1} END {exit !found}' "$plain" && pass ||
        fail "$program.1, $name: no $option"
    done
  done
  [ $count -gt 4 ] && pass || fail "$program: only $count commands were found"
  if has groff "$program.1"; then
    groff -man -Tascii -P-cbu -ww "$root/share/man/man1/$program.1" >"$work/page" 2>"$work/warnings"
    [ ! -s "$work/warnings" ] && grep -q 'EXIT STATUS' "$work/page" && pass || fail "groff on $program.1: $(head -n 3 "$work/warnings")"
  fi
done

complete() { # WORDS...: what bash offers for the last of them
  bash -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _roto; echo "${COMPREPLY[*]}"' - "$root/share/bash-completion/completions/roto" "$@"
}
offers() { # EXPECTED WORDS...
  expected=$1
  shift
  found=$(complete "$@")
  [ "$found" = "$expected" ] && pass || fail "completing '$*': expected '$expected', found '$found'"
}
if has bash 'bash completion'; then
  offers 'review' roto rev
  offers '--missing' roto review shot.roto.json --mis
  offers '' roto review sh
  offers 'import' roto-train dataset im
  offers '--margin' roto-train dataset crop plates --mar
fi
if has zsh 'zsh completion'; then zsh -n "$root/share/zsh/site-functions/_roto" && pass || fail "zsh does not read _roto"; fi

for name in $(grep -o '\broto_[a-z0-9_]*(' roto.h | sort -u | tr -d '('); do
  grep -q "^ROTO_API .*\b$name(" runtime/api.h || continue
  grep -q "^### .*\`$name\`" "$root/share/doc/roto/api.md" && pass || fail "api.md has no $name"
done
if has pkg-config 'the installed header'; then
  printf '#define ROTO_IMPLEMENTATION\n#include <roto.h>\nint main(void) { return roto_status_text(ROTO_OK) == 0; }\n' >"$work/use.c"
  flags=$(PKG_CONFIG_PATH=$root/share/pkgconfig PKG_CONFIG_SYSROOT_DIR=$work/root pkg-config --cflags --libs roto)
  ${CC:-cc} -std=c99 -O0 "$work/use.c" -I"$root/include" $flags -o "$work/use" && "$work/use" && pass || fail "a program with pkg-config's flags: $flags"
fi
echo "test_install: $passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
