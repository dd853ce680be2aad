package scripts_test

import (
	"slices"
	"strings"
	"testing"
)

// environOf is what the application said of its environ, by name.
func environOf(t *testing.T, a wsgiAnswer) map[string]string {
	t.Helper()
	if a.status != "200 OK" || !a.whole {
		t.Fatalf("got %+v", a)
	}
	environ := make(map[string]string)
	for line := range strings.Lines(a.body) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		environ[name] = value
	}
	return environ
}

// C01 to C05, C08: values are Python literals, and "" is none.
func TestWSGIEnviron(t *testing.T) {
	tests := []struct {
		name string
		vars []string
		want map[string]string
	}{
		{"as it came", []string{"QUERY_STRING=a=%20&b"}, map[string]string{
			"REQUEST_METHOD": `'GET'`, "SCRIPT_NAME": `'/app'`, "PATH_INFO": `'/environ'`, "QUERY_STRING": `'a=%20&b'`,
			"SERVER_NAME": `'example.org'`, "SERVER_PORT": `'8080'`, "SERVER_PROTOCOL": `'HTTP/1.1'`,
			"HTTP_HOST": `'example.org:8080'`, "REMOTE_ADDR": `'192.0.2.1'`, "CONTENT_LENGTH": "", "CONTENT_TYPE": "",
			"wsgi.version": "(1, 0)", "wsgi.url_scheme": `'http'`, "wsgi.input_terminated": "True"}},
		{"bytes in the path", []string{"PATH_INFO=/environ/\xe3\x82\xa2"}, map[string]string{"PATH_INFO": `'/environ/\xe3\x82\xa2'`}},
		{"a byte that is not UTF-8", []string{"HTTP_X=caf\xe9"}, map[string]string{"HTTP_X": `'caf\xe9'`}},
		{"no QUERY_STRING", []string{"QUERY_STRING"}, map[string]string{"QUERY_STRING": `''`}},
		{"no SCRIPT_NAME", []string{"SCRIPT_NAME"}, map[string]string{"SCRIPT_NAME": `''`}},
		{"mounted at the root", []string{"SCRIPT_NAME=/"}, map[string]string{"SCRIPT_NAME": `''`, "PATH_INFO": `'/environ'`}},
		{"a mount with a slash", []string{"SCRIPT_NAME=/app/", "PATH_INFO=environ"}, map[string]string{"SCRIPT_NAME": `'/app'`, "PATH_INFO": `'/environ'`}},
		{"several slashes", []string{"PATH_INFO=/environ//a//"}, map[string]string{"PATH_INFO": `'/environ//a//'`}},
		{"empty is absent", []string{"REMOTE_USER=", "AUTH_TYPE=", "CONTENT_LENGTH=", "CONTENT_TYPE="}, map[string]string{
			"REMOTE_USER": "", "AUTH_TYPE": "", "CONTENT_LENGTH": "", "CONTENT_TYPE": ""}},
		{"a user", []string{"REMOTE_USER=zo\xeb", "AUTH_TYPE=Basic"}, map[string]string{"REMOTE_USER": `'zo\xeb'`, "AUTH_TYPE": `'Basic'`}},
		{"fields that have variables of their own", []string{"HTTP_CONTENT_TYPE=a", "HTTP_CONTENT_LENGTH=1", "HTTP_PROXY=x"}, map[string]string{
			"HTTP_CONTENT_TYPE": "", "HTTP_CONTENT_LENGTH": "", "HTTP_PROXY": ""}},
		{"https", []string{"HTTPS=on"}, map[string]string{"wsgi.url_scheme": `'https'`}},
		{"https by scheme", []string{"REQUEST_SCHEME=https"}, map[string]string{"wsgi.url_scheme": `'https'`}},
		{"not https", []string{"HTTPS=off"}, map[string]string{"wsgi.url_scheme": `'http'`}},
		{"no server", []string{"SERVER_NAME=", "SERVER_PORT"}, map[string]string{"SERVER_NAME": `'localhost'`, "SERVER_PORT": `'80'`}},
		{"no server, https", []string{"SERVER_NAME", "SERVER_PORT=", "HTTPS=on"}, map[string]string{"SERVER_NAME": `'localhost'`, "SERVER_PORT": `'443'`}},
		{"long value", []string{"HTTP_X=" + strings.Repeat("x", 70000)}, map[string]string{"HTTP_X": `'` + strings.Repeat("x", 70000) + `'`}},
		{"long name", []string{strings.Repeat("N", 128) + "=v"}, map[string]string{strings.Repeat("N", 128): `'v'`}},
	}
	eachLife(t, torture(t), nil, func(t *testing.T, ask func(*testing.T, wsgiRequest) wsgiAnswer) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				environ := environOf(t, ask(t, wsgiRequest{path: "/environ", vars: tt.vars}))
				for name, want := range tt.want {
					if got := environ[name]; got != want {
						t.Errorf("%s: got %s, want %s", name, got, want)
					}
				}
			})
		}
	})
}

// The root has neither SCRIPT_NAME nor PATH_INFO, but PATH_INFO has to begin with a slash (C03).
func TestWSGIEnvironRoot(t *testing.T) {
	eachLife(t, torture(t)+":do_environ", nil, func(t *testing.T, ask func(*testing.T, wsgiRequest) wsgiAnswer) {
		environ := environOf(t, ask(t, wsgiRequest{vars: []string{"SCRIPT_NAME=", "PATH_INFO"}}))
		if script, path := environ["SCRIPT_NAME"], environ["PATH_INFO"]; script != "''" || path != "'/'" {
			t.Errorf("got %s and %s", script, path)
		}
		environ = environOf(t, ask(t, wsgiRequest{vars: []string{"PATH_INFO="}}))
		if script, path := environ["SCRIPT_NAME"], environ["PATH_INFO"]; script != "'/app'" || path != "''" {
			t.Errorf("got %s and %s", script, path)
		}
	})
}

// --script-name is for servers that give the whole path as SCRIPT_NAME, as nginx does.
func TestWSGIScriptName(t *testing.T) {
	tests := []struct{ name, mount, script, path, wantScript, wantPath string }{
		{"root", "", "/a/b", "", "''", "'/a/b'"},
		{"root with slash", "/", "/a/b", "", "''", "'/a/b'"},
		{"root of the root", "", "/", "", "''", "'/'"},
		{"below", "/a", "/a/b", "", "'/a'", "'/b'"},
		{"at", "/a", "/a", "", "'/a'", "''"},
		{"in both", "/a", "/a", "/b/", "'/a'", "'/b/'"},
		{"cut elsewhere", "/a", "/a/b", "/c", "'/a'", "'/b/c'"},
		{"another", "/a", "/ab", "", "''", "'/ab'"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := askCGI(t, wsgiRequest{vars: []string{"SCRIPT_NAME=" + tt.script, "PATH_INFO=" + tt.path}}, "--script-name", tt.mount, torture(t)+":do_environ")
			environ := environOf(t, a)
			if script, path := environ["SCRIPT_NAME"], environ["PATH_INFO"]; script != tt.wantScript || path != tt.wantPath {
				t.Errorf("got %s and %s, want %s and %s", script, path, tt.wantScript, tt.wantPath)
			}
		})
	}
}

// C07: each says what is true.
func TestWSGIModes(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"one thread", nil, "False False False"},
		{"processes", []string{"--multiprocess"}, "False True False"},
		{"threads", []string{"--threads", "3"}, "True False False"},
		{"processes with threads", []string{"--threads=3", "--multiprocess"}, "True True False"},
	}
	modes := func(environ map[string]string) string {
		return environ["wsgi.multithread"] + " " + environ["wsgi.multiprocess"] + " " + environ["wsgi.run_once"]
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := startWSGI(t, append(tt.args, torture(t))...)
			c := w.dial(t)
			defer c.Close()
			if got := modes(environOf(t, c.ask(t, wsgiRequest{path: "/environ"}))); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			once := askCGI(t, wsgiRequest{path: "/environ"}, append(tt.args, torture(t))...)
			if got := modes(environOf(t, once)); got != "False True True" {
				t.Errorf("CGI: got %s", got)
			}
		})
	}
}

// C06: a worker's own environment is none of the request's.
func TestWSGIEnvironIsClean(t *testing.T) {
	cmd := shimCommand(t, torture(t))
	cmd.Env = append(cmd.Env, "HTTP_SECRET=1", "REMOTE_USER=root", "CONTENT_LENGTH=5")
	c := startWSGICommand(t, cmd).dial(t)
	defer c.Close()
	environ := environOf(t, c.ask(t, wsgiRequest{path: "/environ"}))
	for _, name := range []string{"PATH", "HTTP_SECRET", "REMOTE_USER", "CONTENT_LENGTH"} {
		if got, ok := environ[name]; ok {
			t.Errorf("%s is %s", name, got)
		}
	}
}

// What variables of one request have in common with those before is copied and not
// parsed: each request still has all of its own, and nothing of another's.
func TestWSGIEnvironOfMany(t *testing.T) {
	w := startWSGI(t, torture(t))
	c := w.dial(t)
	defer c.Close()
	agents := []string{"HTTP_USER_AGENT=one", "HTTP_USER_AGENT=two", "HTTP_USER_AGENT=" + strings.Repeat("three", 100), "HTTP_USER_AGENT"}
	for i := range 300 {
		vars := []string{"REMOTE_PORT=" + strings.Repeat("1", i%6), agents[i/3%len(agents)]}
		if i%7 == 0 {
			vars = append(vars, "HTTP_COOKIE=a=b", "GATEWAY_INTERFACE")
		}
		r := wsgiRequest{path: "/environ", vars: vars}
		c.send(t, whole(r, true))
		var got, want []string
		for name, value := range environOf(t, c.answer(t)) {
			if !strings.HasPrefix(name, "wsgi.") && name != "mine" {
				got = append(got, name+"="+strings.Trim(value, "'"))
			}
		}
		want = r.variables()
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("request %d: got %q, want %q", i, got, want)
		}
	}
}
