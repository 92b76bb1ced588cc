# shellcheck shell=sh
# The harness of the test scripts, as check.h is that of the programs.  A script that is started in the project's folder with the
# folder of the programs as $1 begins with `. tests/check.sh`, works in an empty temporary folder from then on, and ends with `finish`.

top=$(pwd)
build=$(cd "$1" && pwd) || exit 1
passed=0
failed=0
skipped=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

pass() { passed=$((passed + 1)); }
# fail WHAT...: with the first lines of what the last command said.
fail() {
  failed=$((failed + 1))
  echo "FAILED: $*"
  [ ! -f err ] || head -n 8 out err
}
skip() {
  skipped=$((skipped + 1))
  echo "SKIP $*"
}
# runs STATUS PATTERN COMMAND...: it must end with this status, stdout (then in ./out) and stderr (./err) together match the pattern,
# if it is not empty.
runs() {
  status=$1 pattern=$2
  shift 2
  timeout 300 "$@" >out 2>err
  found=$?
  if [ $found = "$status" ] && { [ -z "$pattern" ] || cat out err | grep -Eq -- "$pattern"; }; then pass; else
    fail "$* (exit status $found, expected $status and '$pattern')"
  fi
}
holds() { # FILE PATTERN
  if grep -Eq -- "$2" "$1"; then pass; else fail "$1 does not hold '$2'"; fi
}
same() {
  if cmp -s "$1" "$2"; then pass; else fail "$1 and $2 differ"; fi
}
differ() {
  if cmp -s "$1" "$2"; then fail "$1 and $2 are the same"; else pass; fi
}
# that EXPRESSION WHAT: an awk expression that must be true.
that() {
  if awk "BEGIN {exit !($1)}"; then pass; else fail "$2: expected $1"; fi
}
# finish NAME: the line that tests/run looks for, and the exit status.
finish() {
  echo "$1: $passed passed, $failed failed, $skipped skipped"
  [ $failed = 0 ] && [ $passed != 0 ]
}
