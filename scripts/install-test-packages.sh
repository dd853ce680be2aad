#!/bin/sh
# Installs the Debian packages that the tests use, as far as they are missing. It never
# fails: where it may not or cannot install, it says what is missing and what is skipped.
set -u

# CPython's own tests; the package is named for the version of python3.
testsuite=lib$( (dpkg-query -W -f='${Depends}' python3 || apt-cache show python3) 2>/dev/null |
	grep -o 'python3\.[0-9]*' | head -n 1)-testsuite
[ "$testsuite" != lib-testsuite ] || testsuite=libpython3.11-testsuite

# package, a space, the tests that need it
wanted='git TestIntegration: git; TestRecipes
gitweb TestIntegration: gitweb; TestRecipes
awstats TestIntegration: awstats; TestAWStats
perl TestIntegration: CGI.pm, awstats, gitweb
libcgi-pm-perl TestIntegration: CGI.pm, gitweb
python3 TestIntegration: FieldStorage
gcc the race detector; TestIntegration: all with programs in C
libc6-dev the race detector; TestIntegration: all with programs in C
mawk TestIntegration: awk
curl TestIntegration: Expect
util-linux TestIntegration: daemon, grandchildren
nginx TestIntegration: nginx in front; TestNothingLost; TestInsteadOfFcgiwrap; TestRecipes
apache2-bin TestIntegration: Apache in front; TestRecipes
lighttpd TestIntegration: lighttpd in front
haproxy TestIntegration: HAProxy in front
pebble internal/site: TestACME
nghttp2-client TestHTTPSClients: h2load
openssl TestHTTPSClients: openssl s_client
caddy TestIntegration: Caddy in front
libfcgi-dev TestResponders, TestAuthorizer, TestFilter, TestWorkersKilled; fastcgi: programs in C
libfcgi-bin fastcgi: cgi-fcgi
libfcgi-perl TestResponders: FCGI.pm; TestPlackSuite; TestRecipes
libcgi-fast-perl TestCGIFast
libplack-perl TestPlackSuite
libnet-fastcgi-perl fastcgi: an independent codec
spawn-fcgi TestResponders: connected; TestRecipes
ruby TestResponders: Ruby
ruby-fcgi TestResponders: Ruby
php-cgi TestResponders, TestPHP, TestDokuWiki: spawned; TestRecipes
php-fpm TestResponders, TestPHP, TestDokuWiki: connected
php-xml TestDokuWiki
dokuwiki TestDokuWiki
logrotate TestLogrotate
goaccess TestGoAccess
uwsgi-core TestUWSGI
uwsgi-plugin-python3 TestComingFrom
gunicorn TestComingFrom
libapache2-mod-fcgid TestComingFrom
systemd TestRecipes: systemd; cmd: TestUnits
bash cmd/gatehouse TestBashCompletes
zsh cmd/gatehouse TestZshCompletes
fish cmd/gatehouse TestFishCompletes
mandoc cmd/gatehouse TestManPages
groff-base cmd/gatehouse TestManPagesAreClean
man-db cmd/gatehouse TestScripts/man
python3-flask TestWSGI: Flask; TestRecipes
python3-django TestWSGI: Django; TestRecipes
python3-httpbin TestWSGI: httpbin
python3-pyramid TestWSGI: Pyramid
python3-bottle TestWSGI: Bottle
chromium internal/admin TestBrowser
nodejs internal/admin TestBrowser
prometheus internal/admin TestMetricNames: promtool
'"$testsuite"' scripts: TestWSGICPython'
command -v npm >/dev/null || wanted="$wanted
npm internal/admin TestBrowser" # nodejs from elsewhere has it, and conflicts with the package

missing() {
	echo "$wanted" | while read -r package tests; do
		case $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) in
		installed) ;;
		*) echo "$package" ;;
		esac
	done
}

# give_up WHY tells what the lack means.
give_up() {
	echo "install-test-packages: $1" >&2
	echo "$wanted" | while read -r package tests; do
		if echo "$lack" | grep -qx "$package"; then
			echo "install-test-packages: $package is missing; skipped for it: $tests" >&2
		fi
	done
	exit 0
}

if ! command -v dpkg-query >/dev/null; then
	lack=$(echo "$wanted" | cut -d' ' -f1)
	echo 'install-test-packages: this is no Debian system; tests whose programs are not found are skipped' >&2
	exit 0
fi
lack=$(missing)
[ -z "$lack" ] && exit 0

root=
if [ "$(id -u)" != 0 ]; then
	sudo -n true 2>/dev/null || give_up 'only root may install packages'
	root='sudo -n'
fi

# Packages must not start services. Debian asks this file before it does.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap '$root rm -f "$policy"' EXIT
	trap 'exit 1' HUP INT TERM
	printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null && $root chmod 755 "$policy" ||
		give_up "cannot write $policy"
fi

apt() {
	$root env DEBIAN_FRONTEND=noninteractive timeout 300 apt-get -q \
		-o DPkg::Lock::Timeout=120 -o Acquire::Retries=2 "$@" </dev/null
}

# The lists on the machine may do, or be too old, or not be there.
log=$(mktemp)
# shellcheck disable=SC2086 # one word for each package
if ! apt install -y --no-install-recommends $lack >"$log" 2>&1; then
	apt update >"$log" 2>&1
	apt install -y --no-install-recommends $lack >>"$log" 2>&1 || tail -n 5 "$log" >&2
fi
rm -f "$log"

lack=$(missing)
[ -z "$lack" ] || give_up 'apt-get did not install everything'
