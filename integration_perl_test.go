package gatehouse_test

import (
	"context"
	"crypto/md5"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// TestPlackSuite runs Plack::Test::Suite, whole, against a Plack::Handler::FCGI behind a
// host, which it reaches over HTTP and through Apache.
func TestPlackSuite(t *testing.T) {
	need(t, "perl", "libplack-perl", "libfcgi-perl")
	for _, f := range []front{fronts[0], frontNamed(t, "apache fastcgi generic")} {
		t.Run(f.name, func(t *testing.T) {
			need(t, f.needs...)
			responder := freePort(t)
			h := newHost(t, f)
			h.up(t, f, aRoute("/", fmt.Sprintf(`fastcgi = { address = %q, connections = 1 }`, responder)))
			ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
			defer cancel()
			out, err := exec.CommandContext(ctx, whereIs["perl"], testdata(t, "fcgi", "plack.pl"), port(responder), port(h.server)).CombinedOutput()
			if err != nil || !strings.Contains(string(out), "\n1..") {
				t.Errorf("%v\n%s", err, notOK(string(out)))
			}
		})
	}
}

// notOK is what is wrong in the output of a Perl test.
func notOK(out string) string {
	var lines []string
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "ok ") && !strings.HasPrefix(strings.TrimSpace(line), "ok ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// TestCGIFast has a script by CGI::Fast read forms, again and again in one process.
func TestCGIFast(t *testing.T) {
	need(t, "perl", "libcgi-fast-perl", "libcgi-pm-perl")
	h := newHost(t, fronts[0])
	h.up(t, fronts[0], aRoute("/form/", fmt.Sprintf(`fastcgi = { command = [%q, %q], workers = 1 }`, whereIs["perl"], testdata(t, "fcgi", "fast.pl"))))
	for n := 1; n <= 5; n++ {
		content := noise(n * 70_000)
		kind, body := form("größer", "a b.bin", content)
		got := h.ask(t, request{method: "POST", path: "/form/", header: map[string]string{"Content-Type": kind}, body: body, chunked: n%2 == 0, status: 200,
			want: fmt.Sprintf("file: a b.bin %d %x\ntext: größer\n", len(content), md5.Sum([]byte(content)))})
		if cookie := got.header.Get("Set-Cookie"); !strings.HasPrefix(cookie, fmt.Sprintf("count=%d;", n)) {
			t.Errorf("request %d: Set-Cookie %q", n, cookie)
		}
	}
}
