package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/internal/config"
	"gatehouse/internal/site"
)

// What init writes is right, can be served as it is, and is commented; the folder of the
// file is another than that of what it is for, or the same.
func TestInitWorks(t *testing.T) {
	const hello = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nscript'\n"
	for _, tt := range []struct {
		name   string
		files  map[string]string
		args   []string // with what is to be served last
		needs  string
		path   string
		status int
		want   string
	}{
		{"files", map[string]string{"public/index.html": "page"}, []string{"public"}, "", "/", 200, "page"},
		{"its own folder", map[string]string{"index.html": "page"}, []string{"."}, "", "/", 200, "page"},
		{"not the file", map[string]string{"index.html": "page"}, nil, "", "/gatehouse.toml", 403, ""},
		{"cgi-bin", map[string]string{"public/cgi-bin/a": hello}, []string{"public"}, "", "/cgi-bin/a", 200, "script"},
		{"*.cgi", map[string]string{"public/sub/a.cgi": hello, "public/x": ""}, []string{"public"}, "", "/sub/a.cgi", 200, "script"},
		{"a folder of scripts", map[string]string{"s/a.sh": hello, "s/b": hello}, []string{"s/"}, "", "/cgi-bin/a.sh", 200, "script"},
		{"one script", map[string]string{"a.sh": hello}, []string{"a.sh"}, "", "/any/path", 200, "script"},
		{"an odd name", map[string]string{"a \"b\\c\n#/index.html": "page"}, []string{"a \"b\\c\n#"}, "", "/", 200, "page"},
		{"wsgi", map[string]string{"app.py": wsgiHello("application")}, []string{"app.py:application"}, "python3", "/", 200, "python"},
		{"a folder with wsgi", map[string]string{"x/wsgi.py": wsgiHello("app")}, []string{"x"}, "python3", "/", 200, "python"},
		{"a module", map[string]string{"pkg/__init__.py": "", "pkg/mod.py": wsgiHello("thing")}, []string{"pkg.mod:thing"}, "python3", "/", 200, "python"},
		{"php", map[string]string{"public/index.php": "<?php echo 'p', 'hp';"}, []string{"public"}, "php-cgi", "/", 200, "php"},
		{"php, a front controller", map[string]string{"public/index.php": "<?php echo 'p', 'hp';"}, []string{"public"}, "php-cgi", "/no/file", 200, "php"},
		{"php to come", map[string]string{"public/x.html": "x"}, []string{"--php", "public"}, "php-cgi", "/x.html", 200, "x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := exec.LookPath(tt.needs); tt.needs != "" && err != nil {
				t.Skipf("NOT TESTED: %v", err)
			}
			t.Chdir(t.TempDir())
			for name, text := range tt.files {
				writeFile(t, name, text)
			}
			got := initAndAsk(t, tt.args, tt.path)
			if got.Code != tt.status || !strings.Contains(got.Body.String(), tt.want) {
				t.Errorf("got %d %q, want %d %q", got.Code, got.Body.String(), tt.status, tt.want)
			}
		})
	}
}

func wsgiHello(name string) string {
	return "def " + name + "(environ, start_response):\n    start_response('200 OK', [('Content-Type', 'text/plain')])\n    return [b'python']\n"
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	mode := os.FileMode(0o644)
	if strings.HasPrefix(text, "#!") {
		mode = 0o755
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := writeUnheld(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// initAndAsk writes a configuration by init, checks it, and makes a request to what it
// describes.
func initAndAsk(t *testing.T, args []string, path string) *httptest.ResponseRecorder {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(context.Background(), append([]string{"gatehouse", "init"}, args...), nil, &stdout, &stderr); code != 0 || stdout.Len() > 0 {
		t.Fatalf("exit status %d: %s%s", code, stdout.String(), stderr.String())
	}
	text, err := os.ReadFile("gatehouse.toml")
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte("#")); n < 8 {
		t.Errorf("%d comments in\n%s", n, text)
	}
	cfg, err := config.Load("gatehouse.toml")
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if cfg.Listen[0].String() != "127.0.0.1:8080" {
		t.Errorf("it listens on %v", cfg.Listen)
	}
	cfg.Listen = nil // others may use the port here
	if err := check(cfg); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	h, err := site.New(cfg, site.Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	defer func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil)
	h.ServeHTTP(w, r)
	return w
}
