package gatehouse_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAuthorizer has a real authorizer before a program, a responder and files (B42-B46).
func TestAuthorizer(t *testing.T) {
	need(t, fcgiLibrary...)
	h := newHost(t, fronts[0])
	h.installScripts(t)
	authorize := fmt.Sprintf(`authorize = { command = [%q], workers = 1 }`, fcgiProgram(t, "authorizer"))
	h.up(t, fronts[0], aRoute("/cgi-bin/", fmt.Sprintf("cgi = %q", h.scripts+"/"), authorize)+
		aRoute("/app/", spawned(fcgiProgram(t, "responder")), authorize)+
		aRoute("/files/", fmt.Sprintf("static = %q", h.htdocs+"/"), authorize))

	key := func(k string) map[string]string { return map[string]string{"X-Key": k} }
	for _, path := range []string{"/cgi-bin/hello.sh", "/app/hello", "/files/index.html", "/files/"} {
		h.ask(t, request{path: path, status: 403, fields: map[string]string{"X-Why": "key"}, want: "no key\n"})
		h.ask(t, request{path: path, header: key("wrong"), status: 403, want: "no key\n"})
		h.ask(t, request{path: path, header: key("open"), status: 200, fields: map[string]string{"Set-Cookie": "", "Variable-REMOTE_USER": ""}})
		got, err := h.do(request{path: path, header: key("crash")}) // B45
		if err != nil || got.status < 500 || strings.Contains(got.body, "hello") || strings.Contains(got.body, "static") {
			t.Errorf("%s: the authorizer crashed, and the answer is %+v, %v", path, got, err)
		}
	}
	for _, path := range []string{"/cgi-bin/environ/extra", "/app/env"} {
		got := h.ask(t, request{method: "POST", path: path, header: key("open"), body: "body", status: 200})
		for _, want := range []string{"REMOTE_USER=joe", "AUTH_TYPE=key", "GREETING=hi", "CONTENT_LENGTH=4"} { // B43
			if !strings.Contains(got.body, "\n"+want+"\n") {
				t.Errorf("%s: no %s in\n%s", path, want, got.body)
			}
		}
		if strings.Contains(got.body, "LD_PRELOAD") { // B44
			t.Errorf("%s: an authorizer sets LD_PRELOAD", path)
		}
	}
}

// TestFilter has a real filter before files (B47, B48).
func TestFilter(t *testing.T) {
	need(t, fcgiLibrary...)
	h := newHost(t, fronts[0])
	docs := h.path("docs")
	if err := os.Mkdir(docs, 0o755); err != nil {
		t.Fatal(err)
	}
	when := time.Unix(1_600_000_000, 0)
	long := strings.Repeat("a longer text; ", 100_000)
	for name, text := range map[string]string{"text.txt": "some text\n", "long.txt": long, "empty.txt": ""} {
		write(t, filepath.Join(docs, name), text, 0o644)
		if err := os.Chtimes(filepath.Join(docs, name), when, when); err != nil {
			t.Fatal(err)
		}
	}
	write(t, h.path("secret.txt"), "secret\n", 0o644)
	if err := os.Symlink(h.path("secret.txt"), filepath.Join(docs, "link.txt")); err != nil {
		t.Fatal(err)
	}
	h.up(t, fronts[0], aRoute("/filtered/", fmt.Sprintf(`fastcgi = { command = [%q], workers = 1, role = "filter" }`, fcgiProgram(t, "filter")),
		fmt.Sprintf("root = %q", docs)))

	told := func(size int) map[string]string {
		return map[string]string{"X-Data-Length": fmt.Sprint(size), "X-Data-Last-Mod": "1600000000"}
	}
	h.ask(t, request{path: "/filtered/text.txt", status: 200, fields: told(10), want: "SOME TEXT\n"})
	h.ask(t, request{path: "/filtered/long.txt", status: 200, fields: told(len(long)), want: strings.ToUpper(long)})
	h.ask(t, request{path: "/filtered/empty.txt", status: 200, fields: told(0)})
	h.ask(t, request{method: "POST", path: "/filtered/text.txt", body: "and a body ", status: 200, fields: told(10), want: "and a body SOME TEXT\n"})
	h.ask(t, request{path: "/filtered/missing.txt", status: 404})
	for _, path := range []string{"/filtered/link.txt", "/filtered/../secret.txt", "/filtered/"} {
		if got, err := h.do(request{path: path}); err != nil || got.status < 400 || strings.Contains(strings.ToLower(got.body), "secret\n") {
			t.Errorf("%s: %+v, %v", path, got, err)
		}
	}
}
