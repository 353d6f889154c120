#!/usr/bin/env bash
# Installs, upgrades or removes the Constellation agent on a host with systemd. See --help.
set -euo pipefail
umask 022

USAGE="Usage: install.sh [OPTIONS]

Installs the agent: the executable, its user, its systemd unit, a commented configuration and a cluster key.
Run it again to upgrade. A configuration or key that exists is never changed.

  --binary FILE   the executable (default: dist/constellation beside this script's folder)
  --prefix DIR    where the executable goes, in DIR/bin (default: /usr/local)
  --root DIR      install below DIR instead of /, for images and packages: no user is made, nothing is started
  --no-start      do not enable, start or restart the service
  --uninstall     stop the service and remove what was installed; configuration, key, data and user stay
  -h, --help      this text

Exit codes: 0 done, 1 failed, 64 usage."

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
binary=$here/dist/constellation
prefix=/usr/local
root=
start=yes
action=install

say() { printf '%s\n' "$*"; }

fail() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}

usage_error() {
  printf 'install.sh: %s\nTry --help.\n' "$*" >&2
  exit 64
}

while (($# > 0)); do
  case $1 in
    --binary=* | --prefix=* | --root=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
    --binary | --prefix | --root)
      [[ -n ${2:-} ]] || usage_error "$1 needs a value"
      case $1 in
        --binary) binary=$2 ;;
        --prefix) prefix=${2%/} ;;
        --root) root=${2%/} ;;
      esac
      shift 2
      ;;
    --no-start) start=no && shift ;;
    --uninstall) action=uninstall && shift ;;
    -h | --help) say "$USAGE" && exit 0 ;;
    *) usage_error "unknown argument: $1" ;;
  esac
done
[[ $prefix == /* ]] || usage_error "--prefix must be an absolute path, not $prefix"
# The path goes into the unit, where spaces and percent signs have a meaning.
[[ $prefix =~ ^[A-Za-z0-9/._+-]+$ ]] || usage_error "--prefix may hold letters, digits and / . _ + - only, not $prefix"

program=$prefix/bin/constellation
target=$root$program
etc=$root/etc/constellation
unit=$root/etc/systemd/system/constellation.service
sysusers=$root/etc/sysusers.d/constellation.conf
tmpfiles=$root/etc/tmpfiles.d/constellation.conf

# True on the running host, with systemd as PID 1.
systemd_runs() { [[ -z $root && -d /run/systemd/system ]] && command -v systemctl >/dev/null; }

# put MODE SOURCE TARGET: replaces TARGET in one step, so that a running executable is no obstacle and a reader never
# sees half a file.
put() {
  mkdir -p "$(dirname "$3")"
  install -m "$1" "$2" "$3.new"
  mv -f "$3.new" "$3"
}

exists() { [[ -e $1 || -L $1 ]]; }

install_files() {
  put 0755 "$binary" "$target"
  mkdir -p "$(dirname "$unit")"
  sed "s#^ExecStart=/usr/local/bin/constellation #ExecStart=$program #" "$here/systemd/constellation.service" >"$unit.new"
  chmod 0644 "$unit.new"
  mv -f "$unit.new" "$unit"
  put 0644 "$here/systemd/constellation.sysusers" "$sysusers"
  put 0644 "$here/systemd/constellation.tmpfiles" "$tmpfiles"
  say "installed $target"
}

make_user() {
  if [[ -n $root ]]; then return; fi
  if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers "$sysusers"
  elif ! id constellation >/dev/null 2>&1; then
    useradd --system --user-group --home-dir /var/lib/constellation --no-create-home \
      --shell /usr/sbin/nologin --comment 'Constellation cluster agent' constellation
  fi
}

install_config() {
  install -d -m 0750 "$etc"
  if exists "$etc/constellation.yaml"; then
    say "kept $etc/constellation.yaml"
  else
    put 0640 "$here/systemd/constellation.yaml" "$etc/constellation.yaml"
    say "wrote $etc/constellation.yaml"
  fi
}

install_key() {
  local key=$etc/cluster.key
  if exists "$key"; then
    say "kept $key"
    return
  fi
  (umask 077 && "$target" keygen >"$key.new") || { rm -f "$key.new" && fail 'constellation keygen failed'; }
  if [[ ! -s $key.new ]]; then
    rm -f "$key.new"
    fail 'constellation keygen printed no key'
  fi
  chmod 0640 "$key.new"
  mv -n "$key.new" "$key"
  say "wrote $key: every other node of the cluster needs the same file"
}

# Owners and modes of the folders, the configuration and the key; the unit depends on them.
set_owners() {
  if [[ -n $root ]]; then return; fi
  if command -v systemd-tmpfiles >/dev/null; then
    systemd-tmpfiles --create "$tmpfiles"
  else
    chown root:constellation "$etc" "$etc/constellation.yaml" "$etc/cluster.key"
    install -d -m 0700 -o constellation -g constellation /var/lib/constellation
  fi
}

start_service() {
  if ! systemd_runs; then
    say 'systemd does not run here: nothing was started'
    return
  fi
  systemctl daemon-reload
  if [[ $start == no ]]; then return; fi
  # 1: only service files have mistakes, and those keep no agent from starting.
  "$target" validate "$etc/constellation.yaml" || [[ $? -eq 1 ]] ||
    fail "not started: correct $etc/constellation.yaml first"
  systemctl enable --quiet constellation.service
  systemctl restart constellation.service || fail 'the service did not start: see journalctl -u constellation'
  say 'started; check it with scripts/verify.sh, see its log with journalctl -fu constellation'
}

uninstall() {
  if systemd_runs && [[ -e $unit ]]; then
    systemctl disable --quiet --now constellation.service || fail 'the service could not be stopped'
  fi
  rm -f "$unit" "$sysusers" "$tmpfiles" "$target"
  if systemd_runs; then systemctl daemon-reload; fi
  say "removed; kept are $etc, $root/var/lib/constellation and the user constellation"
}

if [[ -z $root && $EUID -ne 0 ]]; then fail 'must run as root (or use --root DIR)'; fi
if [[ $action == uninstall ]]; then
  uninstall
  exit 0
fi
[[ -f $binary ]] || fail "$binary does not exist: build it with \`npm run build\` or give --binary FILE"
"$binary" version >/dev/null || fail "$binary does not run on this machine"
install_files
make_user
install_config
install_key
set_owners
start_service
