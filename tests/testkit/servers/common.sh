# shellcheck shell=bash
# Shared by get-mysql and get-mariadb; sourced, never run. Needs: $name (how messages are headed).
#
# What a prefix is. Both scripts print the path of a folder that looks the same wherever its server came from:
#   bin/server ARGS...        the server, without any option file, with its own libraries and message files
#   bin/initialize DATADIR [ARGS...]   makes a new data directory: root without a password at localhost and 127.0.0.1
#   bin/mysql, bin/mysqldump, bin/mysqlbinlog, bin/mysqladmin    the client tools (also bin/mariadb-* for MariaDB)
#   version                   one line: the server's version
# Nothing in it depends on where the machine's own packages are, and the machine's own packages are not touched.
#
# What is verified. apt checks the signature of the archive's InRelease file with Debian's archive keyring, the package
# index by the hashes in InRelease, and each package by the hash in the index. No step turns that checking off. If the
# machine's keyring is too old for the suite's key, the newest keyring package is first taken from the machine's own
# suite, which its own keyring can verify. A Docker image, where one is used, is trusted as Docker trusts it.

: "${name:?sourced by get-mysql and get-mariadb}"

readonly LOCK_WAIT_SECONDS=1200
readonly APT_TIMEOUT_SECONDS=60
readonly APT_RETRIES=3

cache=${MILLSTREAM_CACHE:-${HOME:?HOME is not set: set MILLSTREAM_CACHE to a folder for downloaded servers}/.cache/millstream}
PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin:/usr/libexec

say() { printf '%s: %s\n' "$name" "$*" >&2; }
fail() {
    printf '%s: error: %s\n' "$name" "$1" >&2
    shift
    for line in "$@"; do printf '    %s\n' "$line" >&2; done
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# ---------------------------------------------------------------------------------------------------------- the cache

# The prefix that an earlier run made, if there is one. `current` is a link, so that a version can be looked up offline.
cached_prefix() {
    local flavor=$1 prefix
    prefix=$(readlink -f "$cache/$flavor-current" 2>/dev/null) || return 1
    [[ -x $prefix/bin/server && -s $prefix/version ]] || return 1
    printf '%s\n' "$prefix"
}

# One process fills the cache at a time; the others wait and then find it filled.
lock_cache() {
    mkdir -p "$cache" || fail "can't make the cache folder $cache" "set MILLSTREAM_CACHE to a folder you may write to"
    exec 9>"$cache/$1.lock"
    if ! flock -n 9; then
        say "waiting for another process that is getting the same server"
        flock -w "$LOCK_WAIT_SECONDS" 9 ||
            fail "waited $LOCK_WAIT_SECONDS s for $cache/$1.lock" "another $name hangs: stop it and run this again"
    fi
}

# Moves a finished folder to its name in the cache: half a server is never seen under that name.
publish() {
    local flavor=$1 made=$2 final
    final=$cache/$flavor-$(<"$made/version")
    rm -rf "$final"
    mv "$made" "$final"
    ln -sfn "${final##*/}" "$cache/$flavor-current.new"
    mv -T "$cache/$flavor-current.new" "$cache/$flavor-current"
    printf '%s\n' "$final"
}

# -------------------------------------------------------------------------------------------------------- private apt

is_debian() { [[ -r /etc/debian_version ]] && have apt-get && have dpkg-deb && grep -qs '^ID=debian' /etc/os-release; }

codename() { sed -n 's/^VERSION_CODENAME=//p' /etc/os-release | tr -d '"'; }

# "URI SUITE" for each of the machine's own Debian suites, whichever format its sources are written in. apt says them
# itself, also where no index was ever fetched: 'URI/dists/SUITE/main/binary-amd64/Packages.xz' ...
machine_suites() {
    local code
    code=$(codename)
    if [[ -n ${MILLSTREAM_DEBIAN_MIRROR:-} ]]; then
        printf '%s %s\n' "$MILLSTREAM_DEBIAN_MIRROR" "$code"
        return
    fi
    apt-get update --print-uris 2>/dev/null |
        sed -nE "s|^'([^']*)/dists/([^']*)/main/binary-[^/]*/Packages.*|\1 \2|p" |
        awk -v code="$code" '$1 !~ /^cdrom:/ && !seen[$0]++ {
            base = $2; sub(/-(updates|security)$/, "", base)
            if (base == code || base ~ /^(stable|oldstable|testing|unstable|sid)$/) print }'
}

# The mirror of the machine's main suite, which has the other suites beside it.
machine_mirror() { machine_suites | awk '$2 !~ /-(updates|security)$/ && !found++ { print $1 }'; }

# make_apt DIR: a private apt with its own lists, cache and configuration, and with no package "installed", so that
# every dependency is fetched. Of the machine's configuration it keeps what is needed to reach the mirror (proxies,
# time checks), not the hooks, which act on the machine. Sources are written to DIR/sources.list by the caller.
make_apt() {
    local dir=$1
    mkdir -p "$dir/state/lists/partial" "$dir/cache/archives/partial" "$dir/empty"
    : >"$dir/state/status"
    {
        apt-config dump | grep -E '^Acquire::(http|https|tor|Check-|ForceIPv|AllowReleaseInfoChange|By-Hash)' || true
        cat <<CONF
Dir::Etc::main "/dev/null";
Dir::Etc::parts "$dir/empty";
Dir::Etc::sourcelist "$dir/sources.list";
Dir::Etc::sourceparts "$dir/empty";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "$dir/empty";
Dir::State "$dir/state";
Dir::State::status "$dir/state/status";
Dir::Cache "$dir/cache";
Dir::Log "$dir/empty";
APT::Sandbox::User "";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::Retries "$APT_RETRIES";
Acquire::http::Timeout "$APT_TIMEOUT_SECONDS";
Acquire::https::Timeout "$APT_TIMEOUT_SECONDS";
CONF
    } >"$dir/apt.conf"
}

# write_sources DIR KEYRING < "URI RELEASE" lines
write_sources() {
    local dir=$1 keyring=$2 uri release option=
    [[ -z $keyring ]] || option="[signed-by=$keyring] "
    while read -r uri release; do printf 'deb %s%s %s main\n' "$option" "$uri" "$release"; done >"$dir/sources.list"
}

machine_keyring() {
    local file
    for file in "${MILLSTREAM_DEBIAN_KEYRING:-}" /usr/share/keyrings/debian-archive-keyring.{pgp,gpg}; do
        if [[ -n $file && -r $file ]]; then
            printf '%s\n' "$file"
            return
        fi
    done
}

apt_update() {
    local dir=$1
    # A list that can't be fetched is only a warning to apt, which then works with what it has: nothing, here.
    APT_CONFIG=$dir/apt.conf apt-get -q update -o APT::Update::Error-Mode=any >"$dir/update.log" 2>&1
}

# update_suites DIR < "URI RELEASE" lines: fetches and verifies the indexes, with a newer keyring if that is needed.
update_suites() {
    local dir=$1 suites keyring
    suites=$(cat)
    make_apt "$dir"
    write_sources "$dir" "$(machine_keyring)" <<<"$suites"
    if apt_update "$dir"; then return; fi
    if grep -qE 'NO_PUBKEY|EXPKEYSIG|REVKEYSIG|not signed|Missing key|verif' "$dir/update.log"; then
        say "the machine's keyring can't verify this suite: fetching the newest keyring from the machine's own suite"
        keyring=$(newest_keyring "$dir/keyring") ||
            fail "couldn't get a newer debian-archive-keyring" \
                "run 'apt-get update && apt-get install debian-archive-keyring' as root and try again"
        write_sources "$dir" "$keyring" <<<"$suites"
        if apt_update "$dir"; then return; fi
    fi
    fail "couldn't read the package index of $(tr '\n' ' ' <<<"$suites")" \
        "$(tail -n 3 "$dir/update.log" | tr '\n' ' ')" \
        "check the network, or set MILLSTREAM_DEBIAN_MIRROR to a Debian mirror that can be reached"
}

newest_keyring() (
    local dir=$1 file
    make_apt "$dir"
    unset MILLSTREAM_DEBIAN_KEYRING
    write_sources "$dir" "$(machine_keyring)" < <(machine_suites)
    apt_update "$dir"
    cd "$dir" || return 1
    APT_CONFIG=$dir/apt.conf apt-get -q download debian-archive-keyring >"$dir/download.log" 2>&1
    dpkg-deb -x ./debian-archive-keyring_*.deb "$dir/unpacked"
    for file in "$dir"/unpacked/usr/share/keyrings/debian-archive-keyring.{pgp,gpg}; do
        [[ ! -f $file ]] || { readlink -f "$file" && return; }
    done
    return 1
)

# unpack_packages DIR ROOT PACKAGE...: the packages and all they depend on, downloaded, verified and unpacked in ROOT.
unpack_packages() {
    local dir=$1 root=$2 count size deb
    shift 2
    APT_CONFIG=$dir/apt.conf apt-get -qq install -y --print-uris "$@" >"$dir/uris" 2>"$dir/resolve.log" ||
        fail "the suite can't satisfy the dependencies of: $*" "$(tail -n 4 "$dir/resolve.log" | tr '\n' ' ')" \
            "Debian unstable is in motion: try again tomorrow, or install the server yourself (it is then used)"
    count=$(grep -c . "$dir/uris")
    size=$(awk '{ bytes += $3 } END { printf "%.0f", bytes / 1e6 }' "$dir/uris")
    say "downloading $count packages, $size MB, into a private folder (once; nothing is installed)"
    APT_CONFIG=$dir/apt.conf apt-get -q install -y --download-only "$@" >"$dir/download.log" 2>&1 ||
        fail "the download broke off" "$(tail -n 3 "$dir/download.log" | tr '\n' ' ')" "run this again"
    say "unpacking"
    mkdir -p "$root"
    for deb in "$dir"/cache/archives/*.deb; do
        dpkg-deb -x "$deb" "$root" || fail "couldn't unpack ${deb##*/} in $root" "is the disk full? (df -h $root)"
    done
    # The tools need no Perl, manual pages or charset converters; without them the folder is smaller.
    rm -rf "$root"/usr/share/{doc,man,perl,perl5,locale,lintian,bash-completion,info,bug} "$root"/usr/lib/*/{perl,perl5,perl-base,gconv} \
        "$root"/usr/bin/*perl* "$root"/usr/lib/*/libperl.so*
}

# package_version DIR PACKAGE: upstream's version, without Debian's epoch and revision.
package_version() {
    local deb
    for deb in "$1"/cache/archives/"$2"_*.deb; do
        dpkg-deb -f "$deb" Version | sed -e 's/^[0-9]*://' -e 's/[-+~].*//'
        return
    done
}

# ----------------------------------------------------------------------------------------------------------- prefixes

# first_of FILE...: the first that exists, without the leading "$root/".
first_of() {
    local root=$1 path
    shift
    for path in "$@"; do
        if [[ -e $root/$path ]]; then
            printf '%s\n' "$path"
            return
        fi
    done
    return 1
}

# How the wrappers start a program of the folder: by its own loader with its own libraries, since the machine's C
# library may be older. $here is the prefix at the time of the call, so that the folder can be moved or copied.
private_runner() {
    local root=$1 loader libraries
    loader=$(cd "$root" && find . -type f -name 'ld-linux*.so.*' | sed 's|^\./||' | sort | head -n 1)
    [[ -n $loader ]] || fail "no program loader among the unpacked files in $root"
    # The folders' names are data for the wrapper, which expands $here; here it must stay as it is.
    # shellcheck disable=SC2016
    libraries=$(cd "$root" && find . -name '*.so.*' \( -path './lib*' -o -path './usr/lib*' \) -printf '%h\n' | sort -u |
        grep -vE '/(plugin|engines-[0-9]+|ossl-modules|sasl2|security)$' | sed 's|^\./|$here/root/|' | paste -sd:)
    # shellcheck disable=SC2016
    printf '"$here/root/%s" --library-path "%s" "$here/root"' "$loader" "$libraries"
}

write_wrapper() {
    local file=$1 body=$2
    # shellcheck disable=SC2016
    printf '#!/bin/sh\nhere=$(cd "${0%%/*}/.." && pwd)\n%s\n' "$body" >"$file"
    chmod 755 "$file"
}

# write_tools PREFIX FAMILY ROOT RUNNER: wrappers for the client tools. FAMILY, mysql or mariadb, is how the programs'
# names begin; both families get the names that begin with mysql, MariaDB its own besides.
write_tools() {
    local prefix=$1 family=$2 root=$3 runner=$4 tool program
    for tool in mysql mysqldump mysqlbinlog mysqladmin; do
        program=$tool
        if [[ $family == mariadb ]]; then
            program=mariadb-${tool#mysql}
            program=${program%-}
        fi
        program=$(first_of "$root" "usr/bin/$program" "usr/bin/$tool" "usr/local/bin/$tool") || continue
        write_wrapper "$prefix/bin/$tool" "exec $runner/$program \"\$@\""
        [[ ${program##*/} == "$tool" ]] || ln -sf "$tool" "$prefix/bin/${program##*/}"
    done
}

# The packages bring many more programs; removing them makes the folder a third smaller.
remove_unused_tools() {
    find "$1/usr/bin" -mindepth 1 ! -name mysql ! -name mysqldump ! -name mysqlbinlog ! -name mysqladmin ! -name mariadb \
        ! -name mariadb-dump ! -name mariadb-binlog ! -name mariadb-admin -delete
}

# file_below ROOT PATTERN: the first such file; share and plugin folders differ between distributions.
file_below() {
    local root=$1 pattern=$2 found
    found=$(cd "$root" && find usr -path "$pattern" 2>/dev/null | sort | head -n 1)
    [[ -n $found ]] || fail "no $pattern among the unpacked files in $root" "remove that folder and run this again"
    printf '%s\n' "$found"
}

# The server's plugin folder; the client library has one of its own. A server without plugins gets an empty folder.
server_plugins() {
    local root=$1 folder
    folder=$(first_of "$root" usr/lib/mysql/plugin usr/lib64/mysql/plugin usr/lib/*/mysql/plugin) || folder=usr/lib/mysql/plugin
    mkdir -p "$root/$folder"
    printf '%s\n' "$folder"
}

# Every server is tried before it is published: a prefix in the cache is one that has answered.
prove() {
    local prefix=$1 version
    version=$("$prefix/bin/server" --version 2>&1) || fail "the unpacked server doesn't run" "$version"
    sed -nE 's/^.*Ver ([0-9]+\.[0-9]+\.[0-9]+).*$/\1/p' <<<"$version" >"$prefix/version"
    [[ -s $prefix/version ]] || fail "can't read a version from what the server says" "$version"
}

# unpack_image IMAGE ROOT: the files of a Docker image, to be run without Docker.
unpack_image() {
    local image=$1 root=$2 container
    docker image inspect "$image" >/dev/null 2>&1 || { say "pulling $image"; docker pull -q "$image" >&2; } || return 1
    container=$(docker create "$image") || return 1
    mkdir -p "$root"
    docker export "$container" | tar -x -C "$root" --no-same-owner --exclude='dev/*' --exclude='proc/*' --exclude='sys/*'
    docker rm "$container" >/dev/null
    # Links that name a path from the root would lead out of the folder.
    find "$root" -type l -lname '/*' -printf '%p\t%l\n' | while IFS=$'\t' read -r link target; do
        ln -sfn "$(realpath -m --relative-to="$(dirname "$link")" "$root$target")" "$link"
    done
}
