#!/usr/bin/env bash
# Checks an installed Constellation agent and says in one line each what is wrong. See --help.
set -euo pipefail

USAGE="Usage: verify.sh [OPTIONS]

Checks the agent of this host. One line per check: ok, warn, skip (could not be checked), FAIL.

  --binary FILE           the executable (default: constellation from PATH, else /usr/local/bin/constellation)
  --config FILE           its configuration (default: /etc/constellation/constellation.yaml)
  --http-addr HOST:PORT   its HTTP API (default: \$CONSTELLATION_HTTP_ADDR, else http.listen of the configuration)
  --root DIR              look for unit, configuration, key and data below DIR instead of /
  --quiet                 print only what is not ok
  --json                  print one JSON array of {check, status, message}
  -h, --help              this text

Exit codes: 0 nothing failed, 1 something is wrong, 64 usage."

SECONDS_MAX=5
FREE_KB_MIN=262144
FREE_KB_WARN=1048576

binary=
config=
http_addr=${CONSTELLATION_HTTP_ADDR:-}
root=
quiet=no
json=no
binary_runs=no
failures=0
json_rows=()

usage_error() {
  printf 'verify.sh: %s\nTry --help.\n' "$*" >&2
  exit 64
}

while (($# > 0)); do
  case $1 in
    --binary=* | --config=* | --http-addr=* | --root=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
    --binary | --config | --http-addr | --root)
      [[ -n ${2:-} ]] || usage_error "$1 needs a value"
      case $1 in
        --binary) binary=$2 ;;
        --config) config=$2 ;;
        --http-addr) http_addr=$2 ;;
        --root) root=${2%/} ;;
      esac
      shift 2
      ;;
    --quiet) quiet=yes && shift ;;
    --json) json=yes && shift ;;
    -h | --help) printf '%s\n' "$USAGE" && exit 0 ;;
    *) usage_error "unknown argument: $1" ;;
  esac
done

# One line of text, safe inside a JSON string.
json_text() {
  local text=${1//\\/\\\\}
  text=${text//\"/\\\"}
  tr -d '\000-\037' <<<"$text"
}

# report STATUS CHECK MESSAGE
report() {
  local message
  message=$(tr '\n\t' '  ' <<<"$3" | sed 's/ *$//')
  if [[ $1 == FAIL ]]; then failures=$((failures + 1)); fi
  if [[ $json == yes ]]; then
    json_rows+=("{\"check\":\"$2\",\"status\":\"${1,,}\",\"message\":\"$(json_text "$message")\"}")
  elif [[ $quiet == no || $1 != ok ]]; then
    printf '%-4s  %-9s %s\n' "$1" "$2" "$message"
  fi
}

# limited COMMAND...: ends it after a few seconds, so that one hanging part does not hide the others.
limited() { timeout --kill-after=1s "${SECONDS_MAX}s" "$@" </dev/null; }

# setting SECTION KEY DEFAULT: a plain value of the configuration, written as a block or as { key: value }.
# The agent itself judges the file (`constellation validate`); this only has to find what a valid one says.
setting() {
  local value=
  if [[ -r $config ]]; then
    value=$(awk -v section="$1" -v key="$2" '
      { sub(/(^|[ \t])#.*$/, "") }
      /^[^ \t]/ { inside = (section == "" || index($0, section ":") == 1) }
      inside && match($0, "(^|[ \t{,])" key ":[ \t]*") {
        if (section == "" && RSTART != 1) next
        rest = substr($0, RSTART + RLENGTH)
        if (rest ~ /^"/) { sub(/^"/, "", rest); sub(/".*$/, "", rest) }
        else if (rest ~ /^\x27/) { sub(/^\x27/, "", rest); sub(/\x27.*$/, "", rest) }
        else sub(/[ \t,}].*$/, "", rest)
        print rest
        exit
      }' "$config")
  fi
  printf '%s' "${value:-$3}"
}

# An address to listen on is not always one to dial.
dialable() {
  case $1 in
    0.0.0.0:* | '*':* | :*) printf '127.0.0.1:%s' "${1##*:}" ;;
    '[::]':*) printf '[::1]:%s' "${1##*:}" ;;
    *) printf '%s' "$1" ;;
  esac
}

# get PATH: body of an answer of the agent, then its HTTP status on a line of its own (000 = no answer).
get() { limited curl -sS --noproxy '*' --max-time "$SECONDS_MAX" -w '\n%{http_code}' "http://$http_addr$1" 2>&1 || true; }

check_binary() {
  local version
  if [[ -z $binary && -z $root ]]; then binary=$(command -v constellation || true); fi
  if [[ -z $binary ]]; then binary=$root/usr/local/bin/constellation; fi
  if [[ ! -x $binary ]]; then
    report FAIL binary "$binary is not there or not executable"
  elif version=$(limited "$binary" version 2>&1); then
    binary_runs=yes
    report ok binary "$binary $version"
  else
    report FAIL binary "$binary does not run: ${version:-no answer}"
  fi
}

check_unit() {
  local unit folder state
  for folder in /etc/systemd/system /usr/local/lib/systemd/system /usr/lib/systemd/system /lib/systemd/system; do
    unit=$root$folder/constellation.service
    if [[ -e $unit ]]; then break; fi
  done
  if [[ ! -e $unit ]]; then
    report FAIL unit 'constellation.service is not installed: run scripts/install.sh'
  elif [[ -n $root || ! -d /run/systemd/system ]]; then
    report ok unit "$unit (systemd does not run here)"
  else
    state=$(limited systemctl is-active constellation.service 2>/dev/null || true)
    if [[ $state != active ]]; then
      report FAIL unit "constellation.service is ${state:-unknown}: see journalctl -u constellation"
    elif ! limited systemctl is-enabled --quiet constellation.service 2>/dev/null; then
      report warn unit 'constellation.service runs but is not enabled: it will not start at boot'
    else
      report ok unit 'constellation.service is active and enabled'
    fi
  fi
}

check_config() {
  local answer
  if [[ ! -r $config ]]; then
    report FAIL config "$config does not exist, or $(id -un) cannot read it"
  elif [[ $binary_runs == no ]]; then
    report skip config 'no executable to check it with'
  elif answer=$(limited "$binary" validate "$config" 2>&1); then
    report ok config "$config is valid"
  elif [[ $? -eq 1 && $answer == *"ok: $config"* ]]; then
    report warn config "$config is valid, its service files are not: ${answer#*"ok: $config"}"
  else
    report FAIL config "${answer:-$config is not valid}"
  fi
}

check_key() {
  local key mode owner
  key=$(setting cluster key_file '')
  if [[ -z $key ]]; then
    key=$root/etc/constellation/cluster.key
    if [[ ! -e $key ]]; then
      report warn key 'no cluster.key_file: this node can only be a cluster of its own'
      return
    fi
  else
    if [[ $key != /* ]]; then key=$(dirname "$config")/$key; else key=$root$key; fi
  fi
  if ! mode=$(stat -L -c %a "$key" 2>/dev/null); then
    report FAIL key "$key does not exist: make it with constellation keygen, or copy it from another node"
    return
  fi
  owner=$(stat -L -c %U "$key")
  if (((8#$mode & 8#027) != 0)); then
    report FAIL key "$key has mode $mode: others can read or change it; run chmod 640 $key"
  elif [[ $owner != root && $owner != constellation && $owner != "$(id -un)" ]]; then
    report FAIL key "$key belongs to $owner, who can change it; run chown root:constellation $key"
  elif [[ ! -s $key ]]; then
    report FAIL key "$key is empty"
  else
    report ok key "$key has mode $mode, owner $owner"
  fi
}

# check_port NAME ADDRESS: whether somebody accepts connections there.
check_port() {
  local address host port
  address=$(dialable "$2")
  host=${address%:*} port=${address##*:}
  host=${host#[} host=${host%]}
  # shellcheck disable=SC2016 # The inner shell expands these.
  if limited bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$host" "$port" 2>/dev/null; then
    report ok "$1" "$address accepts connections"
  else
    report FAIL "$1" "nothing listens on $address"
  fi
}

check_mesh_port() {
  if [[ -z $(setting cluster key_file '') ]]; then
    report skip mesh 'without cluster.key_file the mesh does not listen'
  else
    check_port mesh "$(setting mesh listen 127.0.0.1:7946)"
  fi
}

# refused CHECK PATH ANSWER: reports an answer that is not 200. False if it is 200.
refused() {
  local status=${3##*$'\n'}
  if [[ $status == 200 ]]; then return 1; fi
  report FAIL "$1" "$2 answers $status: ${3%$'\n'*}"
}

# check_endpoint CHECK PATH
check_endpoint() {
  local answer
  answer=$(get "$2")
  if ! refused "$1" "$2" "$answer"; then report ok "$1" "$2 answers 200"; fi
}

check_leader() {
  local answer
  answer=$(get /v1/status/leader)
  if refused leader /v1/status/leader "$answer"; then return; fi
  if [[ ${answer%$'\n'*} =~ ^\"([^\"]+)\"[[:space:]]*$ ]]; then
    report ok leader "the leader is ${BASH_REMATCH[1]}"
  else
    report FAIL leader 'the cluster has no leader: are more than half of its nodes up and reachable?'
  fi
}

# Status in /v1/agent/members: 1 alive, 2 leaving, 3 left, 4 failed.
check_members() {
  local answer statuses failed alive
  answer=$(get /v1/agent/members)
  if refused members /v1/agent/members "$answer"; then return; fi
  statuses=$(grep -oE '"Status" *: *[0-9]+' <<<"$answer" | grep -oE '[0-9]+$' || true)
  alive=$(grep -cx 1 <<<"$statuses" || true)
  failed=$(grep -cx 4 <<<"$statuses" || true)
  if ((failed > 0)); then
    report FAIL members "$failed failed, $alive alive: see constellation members"
  elif ((alive == 0)); then
    report FAIL members 'no member is alive, not even this one'
  else
    report ok members "$alive alive, none failed"
  fi
}

check_http() {
  local answer
  if ! command -v curl >/dev/null; then
    check_port http "$http_addr"
    report skip health 'curl is not installed: health, leader and members were not checked'
    return
  fi
  answer=$(get /healthz)
  if [[ ${answer##*$'\n'} == 000 ]]; then
    report FAIL http "no answer from http://$http_addr: ${answer%$'\n'*}"
    report skip health 'health, leader and members were not checked: the API does not answer'
    return
  fi
  check_endpoint health /healthz
  check_endpoint ready /readyz
  check_leader
  check_members
}

# The cluster orders nothing by the wall clock; certificates, tokens and logs depend on it.
check_clock() {
  local now built synchronized
  now=$(date +%s)
  built=$(stat -L -c %Y "$binary" 2>/dev/null || printf 0)
  if ((now + 86400 < built)); then
    report FAIL clock "$(date -u +%FT%TZ) is before the executable was built: set the clock"
    return
  fi
  synchronized=
  if [[ -d /run/systemd/system ]]; then
    synchronized=$(limited timedatectl show -p NTPSynchronized --value 2>/dev/null || true)
  fi
  if [[ $synchronized == no ]]; then
    report warn clock "$(date -u +%FT%TZ), but it is not synchronised: turn on NTP"
  else
    report ok clock "$(date -u +%FT%TZ)"
  fi
}

check_disk() {
  local folder free
  folder=$root$(setting '' data_dir /var/lib/constellation)
  if [[ ! -d $folder ]]; then
    report warn disk "$folder does not exist yet"
    return
  fi
  free=$(df -Pk "$folder" 2>/dev/null | awk 'NR == 2 { print $4 }')
  if [[ ! $free =~ ^[0-9]+$ ]]; then
    report skip disk "df does not tell about $folder"
  elif ((free < FREE_KB_MIN)); then
    report FAIL disk "$((free / 1024)) MB free in $folder: the log cannot grow"
  elif ((free < FREE_KB_WARN)); then
    report warn disk "$((free / 1024)) MB free in $folder"
  else
    report ok disk "$((free / 1024)) MB free in $folder"
  fi
}

if [[ -z $config ]]; then config=$root/etc/constellation/constellation.yaml; fi
if [[ -z $http_addr ]]; then http_addr=$(setting http listen 127.0.0.1:8500); fi
http_addr=$(dialable "${http_addr#http://}")
http_addr=${http_addr%/}

check_binary
check_unit
check_config
check_key
check_mesh_port
check_port dns "$(setting dns listen 127.0.0.1:8600)"
check_http
check_clock
check_disk

if [[ $json == yes ]]; then
  (
    IFS=,
    printf '[%s]\n' "${json_rows[*]}"
  )
elif [[ $quiet == no && $failures -gt 0 ]]; then
  printf '%d failed\n' "$failures"
fi
if ((failures > 0)); then exit 1; fi
