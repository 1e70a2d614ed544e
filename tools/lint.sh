#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Style, spelling and release notes; every check runs, any failure fails.
set -u
cd "$(dirname "$0")/.."

failed=0
check() {
    echo "+ $*"
    "$@" || failed=1
}

check ruff check
check ruff format --check
check codespell
mapfile -t texts < <(git ls-files '*.rst')
if [ ${#texts[@]} -gt 0 ]; then
    check sphinx-lint --enable all --disable line-too-long "${texts[@]}"
fi
if [ -d releasenotes/notes ]; then
    check reno lint
fi
exit "$failed"
