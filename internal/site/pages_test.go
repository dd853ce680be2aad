package site_test

import (
	"strings"
	"testing"
)

const pagesConfig = `
[[site]]
root = "DIR/htdocs"

  [[site.route]]
  path = "/cgi-bin/"
  cgi = "DIR/cgi-bin/"
`

func pagesTree(t *testing.T) string {
	return tree(t, files{
		"htdocs/": "",
		"cgi-bin/html": script(`echo '<b>on stderr</b>' >&2`,
			`printf '<script>alert(1)</script>"><img src=x onerror=y>\033[2J'`, "exit 7"), // no line's end: it is not cut off before it ends
		"cgi-bin/dies": script("echo last words >&2", "kill -SEGV $$"),
	})
}

// Visitors see the status and the request's ID, and nothing of the cause.
func TestProductionPage(t *testing.T) {
	dir := pagesTree(t)
	s := start(t, dir, pagesConfig)
	for n, tt := range []struct {
		name, target string
		status       int
		text         string
	}{
		{"bad output", "/cgi-bin/html", 502, "502 Bad Gateway"},
		{"death", "/cgi-bin/dies", 502, "502 Bad Gateway"},
		{"missing", "/<x>?<y>", 404, "404 Not Found"},
		{"folder", "/cgi-bin/", 403, "403 Forbidden"},
		{"bad request", "/%00", 400, "400 Bad Request"},
		{"too long for a name", "/" + strings.Repeat("secret", 500), 404, "404 Not Found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.get(t, tt.target)
			if got.StatusCode != tt.status || !strings.Contains(got.body, "<h1>"+tt.text+"</h1>") {
				t.Errorf("%d %s, want %s", got.StatusCode, got.body, tt.text)
			}
			id, _ := keyOf(s.lastAccess(t, 2*n+1), "request")
			if !strings.Contains(got.body, "The request ID is "+id+".") {
				t.Errorf("no request ID %s in %s", id, got.body)
			}
			_, body, _ := strings.Cut(got.body, "</style>")
			for _, bad := range []string{dir, "htdocs", "stderr", "alert", "last words", "SEGV", "segmentation", "exit status", "<x>", "secret", "gatehouse", "Gatehouse"} {
				if strings.Contains(body, bad) {
					t.Errorf("%q is shown in %s", bad, body)
				}
			}
			if got.Header.Get("Content-Type") != "text/html; charset=utf-8" || got.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("fields %v", got.Header)
			}
			head := s.do(t, request("HEAD", tt.target))
			if head.StatusCode != tt.status || head.body != "" || head.Header.Get("Content-Type") != "text/html; charset=utf-8" {
				t.Errorf("HEAD: %d %q", head.StatusCode, head.body)
			}
			s.lastAccess(t, 2*n+2)
		})
	}
}

// In development the page tells all of it, and nothing on it runs (E63).
func TestDevelopmentPage(t *testing.T) {
	dir := pagesTree(t)
	s := start(t, dir, pagesConfig, development)
	for _, tt := range []struct {
		name, target string
		want, not    []string
	}{
		{"bad output", "/cgi-bin/html?<q>", []string{
			"502 Bad Gateway", "&lt;script&gt;alert(1)&lt;/script&gt;", "&lt;b&gt;on stderr&lt;/b&gt;", `\x1b[2J`,
			"&lt;img src=x", dir + "/cgi-bin/html", "exit status 7", "bad-output", "/cgi-bin/html?&lt;q&gt;",
		}, []string{"<script", "<b>", "<img", "\x1b", "<q>"}},
		{"death", "/cgi-bin/dies", []string{"last words", "segmentation", "no-output"}, nil},
		{"missing", "/<i>x</i>", []string{"404 Not Found", "&lt;i&gt;x", "not-found"}, []string{"<i>"}},
		{"refused", "/%00<i>", []string{"400 Bad Request", "&lt;i&gt;", "bad-request"}, []string{"<i>"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.get(t, tt.target)
			for _, want := range tt.want {
				if !strings.Contains(got.body, want) {
					t.Errorf("no %q in\n%s", want, got.body)
				}
			}
			for _, bad := range tt.not {
				if strings.Contains(got.body, bad) {
					t.Errorf("%q in\n%s", bad, got.body)
				}
			}
			if policy := got.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") {
				t.Errorf("Content-Security-Policy %q", policy)
			}
			head := s.do(t, request("HEAD", tt.target))
			if head.StatusCode != got.StatusCode || head.body != "" {
				t.Errorf("HEAD: %d %q", head.StatusCode, head.body)
			}
		})
	}
}
