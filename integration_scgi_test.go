package gatehouse_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// TestUWSGI has uWSGI, which runs the scripts, behind the host: over SCGI and over FastCGI.
func TestUWSGI(t *testing.T) {
	for _, protocol := range []string{"scgi", "fastcgi"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			need(t, append([]string{"uwsgi-core"}, cPrograms...)...)
			h := newHost(t, fronts[0])
			h.installScripts(t)
			socket := h.path("uwsgi.sock")
			startPeer(t, h.dir, socket, exec.Command(whereIs["uwsgi"], "--plugins-dir", "/usr/lib/uwsgi/plugins", "--plugin", "cgi", "--die-on-term", "--master",
				"--processes", "2", "--buffer-size", "65535", "--socket-timeout", "60", "--"+protocol+"-socket", socket, "--"+protocol+"-modifier1", "9", "--cgi-close-stdin-on-eof", "--cgi", h.scripts))
			h.up(t, fronts[0], aRoute("/cgi-bin/", fmt.Sprintf("%s = %q", protocol, "unix:"+socket)))

			h.ask(t, request{path: "/cgi-bin/hello.sh", status: 200, want: "hello\n"})
			h.ask(t, request{path: "/cgi-bin/fields.sh", status: 404, want: "five."})
			h.ask(t, request{path: "/cgi-bin/cookie.sh", header: map[string]string{"Cookie": strings.Repeat("c", 20_000)}, status: 200, want: "20000\n"})
			h.ask(t, request{path: "/cgi-bin/environ/a/b?c=d", status: 200, part: "\nPATH_INFO=/a/b\n"})
			h.ask(t, request{path: "/cgi-bin/environ/a/b?c=d", status: 200, part: "\nREMOTE_ADDR=127.0.0.1\n"})
			if got := h.ask(t, request{method: "HEAD", path: "/cgi-bin/hello.sh", status: 200}); got.body != "" {
				t.Errorf("HEAD: body %q", got.body)
			}
			// Not echo: uWSGI writes the whole body before it reads any output.
			for _, size := range []int{1, 65_535, 65_536, 65_537, 1 << 20} {
				for _, chunked := range []bool{false, true} {
					h.ask(t, request{method: "POST", path: "/cgi-bin/count.sh", body: noise(size), chunked: chunked, status: 200, want: fmt.Sprintf("%d\n", size)})
				}
			}
			manyAtOnce(t, h, "/cgi-bin/echo", 8)
		})
	}
}
