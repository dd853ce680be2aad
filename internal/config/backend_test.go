package config_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"gatehouse/internal/config"
)

func TestBackends(t *testing.T) {
	with := func(change func(*config.Backend)) *config.Backend {
		b := config.NewBackend()
		b.KeepAlive = false
		change(b)
		return b
	}
	full := with(func(b *config.Backend) {
		b.Command, b.Dir, b.User = []string{"etc/bin/app", "-x", "{port}"}, "etc/app", "www-data"
		b.Env = []config.Var{{Name: "A", Value: "1"}}
		b.Workers, b.MinWorkers, b.WorkerIdleTimeout, b.Concurrency = 8, 1, config.Duration(5*time.Second), 3
		b.MaxRequests, b.MaxMemory, b.StartTimeout = 500, 64<<20, config.Duration(2*time.Second)
		b.KeepAlive, b.ConnectionIdleTimeout, b.AbortGrace = true, config.Duration(9*time.Second), 0
		b.CatchStderr, b.Role = []string{"PHP Fatal"}, "filter"
	})
	const fullText = "workers = 8, min_workers = 1, worker_idle_timeout = '5s', concurrency = 3, max_requests = 500," +
		"max_memory = '64MiB', start_timeout = '2s', keep_alive = true, connection_idle_timeout = '9s', abort_grace = '0s'," +
		"catch_stderr = ['PHP Fatal'], role = 'filter'"
	rows := []struct {
		name, text string
		want       *config.Backend
	}{
		{"one address", "fastcgi = 'LocalHost:9000'", with(func(b *config.Backend) { b.Addresses = []string{"localhost:9000"} })},
		{"several", "fastcgi = ['[0::1]:9', 'unix:run/a.sock', 'dns:app.example.org:9000', 'srv:_fcgi._tcp.example.org']", with(func(b *config.Backend) {
			b.Addresses = []string{"[::1]:9", "unix:etc/run/a.sock", "dns:app.example.org:9000", "srv:_fcgi._tcp.example.org"}
		})},
		{"in a table", "fastcgi = { address = ['unix:/a', '10.0.0.1:9'], connections = 5, keep_alive = true, connect_timeout = '1s', health_path = '/ping' }", with(func(b *config.Backend) {
			b.Addresses, b.Connections, b.KeepAlive, b.ConnectTimeout = []string{"unix:/a", "10.0.0.1:9"}, 5, true, config.Duration(time.Second)
			b.HealthPath, b.HealthInterval = "/ping", config.Duration(10*time.Second)
		})},
		{"asked for its values", "fastcgi = { address = 'unix:/a', health_interval = '1m', health_timeout = '1s' }", with(func(b *config.Backend) {
			b.Addresses, b.HealthInterval, b.HealthTimeout = []string{"unix:/a"}, config.Duration(time.Minute), config.Duration(time.Second)
		})},
		{"command", "fastcgi = { command = ['php-cgi'], workers = 2 }", with(func(b *config.Backend) {
			b.Command, b.Dir, b.KeepAlive, b.Workers, b.MinWorkers = []string{"php-cgi"}, "etc", true, 2, 2
		})},
		{"inline table", "root = '/d'\nfastcgi = { command = ['bin/app', '-x', '{port}'], dir = 'app', user = 'www-data', env = { A = '1' }, " + fullText + " }", full},
		{"sub-table", "root = '/d'\n[site.route.fastcgi]\ncommand = ['bin/app', '-x', '{port}']\ndir = 'app'\nuser = 'www-data'\n" +
			strings.NewReplacer(", ", "\n", ",", "\n").Replace(fullText) + "\n[site.route.fastcgi.env]\nA = '1'\n", full},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			got := parse(t, "[[site]]\n[[site.route]]\npath = '/x/'\n"+r.text).Sites[0].Routes[0]
			got.FastCGI.Line = 0
			if !reflect.DeepEqual(got.FastCGI, r.want) {
				t.Errorf("\n got %+v\nwant %+v", got.FastCGI, r.want)
			}
			if !got.PassAuthorization { // A33
				t.Error("Authorization is not passed")
			}
		})
	}
}

// A33: Authorization reaches applications that are connected to, and no CGI program.
func TestPassAuthorization(t *testing.T) {
	for text, want := range map[string]bool{
		"scgi = 'unix:/x'": true, "fastcgi = 'unix:/x'": true, "cgi = '/x'": false,
		"fastcgi = 'unix:/x'\npass_authorization = false":                       false,
		"cgi = '/x'\npass_authorization = true":                                 true,
		"cgi = '/x'\nauthorize = 'unix:/a'":                                     false,
		"static = '/x/'\nauthorize = 'unix:/a'\ntimeout = '1s'\nenv = {A = ''}": false,
	} {
		r := parse(t, "[[site]]\n[[site.route]]\npath = '/x/'\n"+text).Sites[0].Routes[0]
		if r.PassAuthorization != want {
			t.Errorf("%s: got %v", text, r.PassAuthorization)
		}
		if strings.Contains(text, "authorize") && (r.Authorize == nil || r.Authorize.Addresses[0] != "unix:/a") {
			t.Errorf("%s: authorizer %+v", text, r.Authorize)
		}
	}
}

// index.php is an index where PHP is run, unless something else is said.
func TestIndexOfPHP(t *testing.T) {
	for text, want := range map[string]string{
		"[[site.route]]\npath = '*.php'\nfastcgi = 'unix:/x'":                         "index.html index.cgi index.php",
		"index = ['a']\n[[site.route]]\npath = '*.php'\nfastcgi = 'unix:/x'":          "a",
		"[[site.route]]\npath = '*.phtml'\nfastcgi = 'unix:/x'":                       "index.html index.cgi",
		"route = [{ path = '*.php', fastcgi = { command = ['php-cgi'] } }]\nenv = {}": "index.html index.cgi index.php",
	} {
		s := parse(t, "[[site]]\nroot = '/x'\n"+text).Sites[0]
		if got := strings.Join(s.Index, " "); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func TestListenKeys(t *testing.T) {
	c := parse(t, "listen = ['fastcgi:unix:run/a', 'scgi:[::1]:0', 'systemd:', 'fastcgi:systemd:b', 'fd:0']\nlisten_mode = '600'\nlisten_owner = 'www-data'\nlisten_group = '33'")
	var got []string
	for _, l := range c.Listen {
		got = append(got, l.Protocol+" "+l.Network+" "+l.Address)
	}
	want := []string{"fastcgi unix etc/run/a", "scgi tcp [::1]:0", "http systemd ", "fastcgi systemd b", "http fd 0"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if c.ListenMode != 0o600 || c.ListenOwner != "www-data" || c.ListenGroup != "33" {
		t.Errorf("got %v %q %q", c.ListenMode, c.ListenOwner, c.ListenGroup)
	}
	checkErrors(t, "listen = ['systemd:', 'fastcgi:systemd:', 'fd:3', 'fd:03']\nlisten_mode = 660\nlisten_owner = 33\nlisten_group = 'a b'",
		`g:1:23: listen: address "fastcgi:systemd:" is listed twice`,
		`g:1:51: listen: address "fd:03" is listed twice`,
		`g:2:15: listen_mode: expected a string, got an integer (write "660")`,
		`g:3:16: listen_owner: expected a string, got an integer (write "33")`,
		`g:4:16: listen_group: bad name "a b" (expected a name or a number)`)
	checkErrors(t, "listen_mode = 'rw'", `g:1:15: listen_mode: bad mode "rw" (expected one as in "0660", by which at least the owner may connect)`)
	checkErrors(t, "listen_mode = '0444'", `g:1:15: listen_mode: bad mode "0444" (expected one as in "0660", by which at least the owner may connect)`)
	checkErrors(t, "listen_mode = '1777'", `g:1:15: listen_mode: bad mode "1777" (expected one as in "0660", by which at least the owner may connect)`)
}

func TestBackendErrors(t *testing.T) {
	rows := []struct {
		name, text string
		want       []string
	}{
		{"type", "fastcgi = 9000", []string{`g:4:11: site.route.fastcgi: expected an address, several, or a table, got an integer`}},
		{"empty", "fastcgi = ''", []string{`g:4:11: site.route.fastcgi: empty address (expected "host:port", "unix:/path", "dns:name:port" or "srv:_service._tcp.name")`}},
		{"none", "fastcgi = []", []string{`g:4:11: site.route.fastcgi: no address`}},
		{"empty table", "fastcgi = {}", []string{`g:4:11: site.route.fastcgi: none of address and command (expected exactly one)`}},
		{"both", "fastcgi = { address = 'unix:/a', command = ['a'] }", []string{
			`g:4:44: site.route.fastcgi.command: a command beside an address (expected exactly one of address and command)`}},
		{"twice", "fastcgi = ['unix:/a', 'unix:/a/../a']", []string{`g:4:23: site.route.fastcgi: address "unix:/a/../a" is listed twice`}},
		{"addresses", "fastcgi = ['/run/a', 'fcgi://h:1', ':9000', 'h:0', 'h', 'dns:10.0.0.1:9', 'srv:example.org', 'unix:', 'dns:x']", []string{
			`g:4:12: site.route.fastcgi: bad address "/run/a" (write "unix:/run/a")`,
			`g:4:22: site.route.fastcgi: bad address "fcgi://h:1" (write "h:1")`,
			`g:4:36: site.route.fastcgi: no host in address ":9000" (write "127.0.0.1:9000" for this machine)`,
			`g:4:45: site.route.fastcgi: bad port "0" in "h:0" (expected a number from 1 to 65535)`,
			`g:4:52: site.route.fastcgi: bad address "h" (expected "host:port", "unix:/path", "dns:name:port" or "srv:_service._tcp.name")`,
			`g:4:57: site.route.fastcgi: "10.0.0.1" is an address, no name (write "10.0.0.1:9")`,
			`g:4:75: site.route.fastcgi: bad service name "example.org" (expected one as in "_fcgi._tcp.example.org")`,
			`g:4:94: site.route.fastcgi: empty socket path (expected "unix:/path")`,
			`g:4:103: site.route.fastcgi: bad address "x" (expected "host:port", "unix:/path", "dns:name:port" or "srv:_service._tcp.name")`}},
		{"unknown", "fastcgi = { command = ['a'], wokers = 2, timeout = '1s', xyzzy = 1 }", []string{
			`g:4:30: site.route.fastcgi.wokers: unknown key (did you mean "workers"?)`,
			`g:4:42: site.route.fastcgi.timeout: not allowed here (it belongs at the top of the main file, before any table)`,
			`g:4:58: site.route.fastcgi.xyzzy: unknown key`}},
		{"outside", "fastcgi = 'unix:/a'\nworkers = 2", []string{`g:5:1: site.route.workers: not allowed here (it belongs inside fastcgi, scgi or authorize)`}},
		{"for a command", "fastcgi = { address = 'unix:/a', workers = 2, env = {}, user = 'x' }", []string{
			`g:4:34: site.route.fastcgi.workers: does nothing with address (it is for command)`,
			`g:4:47: site.route.fastcgi.env: does nothing with address (it is for command)`,
			`g:4:57: site.route.fastcgi.user: does nothing with address (it is for command)`}},
		{"for an address", "fastcgi = { command = ['a'], connections = 2, health_path = '/' }", []string{
			`g:4:30: site.route.fastcgi.connections: does nothing with command (it is for address)`,
			`g:4:47: site.route.fastcgi.health_path: does nothing with command (it is for address)`}},
		{"numbers", "fastcgi = { command = ['a'], workers = 0, min_workers = 5, start_timeout = '0s', max_requests = -1, concurrency = 'x' }", []string{
			`g:4:40: site.route.fastcgi.workers: bad number 0 (expected one from 1 to 10000)`,
			`g:4:57: site.route.fastcgi.min_workers: more than workers, of which there are 4`,
			`g:4:76: site.route.fastcgi.start_timeout: bad duration "0s" (expected more than 0)`,
			`g:4:97: site.route.fastcgi.max_requests: bad number -1 (expected one from 0 to 1000000000)`,
			`g:4:115: site.route.fastcgi.concurrency: expected an integer, got a string`}},
		{"idle keys", "fastcgi = { command = ['a'], worker_idle_timeout = '1s', keep_alive = false, connection_idle_timeout = '1s' }", []string{
			`g:4:52: site.route.fastcgi.worker_idle_timeout: does nothing when all workers are kept ready (set min_workers to less than workers)`,
			`g:4:104: site.route.fastcgi.connection_idle_timeout: does nothing without keep_alive = true`}},
		{"idle keys of an address", "fastcgi = { address = 'unix:/a', health_timeout = '1s', connection_idle_timeout = '1s' }", []string{
			`g:4:51: site.route.fastcgi.health_timeout: does nothing without a health_path or a health_interval`,
			`g:4:83: site.route.fastcgi.connection_idle_timeout: does nothing without keep_alive = true`}},
		{"commands", "fastcgi = { command = 'php-cgi -x' }", []string{
			`g:4:23: site.route.fastcgi.command: expected an array, got a string (write ["php-cgi -x"])`}},
		{"empty command", "fastcgi = { command = [] }", []string{
			`g:4:23: site.route.fastcgi.command: empty command (expected a program and its arguments, as in ["php-cgi"])`}},
		{"empty program", "fastcgi = { command = [''] }", []string{`g:4:24: site.route.fastcgi.command: empty path`}},
		{"both places", "scgi = { command = ['a', '{socket}', '--port={port}'] }", []string{
			`g:4:20: site.route.scgi.command: both {socket} and {port} in it (a program listens on one of them)`}},
		{"roles", "fastcgi = { command = ['a'], role = 'authorizer' }", []string{
			`g:4:37: site.route.fastcgi.role: bad role "authorizer" (an authorizer stands beside a handler: write authorize = { ... })`}},
		{"role", "fastcgi = { command = ['a'], role = 'x' }", []string{
			`g:4:37: site.route.fastcgi.role: bad role "x" (expected "responder" or "filter")`}},
		{"only fastcgi", "scgi = { address = 'unix:/a', keep_alive = true, role = 'filter' }", []string{
			`g:4:31: site.route.scgi.keep_alive: not allowed here (it belongs inside fastcgi, scgi or authorize)`,
			`g:4:50: site.route.scgi.role: not allowed here (it belongs inside fastcgi, scgi or authorize)`}},
		{"names", "scgi = ['dns:a:1', 'srv:_x._tcp.a']", []string{
			`g:4:9: site.route.scgi: address "dns:a:1" is for fastcgi (expected "host:port" or "unix:/path")`,
			`g:4:20: site.route.scgi: address "srv:_x._tcp.a" is for fastcgi (expected "host:port" or "unix:/path")`}},
		{"no text", "fastcgi = { command = ['a'], catch_stderr = [''] }", []string{
			`g:4:46: site.route.fastcgi.catch_stderr: empty text (it would be found everywhere)`}},
		{"environment", "fastcgi = { command = ['a'], env = { HTTP_A = '1', LD_PRELOAD = 'x' } }", []string{
			`g:4:38: site.route.fastcgi.env.HTTP_A: variable "HTTP_A" is for the request's header fields`,
			`g:4:52: site.route.fastcgi.env.LD_PRELOAD: variable "LD_PRELOAD" would change how programs are loaded`}},
		{"limits of an address", "fastcgi = 'unix:/a'\nprocesses = 2\nmemory = '1MB'\nkill_grace = '1s'\nnph = true\ncpu = '1s'", []string{
			`g:5:1: site.route.processes: does nothing in a route with fastcgi (it is for cgi and wsgi with mode = "cgi")`,
			`g:6:1: site.route.memory: does nothing in a route with fastcgi to an address (it is for cgi, wsgi and a command)`,
			`g:7:1: site.route.kill_grace: does nothing in a route with fastcgi to an address (it is for cgi, wsgi and a command)`,
			`g:8:1: site.route.nph: does nothing in a route with fastcgi (it is for cgi)`,
			`g:9:1: site.route.cpu: does nothing in a route with fastcgi (it is for cgi and wsgi with mode = "cgi")`}},
		{"limits of a command", "scgi = { command = ['a'] }\nmemory = '1MB'\nkill_grace = '1s'\nlinger = '1s'\ninterim = true\nfinish_anyway = true", []string{
			`g:7:1: site.route.linger: does nothing in a route with scgi (it is for cgi and wsgi with mode = "cgi")`,
			`g:8:1: site.route.interim: does nothing in a route with scgi (it is for cgi and fastcgi)`,
			`g:9:1: site.route.finish_anyway: does nothing in a route with scgi (it is for cgi and wsgi with mode = "cgi")`}},
		{"root", "fastcgi = 'unix:/a'\nroot = '/x'", []string{`g:5:8: site.route.root: does nothing in this route (it is for fastcgi with role = "filter")`}},
		{"root of cgi", "cgi = '/a'\nroot = '/x'", []string{`g:5:1: site.route.root: does nothing in a route with cgi (it is for fastcgi)`}},
		{"filter without files", "fastcgi = { command = ['a'], role = 'filter' }", []string{
			`g:2:1: site.route: root is missing (expected the folder of the files that the filter gets)`}},
		{"authorizer beside files", "static = '/x/'\nauthorize = { command = ['a'], role = 'filter' }\nmemory = '1MB'\nmax_body = '1MB'", []string{
			`g:5:32: site.route.authorize.role: not allowed here (it belongs inside fastcgi, scgi or authorize)`,
			`g:7:1: site.route.max_body: does nothing in a route with static (it is for cgi, fastcgi, scgi and wsgi)`}},
		{"authorizer alone", "authorize = 'unix:/a'", []string{`g:2:1: site.route: none of cgi, fastcgi, scgi, wsgi, static and redirect (expected exactly one)`}},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) { checkErrors(t, "[[site]]\n[[site.route]]\npath = '/x/'\n"+r.text, r.want...) })
	}
	checkErrors(t, "[[site]]\nroot = 'a'\n[[site.route]]\npath = '*.html'\nroot = '/x'\nfastcgi = { command = ['a'], role = 'filter' }\n[[site.route]]\npath = '/x'\nroot = '/x'\nfastcgi = { command = ['a'], role = 'filter' }",
		`g:5:8: site.route.root: does nothing with the path "*.html" (the filter gets files of the site's root)`,
		`g:8:8: site.route.path: a filter does not go with the path "/x" (write the path as "/x/")`)
}

// The defaults of an application's keys, written out, change nothing.
func TestBackendKeysTellTheDefaults(t *testing.T) {
	tried := 0
	for _, k := range config.Keys() {
		var value map[string]any
		if toml.Unmarshal([]byte("x = "+k.Default), &value) != nil || !strings.HasPrefix(k.Tables[0], "site.route.") || k.Tables[0] == "site.route.wsgi" {
			continue
		}
		for _, start := range []string{"command = ['a'], min_workers = 1", "address = 'unix:/a', keep_alive = true, health_interval = '1s'"} {
			text := "[[site]]\n[[site.route]]\npath = '/x/'\nfastcgi = { " + start
			want := parse(t, text+" }")
			got, err := config.Parse("etc/g.toml", []byte(text+", "+k.Name+" = "+k.Default+" }"))
			if err != nil {
				if !strings.Contains(err.Error(), "does nothing with") {
					t.Errorf("%s: %v", k.Name, err)
				}
				continue
			}
			if tried++; !reflect.DeepEqual(meaning(got), meaning(want)) {
				t.Errorf("%s = %s:\n got %+v\nwant %+v", k.Name, k.Default, got.Sites[0].Routes[0].FastCGI, want.Sites[0].Routes[0].FastCGI)
			}
		}
	}
	if tried < 14 {
		t.Errorf("%d defaults tried", tried)
	}
}
