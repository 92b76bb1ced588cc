#!/bin/sh
# What is installed beside the programs, made from what they say themselves: tools/docs.sh BUILD OUT PREFIX, from the root of the
# project, where BUILD holds the programs.
#
#   OUT/roto.1, roto-train.1   man pages, from every command's --help
#   OUT/roto.bash, _roto       completion of commands and options for bash and zsh, from the same
#   OUT/api.md                 reference of roto.h, from the comments of runtime/api.h
#   OUT/roto.pc                for pkg-config
set -eu

build=$1 out=$2 prefix=$3
mkdir -p "$out"
version=$(sed -n 's/#define ROTO_VERSION_STRING "\(.*\)"/\1/p' runtime/api.h)

# The commands that a --help lists: name, tab, summary.
list() {
  awk '/^  [a-z]/ {name = $1; sub(/^ *[^ ]+ +/, ""); print name "\t" $0; found = 1; next} found && /^$/ {exit}'
}

# Every command by its full name, those inside others too: `roto-train dataset crop`.
commands() { # PROGRAM
  "$build/$1" --help | list | cut -f 1 | while read -r name; do
    if "$build/$1" "$name" --help | head -n 1 | grep -q 'COMMAND \.\.\.'; then
      "$build/$1" "$name" --help | list | cut -f 1 | sed "s/^/$1 $name /"
    else
      echo "$1 $name"
    fi
  done
}
help() { # COMMAND
  set -- $1
  program=$1
  shift
  "$build/$program" "$@" --help
}

man_page() { # PROGRAM, SUMMARY
  cat <<EOF
.TH $(echo "$1" | tr a-z A-Z) 1 "" "roto $version" "roto"
.SH NAME
$1 \\- $2
.SH SYNOPSIS
.B $1
.I COMMAND
\\&...
.SH COMMANDS
EOF
  commands "$1" | while read -r command; do
    help "$command" | awk '
      function roff(s) { gsub(/\\/, "\\e", s); gsub(/-/, "\\-", s); return s ~ /^[.\047]/ ? "\\&" s : s }
      NR == 1 {sub(/^usage: /, ""); print ".SS " roff($0); next}
      /^example:/ {print ".PP\nExample:\n.PP\n.nf\n.RS 4"; example = 1; next}
      example {sub(/^  /, ""); print roff($0); next}
      /^  -/ {
        name = $1; rest = substr($0, index($0, name) + length(name)); value = ""
        if (rest ~ /^ [^ ]/) value = $2
        text = value == "" ? rest : substr(rest, length(value) + 2)
        sub(/^ +/, "", text)
        print ".TP\n\\fB" roff(name) "\\fR" (value == "" ? "" : " \\fI" roff(value) "\\fR") "\n" roff(text)
        next
      }
      /^$/ {print ".PP"; next}
      {print roff($0)}
      END {if (example) print ".RE\n.fi"}'
  done
  cat <<'EOF'
.SH EXIT STATUS
0 everything asked for is on disk, 1 failed, 2 usage, 3 bad input or missing frames, 4 bad model, 5 write error; 128 + signal when
stopped.
.SH ENVIRONMENT
.TP
.B CUE_THREADS, SLURM_CPUS_PER_TASK, NSLOTS
the threads that a render farm grants, used where
.B \-\-threads
does not say; the first that is set counts.
.SH SEE ALSO
EOF
  echo ".BR $([ "$1" = roto ] && echo roto-train || echo roto) (1)"
}

options() { help "$1" | awk '/^  -/ {print $1}'; }

bash_completion() {
  echo "# bash completion for roto and roto-train"
  echo "_roto() {"
  echo "  local words=() word=\${COMP_WORDS[COMP_CWORD]}"
  echo "  case \"\${COMP_WORDS[0]##*/} \${COMP_WORDS[*]:1:COMP_CWORD-1} \" in"
  for program in roto roto-train; do
    echo "    '$program  ') words=($("$build/$program" --help | list | cut -f 1 | tr '\n' ' ')--help --version) ;;"
    commands "$program" | while read -r command; do echo "    '$command '*) words=($(options "$command" | tr '\n' ' ')) ;;"; done
    "$build/$program" --help | list | cut -f 1 | while read -r name; do
      if help "$program $name" | head -n 1 | grep -q 'COMMAND \.\.\.'; then
        echo "    '$program $name '*) words=($(help "$program $name" | list | cut -f 1 | tr '\n' ' ')--help) ;;"
      fi
    done
  done
  cat <<'EOF'
  esac
  [[ $word == -* || ${words[0]} != -* ]] || words=()
  COMPREPLY=($(compgen -W "${words[*]}" -- "$word"))
}
complete -o default -F _roto roto roto-train
EOF
}

zsh_completion() {
  echo "#compdef roto roto-train"
  echo "local -a choices"
  echo "case \"\${words[1]:t} \${words[2,CURRENT-1]} \" in"
  pairs() { sed "s/'/'\\\\''/g; s/:/\\\\:/g; s/\t/:/; s/.*/'&'/" | tr '\n' ' '; }
  for program in roto roto-train; do
    echo "  '$program  ') choices=($("$build/$program" --help | list | pairs)) ;;"
    commands "$program" | while read -r command; do
      echo "  '$command '*) choices=($(help "$command" | awk '/^  -/ {n = $1; sub(/^ *[^ ]+ [^ ]* +/, ""); print n "\t" $0}' | pairs)) ;;"
    done
    "$build/$program" --help | list | cut -f 1 | while read -r name; do
      if help "$program $name" | head -n 1 | grep -q 'COMMAND \.\.\.'; then
        echo "  '$program $name '*) choices=($(help "$program $name" | list | pairs)) ;;"
      fi
    done
  done
  cat <<'EOF'
esac
if [[ $PREFIX == -* || $choices[1] != -* ]]; then
  _describe 'choice' choices
else
  _files
fi
EOF
}

# Declarations with the comment above each; a line of dashes in a comment begins a section.
api_reference() {
  echo "# roto.h $version"
  awk '
    function names(code,   list, rest, name) {
      list = ""
      rest = code
      if (code ~ /(^|\n)ROTO_API /)
        while (match(rest, /roto_[a-z0-9_]+\(/)) {
          name = substr(rest, RSTART, RLENGTH - 1)
          rest = substr(rest, RSTART + RLENGTH)
          list = list (list == "" ? "" : ", ") "`" name "`"
        }
      else
        while (match(rest, /typedef [^;{]*(struct|enum) roto_[a-z0-9_]+/)) {
          name = substr(rest, RSTART, RLENGTH)
          rest = substr(rest, RSTART + RLENGTH)
          sub(/.* /, "", name)
          list = list (list == "" ? "" : ", ") "`" name "`"
        }
      return list
    }
    function flush(   heading) {
      if (code != "") {
        heading = names(code)
        if (heading != "") print "\n### " heading
        if (comment != "") print "\n" comment
        print "\n```c\n" code "```"
      } else if (comment != "" && section) print "\n" comment
      comment = code = ""
      section = 0
    }
    in_comment || /^\/\*/ {
      if (!in_comment) flush()
      line = $0
      sub(/^\/\* ?/, "", line); sub(/^ \* ?/, "", line); sub(/ *\*\/.*$/, "", line)
      if (match(line, /^---- [^.]*\./)) {
        print "\n## " substr(line, 6, RLENGTH - 6)
        line = substr(line, RLENGTH + 2)
        section = 1
      }
      if (line != "" || comment != "") comment = comment (comment == "" ? "" : "\n") line
      in_comment = $0 !~ /\*\//
      if (NR == 1 || first) { first = in_comment; section = 1 }
      next
    }
    /^#(if|ifdef|ifndef|else|endif|include|define ROTO_API)/ && depth == 0 {next}
    /^(extern "C"|}$)/ && depth == 0 {next}
    /^$/ {if (depth == 0) flush(); else code = code "\n"; next}
    {
      code = code $0 "\n"
      line = $0
      depth += gsub(/{/, "", line) - gsub(/}/, "", line)
    }
    END {flush()}' runtime/api.h
}

man_page roto 'find landmarks in the frames of a shot and draw its roto shapes' >"$out/roto.1"
man_page roto-train 'train the models that roto uses' >"$out/roto-train.1"
bash_completion >"$out/roto.bash"
zsh_completion >"$out/_roto"
api_reference >"$out/api.md"
cat >"$out/roto.pc" <<EOF
prefix=$prefix
includedir=\${prefix}/include

Name: roto
Description: finds landmarks in frames and draws roto shapes; one header
Version: $version
Cflags: -I\${includedir}
Libs: -lm
EOF
