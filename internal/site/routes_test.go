package site_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"gatehouse/cgi"
	"gatehouse/internal/config"
	"gatehouse/internal/site"
)

// Of several routes by the end of a name that for the longest wins, and a dot begins it.
func TestSuffixes(t *testing.T) {
	dir := tree(t, files{
		"htdocs/a.x": "", "htdocs/a.y.x": "", "htdocs/a.yx": "yx", "htdocs/.y.x": "", "htdocs/x": "x", "htdocs/a.x.b": "b",
		"htdocs/a.z.y.x": "", "htdocs/a.X": "X", "htdocs/dir.x/b": "below",
	})
	var text strings.Builder
	for _, suffix := range []string{"x", "y.x", "other", "z.y.x"} {
		fmt.Fprintf(&text, "[[site.route]]\npath = '*.%s'\nredirect = '/%s'\n", suffix, suffix)
	}
	s := start(t, dir, "[[site]]\nroot = 'DIR/htdocs'\n"+text.String())
	for _, test := range []struct{ target, location, body string }{
		{"/a.x", "/x", ""},
		{"/a.y.x", "/y.x", ""},
		{"/a.z.y.x", "/z.y.x", ""},
		{"/a.yx", "", "yx"},
		{"/x", "", "x"},
		{"/a.x.b", "", "b"},
		{"/a.X", "", "X"},
		{"/dir.x/b", "", "below"},
	} {
		if a := s.get(t, test.target); a.Header.Get("Location") != test.location || test.location == "" && a.body != test.body {
			t.Errorf("%s: got %d %q %q, want %q %q", test.target, a.StatusCode, a.Header.Get("Location"), a.body, test.location, test.body)
		}
	}
	if a := s.get(t, "/.y.x"); a.StatusCode != 404 {
		t.Errorf("a hidden file: got %d", a.StatusCode)
	}
}

// E26: a request that names no host is for the site of every host, and only without one
// for the first.
func TestNoHost(t *testing.T) {
	dir := tree(t, files{"a/who": "first", "b/who": "default"})
	const first = "[[site]]\nhosts = ['*.example.org', 'first.example.org']\nroot = 'DIR/a'\n"
	for _, test := range []struct{ name, text, want string }{
		{"without a default", first, "first"},
		{"with a default", first + "[[site]]\nroot = 'DIR/b'\n", "default"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := start(t, dir, test.text)
			if a := s.do(t, "GET /who HTTP/1.0\r\n\r\n"); a.StatusCode != 200 || a.body != test.want {
				t.Errorf("got %d %q, want %q", a.StatusCode, a.body, test.want)
			}
			if a := s.do(t, "GET /who HTTP/1.1\r\nConnection: close\r\n\r\n"); a.StatusCode != 400 {
				t.Errorf("HTTP/1.1: got %d", a.StatusCode)
			}
		})
	}
}

// BenchmarkRoutes finds a route's answer, a redirect, with as many sites of 20 routes.
func BenchmarkRoutes(b *testing.B) {
	for _, count := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("sites=%d", count), func(b *testing.B) {
			h := redirectingSites(b, count)
			ask := func(host, path string) *cgi.Request {
				req := &cgi.Request{Path: path, Account: new(cgi.Account)}
				for _, v := range []string{"REQUEST_METHOD=GET", "REMOTE_ADDR=192.0.2.1", "REQUEST_URI=" + path, "SERVER_NAME=" + host} {
					name, value, _ := strings.Cut(v, "=")
					req.Env.Set(name, value)
				}
				return req
			}
			for _, host := range []string{fmt.Sprintf("host%d.example.org", count-1), fmt.Sprintf("a.b.wild%d.example.org", count/2)} {
				for _, path := range []string{"/r0/", "/r19/a/b/c/d/e/f"} {
					b.Run(host[:4]+" "+path, func(b *testing.B) {
						req := ask(host, path)
						b.ReportAllocs()
						for b.Loop() {
							resp, err := h.Respond(context.Background(), req)
							if err != nil || resp.Status != 302 {
								b.Fatal(resp, err)
							}
							_ = resp.Close()
						}
					})
				}
			}
		})
	}
}

// redirectingSites has a host with as many sites, each with names, routes, and terms.
func redirectingSites(b *testing.B, count int) *site.Host {
	cfg := config.Default()
	cfg.Headers = []config.Header{{Name: "X-Frame-Options", Value: "DENY"}}
	cfg.Access = &config.Access{Deny: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	for n := range count {
		s := cfg.NewSite()
		s.Hosts = []string{fmt.Sprintf("host%d.example.org", n), fmt.Sprintf("*.wild%d.example.org", n)}
		for m := range 20 {
			r := s.NewRoute()
			r.Path, r.Redirect, r.RedirectStatus = fmt.Sprintf("/r%d/", m), "/x/{rest}", 302
			s.Routes = append(s.Routes, r)
		}
		cfg.Sites = append(cfg.Sites, s)
	}
	h, err := site.New(cfg, site.Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := h.Close(); err != nil {
			b.Error(err)
		}
	})
	return h
}
