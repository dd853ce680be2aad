package site_test

import (
	"strings"
	"testing"

	"gatehouse/internal/site"
)

func errorPageTree(t *testing.T) string {
	return tree(t, files{
		"htdocs/x": "file", "htdocs/dir/": "", "htdocs/404.html": "<p>not here", "htdocs/5xx.html": "<p>broken", "users": userLines,
		"cgi-bin/bad":   script("echo nothing that could be a header"),
		"cgi-bin/own":   script(`printf 'Status: 404\nContent-Type: text/plain\n\nmy own page'`),
		"cgi-bin/empty": script(`printf 'Status: 500\nContent-Type: text/plain\n\n'`),
		"errors/page": script(`printf 'Status: 200 Fine\nContent-Type: text/plain\nEtag: "1"\nLast-Modified: Fri, 01 Jan 2100 00:00:00 GMT\nX-Page: yes\n\n'`,
			`echo "$REQUEST_METHOD $REQUEST_URI status=$REDIRECT_STATUS url=$REDIRECT_URL query=$REDIRECT_QUERY_STRING method=$REDIRECT_REQUEST_METHOD name=$SCRIPT_NAME length=$CONTENT_LENGTH range=$HTTP_RANGE own=$QUERY_STRING"`, "cat"),
		"errors/location": script(`printf 'Location: /404.html\n\n'`),
		"errors/away":     script(`printf 'Location: https://example.org/\n\n'`),
		"errors/broken":   script("exit 3"),
		"errors/403":      script(`printf 'Status: 403\nContent-Type: text/plain\n\nI say no'`),
	})
}

const errorPageConfig = `
[[site]]
hosts = ["localhost"]
root = "DIR/htdocs"
error_pages = { 404 = "/404.html", 405 = "/404.html", 5xx = "/5xx.html", 403 = "/errors/page", 414 = "/404.html" }
[[site.route]]
path = "/cgi-bin/"
cgi = "DIR/cgi-bin/"
[[site.route]]
path = "/errors/"
cgi = "DIR/errors/"
error_pages = { 404 = "" }
[[site.route]]
path = "/script/"
static = "DIR/htdocs/"
error_pages = { 4xx = "/errors/page" }
[[site.route]]
path = "/location/"
static = "DIR/htdocs/"
error_pages = { 404 = "/errors/location" }
[[site.route]]
path = "/away/"
static = "DIR/htdocs/"
error_pages = { 404 = "/errors/away" }
[[site.route]]
path = "/broken/"
static = "DIR/htdocs/"
error_pages = { 404 = "/errors/broken" }
[[site.route]]
path = "/no/"
static = "DIR/htdocs/"
error_pages = { 404 = "/errors/403" }
[[site.route]]
path = "/hidden/"
static = "DIR/htdocs/"
basic_auth = { file = "DIR/users" }
[[site.route]]
path = "/guarded/"
static = "DIR/htdocs/"
error_pages = { 404 = "/hidden/404.html" }
[[site.route]]
path = "/missing/"
static = "DIR/htdocs/"
headers = { X-Missing = "yes" }
`

func TestErrorPages(t *testing.T) {
	dir := errorPageTree(t)
	s := start(t, dir, errorPageConfig)
	const own = "The request ID is"
	for _, test := range []struct {
		name, method, target string
		lines                []string
		status               int
		body                 string // a part of it
	}{
		{"a file", "GET", "/none", nil, 404, "<p>not here"},
		{"for a hundred", "GET", "/cgi-bin/bad", nil, 502, "<p>broken"},
		{"another method", "PUT", "/x", nil, 405, "<p>not here"},
		{"conditions are about what was asked for", "GET", "/none", []string{"If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT", "Range: bytes=0-1"}, 404, "<p>not here"},
		{"an application's own page stays", "GET", "/cgi-bin/own", nil, 404, "my own page"},
		{"an application's own empty page, too", "GET", "/cgi-bin/empty", nil, 500, ""},
		{"a script", "GET", "/dir/?a=b", nil, 403, "GET /dir/?a=b status=403 url=/dir/ query=a=b method=GET name=/errors/page length= range= own=\n"},
		{"a script, for a request with a body", "POST", "/dir/?a=b", []string{"Content-Length: 3", "Range: bytes=0-1", "", "abc"}, 403, "GET /dir/?a=b status=403 url=/dir/ query=a=b method=POST name=/errors/page length= range= own=\n"},
		{"the nearest, by its hundred", "GET", "/script/none", nil, 404, "status=404"},
		{"none, where that is said", "GET", "/errors/none", nil, 404, own},
		{"a local redirect of the page", "GET", "/location/none", nil, 404, "<p>not here"},
		{"a redirect to elsewhere is no page", "GET", "/away/none", nil, 404, own},
		{"a broken page", "GET", "/broken/none", nil, 404, own},
		{"the page's status is not the answer's", "GET", "/no/none", nil, 404, "I say no"},
		{"a page that the client may not have", "GET", "/guarded/none", nil, 404, own},
		{"a page for those who may", "GET", "/guarded/none", []string{as("sha", horse)}, 404, "<p>not here"},
		{"no page for that", "GET", "/hidden/x", nil, 401, own},
		{"no site", "GET", "/none", []string{"Host: other.test"}, 421, own},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := s.do(t, request(test.method, test.target, test.lines...))
			if a.StatusCode != test.status || !strings.Contains(a.body, test.body) || (test.body == "" || strings.HasSuffix(test.body, "\n")) && a.body != test.body {
				t.Errorf("got %d %q, want %d %q", a.StatusCode, a.body, test.status, test.body)
			}
			for _, name := range []string{"Etag", "Last-Modified", "Accept-Ranges", "Content-Range"} {
				if got := a.Header.Get(name); got != "" {
					t.Errorf("%s: got %q, the page's own", name, got)
				}
			}
			head := s.do(t, request("HEAD", test.target, test.lines...))
			if want := test.status; head.StatusCode != want && test.method == "GET" || head.body != "" {
				t.Errorf("HEAD: got %d %q, want %d", head.StatusCode, head.body, want)
			}
		})
	}
	a := s.get(t, "/missing/none")
	if a.Header.Get("X-Missing") != "yes" || a.Header.Get("Cache-Control") != "no-store" || a.body != "<p>not here" {
		t.Errorf("got %v %q", a.Header, a.body)
	}
	if a := s.get(t, "/script/none"); a.Header.Get("X-Page") != "yes" || a.Status != "404 Not Found" {
		t.Errorf("got %s %v", a.Status, a.Header)
	}
	line := s.accessOf(t, "uri=/none")
	for _, want := range []string{"status=404", "failure=not-found", `nothing is found at \"/none\"`} {
		if !strings.Contains(line, want) {
			t.Errorf("no %q in %s", want, line)
		}
	}
}

// In development the reason is what one wants to see.
func TestErrorPagesInDevelopment(t *testing.T) {
	dir := errorPageTree(t)
	s := start(t, dir, errorPageConfig, development)
	if a := s.get(t, "/none"); a.StatusCode != 404 || !strings.Contains(a.body, "nothing is found at") {
		t.Errorf("got %d %q", a.StatusCode, a.body)
	}
}

// A page that a site names and does not have is a mistake; what the server names may be
// missing in some.
func TestErrorPagesThatAreNot(t *testing.T) {
	dir := errorPageTree(t)
	top := "error_pages = { 404 = '/nowhere.html' }\n"
	_, err := site.New(parse(t, dir, top+`
[[site]]
root = "DIR/htdocs"
error_pages = { 500 = "/dir/none.html" }
[[site.route]]
path = "/y/"
static = "DIR/htdocs/"
error_pages = { 403 = "/x", 4xx = "/dir" }
`), site.Options{})
	if err == nil || strings.Count(err.Error(), "\n") != 1 || !strings.Contains(err.Error(), `site.error_pages: nothing is found at "/dir/none.html"`) ||
		!strings.Contains(err.Error(), `4xx: nothing is found at "/dir"`) {
		t.Errorf("got %v", err)
	}
	s := start(t, dir, top+"[[site]]\nroot = 'DIR/htdocs'\n")
	if a := s.get(t, "/none"); a.StatusCode != 404 || !strings.Contains(a.body, "404 Not Found") {
		t.Errorf("got %d %q", a.StatusCode, a.body)
	}
}
