package config_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"gatehouse/internal/config"
)

func TestWSGI(t *testing.T) {
	with := func(change func(*config.WSGI)) *config.WSGI {
		w := config.NewWSGI()
		w.Module, w.Dir = config.Module{File: "etc/app.py", Object: "application"}, "etc"
		change(w)
		return w
	}
	full := with(func(w *config.WSGI) {
		w.Module = config.Module{Name: "shop.wsgi", Object: "create_app('x', debug=True)"}
		w.Venv, w.Python, w.Dir, w.User = "etc/venv", "", "etc/shop", "www-data"
		w.Env = []config.Var{{Name: "A", Value: "1"}}
		w.Workers, w.MinWorkers, w.WorkerIdleTimeout, w.Concurrency = 8, 1, config.Duration(5*time.Second), 3
		w.MaxRequests, w.MaxMemory, w.StartTimeout = 500, 64<<20, config.Duration(2*time.Second)
		w.AbortGrace, w.CatchStderr, w.Reload = 0, []string{"Traceback"}, true
	})
	const fullText = "module = \"shop.wsgi:create_app('x', debug=True)\", venv = 'venv', dir = 'shop', user = 'www-data', env = { A = '1' }, " +
		"workers = 8, min_workers = 1, worker_idle_timeout = '5s', threads = 3, max_requests = 500, max_memory = '64MiB', " +
		"start_timeout = '2s', abort_grace = '0s', catch_stderr = ['Traceback'], reload = true, mode = 'fastcgi'"
	for _, r := range []struct {
		name, text string
		want       *config.WSGI
	}{
		{"module alone", "wsgi = 'app.py'", with(func(*config.WSGI) {})},
		{"table", "wsgi = { module = './app.py:application' }", with(func(*config.WSGI) {})},
		{"file elsewhere", "wsgi = '/srv/a.wsgi:app'", with(func(w *config.WSGI) {
			w.Module, w.Dir = config.Module{File: "/srv/a.wsgi", Object: "app"}, "/srv"
		})},
		{"dotted", "wsgi = 'pkg.wsgi'", with(func(w *config.WSGI) {
			w.Module = config.Module{Name: "pkg.wsgi", Object: "application"}
		})},
		{"python by name", "wsgi = { module = 'app.py', python = 'python3.11' }", with(func(w *config.WSGI) { w.Python = "python3.11" })},
		{"python by file", "wsgi = { module = 'app.py', python = 'venv/bin/python', workers = 2 }", with(func(w *config.WSGI) {
			w.Python, w.Workers, w.MinWorkers = "etc/venv/bin/python", 2, 2
		})},
		{"cgi", "wsgi = { module = 'app.py', mode = 'cgi', dir = '/d', env = { A = '1' } }\nprocesses = 3\nlinger = '0s'\nfinish_anyway = true", with(func(w *config.WSGI) {
			w.Mode, w.Dir, w.Env = "cgi", "/d", []config.Var{{Name: "A", Value: "1"}}
		})},
		{"everything", "memory = '1GiB'\nkill_grace = '1s'\ntimeout = '1s'\nmax_body = '1'\nwsgi = { " + fullText + " }", full},
	} {
		t.Run(r.name, func(t *testing.T) {
			got := parse(t, "[[site]]\n[[site.route]]\npath = '/x/'\n"+r.text).Sites[0].Routes[0]
			got.WSGI.Line = 0
			if !reflect.DeepEqual(got.WSGI, r.want) {
				t.Errorf("\n got %+v\nwant %+v", got.WSGI, r.want)
			}
			if !got.PassAuthorization { // A33
				t.Error("Authorization is not passed")
			}
		})
	}
}

func TestParseModule(t *testing.T) {
	for _, r := range []struct{ name, text, want, wrong string }{
		{"file", "app.py", "app.py:application", ""},
		{"file with a colon", "/a:b/c:d.py:app", "/a:b/c:d.py:app", ""},
		{"folder with a colon", "/a:b/app", "/a:b/app:application", ""},
		{"dotted object", "app.py:site.app", "app.py:site.app", ""},
		{"module", "pkg.wsgi", "pkg.wsgi:application", ""},
		{"call", "pkg:make('a:b', n=1)", "pkg:make('a:b', n=1)", ""},
		{"call in a file", "./x.py:create_app()", "./x.py:create_app()", ""},
		{"letters", "größe.café:é", "größe.café:é", ""},
		{"empty", "", "", `bad module ""`},
		{"no module", ":app", "", `bad module ":app"`},
		{"no object", "app.py:", "", `bad name "" in module "app.py:"`},
		{"digit", "app.py:1", "", `bad name "1" in module "app.py:1"`},
		{"expression", "app.py:a or b", "", `bad name "a or b" in module "app.py:a or b"`},
		{"half a call", "app.py:make(", "", `bad name "make(" in module "app.py:make("`},
		{"newline in a call", "app.py:make('\n')", "", `bad name "make('\n')"`},
		{"no name", "a-b", "", `bad module "a-b"`},
		{"host", "127.0.0.1:9000", "", `bad name "9000"`},
		{"NUL", "a\x00.py", "", "has a NUL in it"},
		{"home", "~/app.py", "", `is not a shell's`},
	} {
		t.Run(r.name, func(t *testing.T) {
			m, err := config.ParseModule(r.text)
			switch {
			case r.wrong == "" && (err != nil || m.String() != r.want):
				t.Errorf("%q: got %q, %v, want %q", r.text, m, err, r.want)
			case r.wrong != "" && (err == nil || !strings.Contains(err.Error(), r.wrong)):
				t.Errorf("%q: got %v, want %q", r.text, err, r.wrong)
			}
		})
	}
}

func TestWSGIErrors(t *testing.T) {
	for _, r := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "wsgi = {}", []string{
			`g:4:8: site.route.wsgi: module is missing (expected one as in "app.py", "app.py:application" or "package.module:create_app()")`}},
		{"wrong types", "wsgi = 5", []string{
			`g:4:8: site.route.wsgi: expected a module or a table, got an integer (expected one as in "app.py", "app.py:application" or "package.module:create_app()")`}},
		{"bad module", "wsgi = 'a-b'", []string{
			`g:4:8: site.route.wsgi: bad module "a-b" (expected one as in "app.py", "app.py:application" or "package.module:create_app()")`}},
		{"values", "[site.route.wsgi]\nmodule = ['app.py']\nthreads = 0\nmode = 'scgi'\nreload = 'true'\nstart_timeout = '0s'\npython = ''", []string{
			`g:5:10: site.route.wsgi.module: expected a string, got an array`,
			`g:6:11: site.route.wsgi.threads: bad number 0 (expected one from 1 to 1000)`,
			`g:7:8: site.route.wsgi.mode: bad mode "scgi" (expected "fastcgi" or "cgi")`,
			`g:8:10: site.route.wsgi.reload: expected a boolean, got a string (write true without quotation marks)`,
			`g:9:17: site.route.wsgi.start_timeout: bad duration "0s" (expected more than 0)`,
			`g:10:10: site.route.wsgi.python: empty path`}},
		{"two interpreters", "wsgi = { module = 'a.py', python = 'python3', venv = 'v' }", []string{
			`g:4:36: site.route.wsgi.python: a python beside a venv (a virtual environment has its own)`}},
		{"more ready than there are", "wsgi = { module = 'a.py', workers = 2, min_workers = 3 }", []string{
			`g:4:54: site.route.wsgi.min_workers: more than workers, of which there are 2`}},
		{"workers that there are not", "wsgi = { module = 'a.py', mode = 'cgi', threads = 2, reload = true }", []string{
			`g:4:41: site.route.wsgi.threads: does nothing with mode = "cgi" (each request has a process of its own)`,
			`g:4:54: site.route.wsgi.reload: does nothing with mode = "cgi" (each request has a process of its own)`}},
		{"keys of cgi", "processes = 5\nnph = true\ninterim = true\nroot = '/x'\nwsgi = 'a.py'", []string{
			`g:4:1: site.route.processes: does nothing in a route with wsgi (it is for cgi and wsgi with mode = "cgi")`,
			`g:5:1: site.route.nph: does nothing in a route with wsgi (it is for cgi)`,
			`g:6:1: site.route.interim: does nothing in a route with wsgi (it is for cgi and fastcgi)`,
			`g:7:1: site.route.root: does nothing in a route with wsgi (it is for fastcgi)`}},
		{"keys of others", "wsgi = { module = 'a.py', command = ['x'], concurrency = 2, modul = 'b' }", []string{
			`g:4:27: site.route.wsgi.command: not allowed here (it belongs inside fastcgi, scgi or authorize)`,
			`g:4:44: site.route.wsgi.concurrency: not allowed here (it belongs inside fastcgi, scgi or authorize)`,
			`g:4:61: site.route.wsgi.modul: unknown key (did you mean "module"?)`}},
	} {
		t.Run(r.name, func(t *testing.T) { checkErrors(t, "[[site]]\n[[site.route]]\npath = '/x/'\n"+r.text, r.want...) })
	}
	checkErrors(t, "[[site]]\nroot = '/r'\n[[site.route]]\npath = '*.py'\nwsgi = 'a.py'",
		`g:5:8: site.route.wsgi: does not go with the suffix "*.py" (expected cgi = true, fastcgi, scgi or a redirect)`)
}

// The defaults of the keys, written out, change nothing.
func TestWSGIKeysTellTheDefaults(t *testing.T) {
	tried := 0
	for _, k := range config.Keys() {
		var value map[string]any
		last := k.Tables[len(k.Tables)-1]
		if toml.Unmarshal([]byte("x = "+k.Default), &value) != nil || last != "site.route.wsgi" {
			continue
		}
		const text = "[[site]]\n[[site.route]]\npath = '/x/'\nwsgi = { module = 'a.py', min_workers = 1"
		got, want := parse(t, text+", "+k.Name+" = "+k.Default+" }"), parse(t, text+" }")
		if tried++; !reflect.DeepEqual(meaning(got), meaning(want)) {
			t.Errorf("%s = %s:\n got %+v\nwant %+v", k.Name, k.Default, got.Sites[0].Routes[0].WSGI, want.Sites[0].Routes[0].WSGI)
		}
	}
	if tried < 12 {
		t.Errorf("%d defaults tried", tried)
	}
}
