# scripts/lib/common.sh: what the scripts share: progress lines, and packages that install
# themselves where they are missing. Source it first; it moves to the top of the tree.

set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$top"

# Where things go that are built once and used by every checkout.
cache=${TITAN_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/titan/peers}

build_packages=(build-essential meson ninja-build pkg-config libuv1-dev libnghttp2-dev
    libcurl4-openssl-dev libssl-dev libcrypt-dev zlib1g-dev libisal-dev libzstd-dev libsnappy-dev libxxhash-dev libre2-dev
    libyaml-dev libexpat1-dev libc-ares-dev protobuf-compiler libprotobuf-dev protobuf-c-compiler libprotobuf-c-dev)
test_packages=(clang-14 clang-format-14 libclang-rt-14-dev libcmocka-dev openssl python3 python3-pytest python3-hpack dnsmasq-base)
peer_packages=(ca-certificates git python3 python3-venv)

say() {
    printf '%s %s\n' "$(date +%H:%M:%S)" "$*" >&2
}

die() {
    say "error: $*"
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this needs root or sudo: $*"
    fi
}

# Of the packages named, those that are not installed.
missing_packages() {
    local installed
    installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null |
        awk '$2 == "installed" {print $1}' || true)
    printf '%s\n' "$@" | grep -vxF "${installed:-none}" || true
}

# Reads apt's status lines, shows how far it is: one line on a terminal, else one every 10 %.
apt_progress() {
    local last=-1 stage percent text whole
    while IFS=: read -r stage _ percent text; do
        case $stage in
        dlstatus | pmstatus) ;;
        *) continue ;;
        esac
        whole=${percent%%.*}
        if [ -t 2 ]; then
            printf '\r%3d%% %-70.70s' "$whole" "$text" >&2
        elif [ "$((whole / 10))" != "$last" ]; then
            last=$((whole / 10))
            printf '  %3d%% %s\n' "$whole" "$text" >&2
        fi
    done
    [ ! -t 2 ] || printf '\r%80s\r' '' >&2
}

apt_lists_updated=
apt_update() {
    [ -z "$apt_lists_updated" ] || return 0
    say "refreshing the package lists"
    as_root apt-get -qq -o DPkg::Lock::Timeout=300 update >&2 || say "apt-get update failed; going on with the lists there are"
    apt_lists_updated=yes
}

# Installs by apt-get those of the packages that are missing. Names that this release does not
# know are left out: Ubuntu 22.04 has no libclang-rt-14-dev, its clang brings the same files.
need_packages() {
    local missing name known=()
    missing=$(missing_packages "$@")
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || die "missing: $(echo $missing); this script installs packages on Debian and Ubuntu only"
    apt_update
    for name in $missing; do
        if apt-cache show "$name" >/dev/null 2>&1; then
            known+=("$name")
        fi
    done
    [ ${#known[@]} -gt 0 ] || return 0
    say "installing ${known[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -q --no-install-recommends \
        -o DPkg::Lock::Timeout=300 -o APT::Status-Fd=1 install "${known[@]}" | apt_progress
}

# meson setup of build/$1 with the options that follow, where that is not done yet, then ninja.
meson_build() {
    local dir=build/$1
    shift
    if [ ! -f "$dir/build.ninja" ]; then
        meson setup "$dir" "$@" >&2 || die "meson setup $dir failed"
    fi
    ninja -C "$dir" >&2 || die "the build in $dir failed"
}
