#!/bin/sh
# Installs what the test of the status page drives a browser with, from npm, into a folder of
# the user's cache: the version and the checksum are in package-lock.json beside the test. It
# never fails: where it cannot install, it says what is skipped. With --where it prints the
# folder and does nothing.
set -u

from=$(dirname "$0")/../internal/admin/testdata/browser
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}
to=$cache/gatehouse-tests/browser-$(cksum <"$from/package-lock.json" | tr ' ' -)
if [ "${1:-}" = --where ]; then
	echo "$to"
	exit 0
fi
[ -e "$to/node_modules/playwright-core/package.json" ] && exit 0

give_up() {
	echo "install-browser-driver: $1; skipped for it: internal/admin TestBrowser" >&2
	exit 0
}

command -v npm >/dev/null || give_up 'npm is missing'
new=$to.$$
trap 'rm -rf "$new"' EXIT
mkdir -p "$new" && cp "$from/package.json" "$from/package-lock.json" "$new" || give_up "cannot write $new"
log=$new/log
if ! (cd "$new" && timeout 300 npm ci --ignore-scripts --no-audit --no-fund >log 2>&1 </dev/null); then
	tail -n 3 "$log" >&2
	give_up 'npm did not install playwright-core'
fi
mv "$new" "$to" 2>/dev/null || [ -e "$to/node_modules/playwright-core/package.json" ] || give_up "cannot write $to"
