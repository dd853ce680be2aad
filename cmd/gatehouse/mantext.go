package main

const manDescription = `Gatehouse runs CGI programs (RFC 3875), FastCGI, SCGI and WSGI applications, and serves files. It
listens for HTTP, or as a FastCGI or SCGI application for a web server in front. It gives every program limits, ends whatever
the program leaves running, keeps the processes of an application alive, and when something fails it says why.

Flags may stand before or behind a command's other arguments; behind "--" nothing is a flag. Flags with a short
and a long name are the same with either. Times are written as in 500ms, 60s or 1m30s.`

// manSections are the sections of gatehouse(1) behind its commands.
var manSections = []struct {
	title, text string
	items       []example
}{
	{"Exit status", "", []example{
		{"0", "What was asked for is done."},
		{"1", "Something failed; standard error says what. Also: a configuration has mistakes, or the response was one of 500 and above."},
		{"2", "The command line is wrong."},
	}},
	{"Signals", "These are for serve and wrap.", []example{
		{"SIGINT, SIGTERM", "The server stops: it takes no more requests and lets those that run finish, for shutdown_timeout at most. A second one ends them at once."},
		{"SIGHUP", "With a configuration it is read again, as by gatehouse reload. Otherwise the server stops: its terminal has gone."},
		{"SIGUSR1", "The log files are opened anew, as by gatehouse reopen."},
		{"SIGUSR2", "The program that is now in its place takes over, as by gatehouse upgrade."},
	}},
	{"Environment", "", []example{
		{"PATH", "Where interpreters and the commands of applications are looked for. Programs get it, with TZ, and nothing else of the environment."},
		{"TMPDIR", "The folder of temporary files: of the demonstration site, and of bodies and responses where spool_dir names no other."},
		{"GOMAXPROCS, GOGC", "How many processors the server itself uses at a time, and how much memory it trades for time; see the documentation of Go's runtime."},
		{"LISTEN_FDS, LISTEN_FDNAMES, LISTEN_PID", "The sockets that systemd passes, for the addresses systemd: and systemd:NAME; see sd_listen_fds(3)."},
		{"NOTIFY_SOCKET, WATCHDOG_USEC", "Where and how often systemd wants to be told that all is well; see sd_notify(3)."},
		{"XDG_RUNTIME_DIR", "The folder of the control socket, gatehouse.sock, of a user that is not root."},
		{"NO_COLOR", "When it is set, gatehouse status uses no colours."},
	}},
	{"Files", "", []example{
		{"gatehouse.toml", "The configuration that check and config read, and init writes, when no other is named. serve reads none that it is not told of."},
		{"/run/gatehouse/control.sock", "The control socket of root's gatehouse, for status, end, reload, upgrade, reopen and stop."},
		{"/etc/gatehouse/gatehouse.toml", "The configuration that the unit for systemd names."},
	}},
	{"See also", "gatehouse.toml(5), nginx(8), apache2(8), systemd.socket(5), fcgiwrap(8), spawn-fcgi(1)", nil},
}

const manConfiguration = `One TOML file, and as many further files with sites as its include names. Relative paths are
relative to the folder of the file they stand in. Durations are written "500ms", "60s" or "1m30s", sizes "64KiB" or "10MB"
(KiB is 1024, kB 1000).

A [[site]] answers for its hosts, and without hosts for every other name. Its [[site.route]] tables say what answers for
which URL paths; the longest path that matches wins, an exact one before a prefix. What stands at the top holds for all sites,
and what stands in a site for all its routes, unless they say otherwise.

"gatehouse check FILE" reports all mistakes, with line and column; "gatehouse explain URL -c FILE" says what would answer.`

const manExample = `listen = ["127.0.0.1:8080"]

[[site]]
hosts = ["example.org"]
root  = "/srv/example/htdocs"

  [[site.route]]
  path = "/cgi-bin/"
  cgi  = "/usr/lib/cgi-bin/"
  env  = { LANG = "C.UTF-8" }

  [[site.route]]
  path    = "*.php"
  fastcgi = { command = ["php-cgi"], workers = 4 }`
