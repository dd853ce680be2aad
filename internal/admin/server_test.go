package admin_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"gatehouse/internal/admin"
)

func handler(s *sample) http.Handler {
	return admin.New(s, admin.Options{Software: "gatehouse/test", Log: slog.New(slog.DiscardHandler)}).Handler()
}

// ask makes a request. fields are "Name: value".
func ask(h http.Handler, method, target string, fields ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name           string
		sample         *sample
		method, target string
		status         int
		contentType    string
		body           string // is in it
	}{
		{"page", busy(), "GET", "/", 200, "text/html; charset=utf-8", "git-upload-pack"},
		{"data", busy(), "GET", "/status.json", 200, "application/json", `"rate": `},
		{"metrics", busy(), "GET", "/metrics", 200, "text/plain", "gatehouse_requests_total"},
		{"style", busy(), "GET", "/status.css", 200, "text/css; charset=utf-8", "color-scheme"},
		{"script", busy(), "GET", "/status.js", 200, "text/javascript; charset=utf-8", "fetch("},
		{"icon", busy(), "GET", "/icon.svg", 200, "image/svg+xml", "<svg"},
		{"alive", busy(), "GET", "/livez", 200, "text/plain; charset=utf-8", "ok\n"},
		{"alive while not ready", broken(), "GET", "/livez", 200, "text/plain; charset=utf-8", "ok\n"},
		{"ready", busy(), "GET", "/readyz", 200, "text/plain; charset=utf-8", "ok\n"},
		{"not ready", broken(), "GET", "/readyz", 503, "text/plain; charset=utf-8", "no worker is ready"},
		{"nothing there", busy(), "GET", "/nothing", 404, "text/plain; charset=utf-8", "not found"},
		{"wrong method", busy(), "POST", "/", 405, "text/plain; charset=utf-8", "Not Allowed"},
		{"end by GET", busy(), "GET", "/requests/4f1c09ab77e2-203/end", 405, "text/plain; charset=utf-8", "Not Allowed"},
		{"end", busy(), "POST", "/requests/4f1c09ab77e2-203/end", 200, "text/plain; charset=utf-8", "it is being ended"},
		{"end what is not there", busy(), "POST", "/requests/none/end", 404, "text/plain; charset=utf-8", "no request of that ID runs"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := ask(handler(tt.sample), tt.method, tt.target)
			if w.Code != tt.status || !strings.HasPrefix(w.Header().Get("Content-Type"), tt.contentType) || !strings.Contains(w.Body.String(), tt.body) {
				t.Errorf("got %d, %q, %.300q, want %d, %q, %q", w.Code, w.Header().Get("Content-Type"), w.Body, tt.status, tt.contentType, tt.body)
			}
			h := w.Header()
			if csp := h.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none';") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") {
				t.Errorf("Content-Security-Policy: %s", csp)
			}
			if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" || h.Get("Cache-Control") == "" {
				t.Errorf("the header is %v", h)
			}
		})
	}
}

// A browser that shows another site's page says so, and nothing is ended.
func TestEndFromElsewhere(t *testing.T) {
	const target = "http://127.0.0.1:9180/requests/4f1c09ab77e2-203/end"
	for _, tt := range []struct {
		name   string
		fields []string
		status int
	}{
		{"no browser", nil, 200},
		{"the page's own script", []string{"Sec-Fetch-Site: same-origin", "Origin: http://127.0.0.1:9180"}, 200},
		{"the page's own form", []string{"Sec-Fetch-Site: same-origin", "Accept: text/html"}, 303},
		{"an old browser", []string{"Origin: http://127.0.0.1:9180"}, 200},
		{"another site", []string{"Sec-Fetch-Site: cross-site", "Origin: https://evil.example"}, 403},
		{"another port", []string{"Sec-Fetch-Site: same-site", "Origin: http://127.0.0.1:8080"}, 403},
		{"another site, an old browser", []string{"Origin: https://evil.example"}, 403},
		{"a file", []string{"Origin: null"}, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := busy()
			w := ask(handler(s), "POST", target, tt.fields...)
			if ended := len(s.ended) == 1; w.Code != tt.status || ended != (tt.status < 400) {
				t.Errorf("got %d and ended %q, want %d", w.Code, s.ended, tt.status)
			}
			if to := w.Header().Get("Location"); tt.status == 303 && to != "../../" {
				t.Errorf("it leads to %q", to)
			}
		})
	}
}

func TestStatusJSON(t *testing.T) {
	w := ask(handler(busy()), "GET", "/status.json")
	var s admin.Status
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	if s.Software != "gatehouse/test" || s.Pid == 0 || len(s.Running) != 4 || s.Running[0].Sent != 834<<20 || len(s.Sites) != 3 || s.Sites[0].Routes[0].Limit.Most != 8 ||
		len(s.Pools) != 2 || s.Pools[0].Workers[0].Memory != 41<<20 || len(s.Helpers) != 2 || len(s.Failures) != 3 || len(s.Hour.Minutes) != 60 {
		t.Errorf("got %+v", s)
	}
}

// E63: whatever programs, clients and configurations say is text.
func TestHostileText(t *testing.T) {
	body := ask(handler(hostile()), "GET", "/").Body.String()
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	elements := map[string]int{}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		elements[n.Data]++
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
				t.Errorf("<%s> has %s=%q", n.Data, a.Key, a.Val)
			}
			if a.Key == "action" && !strings.HasPrefix(a.Val, "requests/") {
				t.Errorf("a form goes to %q", a.Val)
			}
		}
	}
	if elements["script"] != 1 || elements["img"] != 1 || elements["form"] != 1 || elements["iframe"] > 0 {
		t.Errorf("elements are %v", elements)
	}
	for _, c := range []string{"\x1b", "\x07", "\u009b", "\u202e"} {
		if strings.Contains(visible(doc), c) {
			t.Errorf("%q can be seen as it is", c)
		}
	}
	if !strings.Contains(visible(doc), `\u202egnp`) || !strings.Contains(visible(doc), "</title></td></script><script>document.title='pwned'</script>") {
		t.Errorf("the text is not there as text")
	}
}

// visible is the text of a page.
func visible(doc *html.Node) string {
	var b strings.Builder
	for n := range doc.Descendants() {
		if n.Type == html.TextNode {
			b.WriteString(n.Data)
		}
	}
	return b.String()
}

// The page shows what is now a moment after it was asked, and at once after an end.
func TestPageIsFresh(t *testing.T) {
	s := busy()
	h := handler(s)
	const id = "4f1c09ab77e2-203"
	if body := ask(h, "GET", "/").Body.String(); !strings.Contains(body, id) {
		t.Errorf("the request is not there")
	}
	ask(h, "POST", "/requests/"+id+"/end")
	if body := ask(h, "GET", "/").Body.String(); strings.Contains(body, id) {
		t.Errorf("a request that was ended is still there")
	}
	s.End("4f1c09ab77e2-204")
	eventually(t, "another has ended by itself", func() bool {
		body, _ := io.ReadAll(ask(h, "GET", "/").Body)
		return !strings.Contains(string(body), "4f1c09ab77e2-204")
	})
}
