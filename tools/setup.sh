#!/bin/sh
# Installs what the build lacks: setup.sh FOLDER [test|hosts|blender4|slurm]
#
# Debian packages come through apt-get (root, or sudo); packages that are there already are left alone.  cJSON is special:
# Debian ships it as a shared library only and roto is one static file, so its *source* package is fetched through the
# machine's own apt sources, read again as source entries in a private apt configuration under FOLDER, and compiled into
# FOLDER/libcjson.a.  Nothing outside FOLDER is changed by that part, and it needs no root.
#
# `test` adds what the test suite needs: clang's sanitizers, OpenMP for clang, and Python, node, Lua and xmllint to
# read what `roto export` writes.  `hosts` adds the programs that `make check-hosts` hands our files to: a browser and its driver,
# Blender and melt.  `blender4` unpacks the Blender of the next Debian under FOLDER/blender4, with all it needs, and installs nothing.
# Stamp files make a second run immediate, and an offline one possible once the first has succeeded.
set -eu

deps=$1
packages='gcc g++ make libc6-dev libstb-dev libtinyexr-dev zlib1g-dev dpkg-dev clang lld wasi-libc'
stamp=$deps/build.stamp
if [ "${2:-}" = test ]; then
  packages="$packages libclang-rt-dev libomp-dev binutils python3 nodejs lua5.4 libxml2-utils"
  stamp=$deps/test.stamp
fi
if [ "${2:-}" = hosts ]; then
  packages="$packages chromium chromium-driver nodejs fonts-dejavu-core python3 blender melt"
  stamp=$deps/hosts.stamp
fi
if [ "${2:-}" = slurm ]; then
  packages="$packages slurmctld slurmd slurm-client munge"
  stamp=$deps/slurm.stamp
fi
mkdir -p "$deps"
deps=$(cd "$deps" && pwd)

fail() {
  echo "ERROR: $*" >&2
  exit 1
}

install_packages() {
  command -v dpkg >/dev/null || {
    echo "setup: not a Debian system; expecting these to be installed: $packages" >&2
    return
  }
  missing=
  for package in $packages; do
    dpkg -s "$package" 2>/dev/null | grep -q '^Status: .* installed' || missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  echo "setup: installing$missing"
  sudo=
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "these packages are missing and there is neither root nor sudo:$missing; install them, then run make again"
    sudo=sudo
  fi
  log=$deps/apt-get.log
  $sudo apt-get update >"$log" 2>&1 || fail "apt-get update failed, see $log: $(tail -n 1 "$log")"
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing >>"$log" 2>&1 ||
    fail "apt-get install$missing failed, see $log: $(tail -n 1 "$log")"
}

# The machine's apt sources with deb replaced by deb-src, and every folder apt writes to moved under $1.
private_apt() {
  mkdir -p "$1/parts" "$1/lists/partial" "$1/cache/archives/partial"
  [ ! -f /etc/apt/sources.list ] || sed 's/^deb[[:space:]]/deb-src /' /etc/apt/sources.list >"$1/parts/main.list"
  for file in /etc/apt/sources.list.d/*.list; do
    [ ! -f "$file" ] || sed 's/^deb[[:space:]]/deb-src /' "$file" >"$1/parts/${file##*/}"
  done
  for file in /etc/apt/sources.list.d/*.sources; do
    [ ! -f "$file" ] || sed 's/^Types:.*/Types: deb-src/' "$file" >"$1/parts/${file##*/}"
  done
  cat >"$1/apt.conf" <<CONF
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "$1/parts";
Dir::State::Lists "$1/lists";
Dir::Cache "$1/cache";
Acquire::Languages "none";
$([ "$(id -u)" != 0 ] || echo 'APT::Sandbox::User "root";')
CONF
}

fetch_cjson() {
  [ ! -f "$deps/libcjson.a" ] || return 0
  echo "setup: fetching cJSON's Debian source package"
  log=$deps/cjson.log
  rm -rf "$deps/apt" "$deps/source"
  mkdir -p "$deps/source" "$deps/include/cjson"
  private_apt "$deps/apt"
  (cd "$deps/source" && APT_CONFIG=$deps/apt/apt.conf && export APT_CONFIG && apt-get update && apt-get source cjson) \
    >"$log" 2>&1 || fail "cannot fetch the source package cjson, see $log: $(grep -E '^[EW]:' "$log" | tail -n 1)"
  cp "$deps"/source/cjson-*/cJSON.h "$deps/include/cjson/"
  ${CC:-gcc} -O2 -c -o "$deps/cJSON.o" "$deps"/source/cjson-*/cJSON.c
  ar rc "$deps/libcjson.a.new" "$deps/cJSON.o"
  mv "$deps/libcjson.a.new" "$deps/libcjson.a"
  rm -rf "$deps/apt"
}

# Debian 12 has Blender 3.4, Debian 13 has 4.3: its packages, unpacked, run beside the system's with their own loader.
fetch_blender4() {
  folder=$deps/blender4 log=$deps/blender4.log
  echo "setup: fetching Blender of Debian 13, about 300 MB"
  mkdir -p "$folder/parts" "$folder/lists/partial" "$folder/cache/archives/partial" "$folder/root"
  : >"$folder/status"
  mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | head -n 1) # the machine's own
  [ -n "$mirror" ] || fail "apt knows no mirror of Debian: apt-get update, then run make again"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$folder/parts/trixie.list"
  cat >"$folder/apt.conf" <<CONF
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "$folder/parts";
Dir::State::Lists "$folder/lists";
Dir::State::status "$folder/status";
Dir::Cache "$folder/cache";
Acquire::Languages "none";
APT::Install-Recommends "false";
$([ "$(id -u)" != 0 ] || echo 'APT::Sandbox::User "root";')
CONF
  (APT_CONFIG=$folder/apt.conf && export APT_CONFIG && apt-get update && apt-get install -y --download-only -o Debug::NoLocking=1 blender) >"$log" 2>&1 ||
    fail "cannot fetch blender of Debian 13, see $log: $(grep -E '^[EW]:' "$log" | tail -n 1)"
  for package in "$folder"/cache/archives/*.deb; do dpkg-deb -x "$package" "$folder/root"; done
  rm -rf "$folder/cache" "$folder/lists"
  cat >"$folder/blender" <<END
#!/bin/sh
root=$folder/root lib=$folder/root/usr/lib/x86_64-linux-gnu
export BLENDER_SYSTEM_PYTHON=\$root/usr PYTHONHOME=\$root/usr BLENDER_SYSTEM_RESOURCES=\$root/usr/share/blender
exec \$root/usr/lib64/ld-linux-x86-64.so.2 --library-path "\$lib:\$root/usr/lib:\$lib/pulseaudio:\$lib/blas:\$lib/lapack" "\$root/usr/bin/blender" "\$@"
END
  chmod +x "$folder/blender"
}

if [ "${2:-}" = blender4 ]; then
  fetch_blender4
  touch "$deps/blender4.stamp"
  exit
fi
install_packages
fetch_cjson
touch "$stamp"
