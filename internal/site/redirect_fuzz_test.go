package site

import (
	"net/url"
	"strings"
	"testing"

	"gatehouse/internal/config"
)

// FuzzExpandTarget holds what a redirect makes of a client's words: a field that ends
// where it should, and the host that the configuration names.
func FuzzExpandTarget(f *testing.F) {
	f.Add("/new/{rest}?{query}", "/old//evil.example/%0d%0a", "a=b&c=\r\nX: y", "example.org", "http")
	f.Add("/{path}", "//evil.example", "", "[::1]", "https")
	f.Add("https://{host}{path}?{query}", "/\\evil.example", "?#/", "example.org", "https")
	f.Add("/{rest}", "/\\/evil.example", "", "example.org", "https")
	f.Add("{scheme}://www.{host}:80/{rest}#{path}", "/@evil.example", "{host}", "a.b", "http")
	f.Fuzz(func(t *testing.T, template, path, query, host, scheme string) {
		text := "[[site]]\n[[site.route]]\npath = '/old/'\nredirect = '" + template + "'\n"
		if strings.ContainsAny(template, `'"<\`) { // literally, they are the administrator's
			return
		}
		if _, err := config.Parse("g.toml", []byte(text)); err != nil {
			return // none that a configuration may have
		}
		if !strings.HasPrefix(path, "/") || scheme != "http" && scheme != "https" {
			return
		}
		if strings.ContainsFunc(host, func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789.-", r) }) || host == "" {
			return // environ has refused it
		}
		values := map[string]string{"path": path, "rest": strings.TrimLeft(path, "/"), "query": query, "host": host, "scheme": scheme}
		expand := func(values map[string]string) (*url.URL, string) {
			made, err := expandTarget(template, func(name string) string { return values[name] })
			if err != nil {
				return nil, ""
			}
			u, err := url.Parse(made)
			if err != nil {
				t.Fatalf("%q: %v", made, err)
			}
			return u, made
		}
		got, made := expand(values)
		if got == nil {
			return
		}
		for _, c := range []byte(made) {
			if c <= ' ' || c >= 0x7f || c == '\\' || c == '"' || c == '<' {
				t.Fatalf("%q made of %q, %q, %q has %q in it", made, template, path, query, c)
			}
		}
		if strings.HasPrefix(made, "//") {
			t.Fatalf("%q made of %q, %q leads to another host", made, template, path)
		}
		harmless, _ := expand(map[string]string{"path": "/p", "rest": "r", "query": "q", "host": host, "scheme": scheme})
		if harmless != nil && (got.Host != harmless.Host || got.Scheme != harmless.Scheme || got.User.String() != harmless.User.String()) {
			t.Fatalf("%q made of %q, %q, %q leads to %q, want %q", made, template, path, query, got.Host, harmless.Host)
		}
	})
}
