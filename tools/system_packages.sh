#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Make sure that programs which pip cannot install are there:
#
#     tools/system_packages.sh mariadbd galera dot
#
# What is missing is installed with apt by root; anybody else is told how.
set -euo pipefail

PATH="$PATH:/usr/sbin"

is_there() {
    case $1 in
        # A library for the server, which looks for it at this place.
        galera) [ -e /usr/lib/galera/libgalera_smm.so ] ;;
        # The server alone cannot make a data folder.
        mariadbd)
            command -v mariadbd >/dev/null &&
                command -v mariadb-install-db >/dev/null
            ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

package_of() {
    case $1 in
        mariadbd) echo mariadb-server ;;
        galera) echo galera-4 ;;
        dot) echo graphviz ;;
        *)
            echo "tools/system_packages.sh: no package known for $1" >&2
            exit 2
            ;;
    esac
}

missing=()
for program in "$@"; do
    is_there "$program" || missing+=("$(package_of "$program")")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "Missing: ${missing[*]}. As root on Debian or Ubuntu:" >&2
    echo "    apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}"
