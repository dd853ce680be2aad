package environ_test

import (
	"strings"
	"testing"

	"gatehouse/environ"
)

// Which fields become which variables: A30-A36, E20-E24. want is what is added
// to the variables of a request without these fields.
func TestHeaderFields(t *testing.T) {
	for _, test := range []struct {
		name   string
		server environ.Server
		fields []string
		want   string
	}{
		{"case and hyphens, A30", environ.Server{}, []string{"x-Aa-1", "v"}, "HTTP_X_AA_1=v"},
		{"all octets, A36", environ.Server{}, []string{"X", "\x7f\x80\xff\t\"'`$("}, "HTTP_X=\x7f\x80\xff\t\"'`$("},
		{"sorted as variables", environ.Server{}, []string{"Ab", "1", "A-B", "2", "A", "3"}, "HTTP_A=3 HTTP_AB=1 HTTP_A_B=2"},
		{"repeats, A31", environ.Server{}, []string{"X", "1", "X", "", "X", "2"}, "HTTP_X=1, , 2"},
		{"cookies, A31", environ.Server{}, []string{"cookie", "1", "cookie", "2"}, "HTTP_COOKIE=1; 2"},
		{"Proxy-Authorization", environ.Server{}, []string{"Proxy-Authorization", "x"}, "HTTP_PROXY_AUTHORIZATION=x"},

		{"httpoxy, E24", environ.Server{}, []string{"Proxy", "x", "PROXY", "x", "proxy", "x", "Proxy_", "x"}, ""},
		{"httpoxy let through, E24", environ.Server{Allow: []string{"Proxy", "Proxy_", ".Proxy"}}, []string{"Proxy", "x"}, ""},
		{"redirect status, A35", environ.Server{}, []string{"Redirect-Status", "200"}, ""},
		{"redirect status, other spellings", environ.Server{Allow: []string{"Redirect_Status", "redirect.status"}}, []string{"Redirect_status", "1", "Redirect.status", "1"}, ""},
		{"hop by hop, A32", environ.Server{}, []string{
			"Transfer-Encoding", "x", "Keep-Alive", "x", "Te", "x", "Trailer", "x", "Upgrade", "x",
			"Proxy-Connection", "x", "Http2-Settings", "x", "Host", "x", "Connection", "keep-alive",
		}, ""},
		{"listed in Connection, A32", environ.Server{}, []string{"Connection", "close , x-A,,", "Connection", "\tX-B", "X-A", "1", "X-B", "1", "X-C", "1"}, "HTTP_X_C=1"},
		{"content fields, A32", environ.Server{Allow: []string{"Content_Type", "content.length"}}, []string{"Content_type", "x", "Content.length", "5"}, ""},

		{"other names dropped, E20", environ.Server{}, []string{"X_a", "1", "X.a", "1", "X~", "1", "Content_length", "1", "", "1"}, ""},
		{"let through, E20", environ.Server{Allow: []string{"x_A", "x.b"}}, []string{"X_a", "1", "X.b", "2", "X_ab", "3"}, "HTTP_X_A=1 HTTP_X_B=2"},
		{"no equals sign in a name", environ.Server{Allow: []string{"a=b"}}, []string{"a=b", "1"}, "HTTP_A_B=1"},
		{"the dropped one does not collide", environ.Server{Strict: false}, []string{"X_a", "1", "X-A", "2"}, "HTTP_X_A=2"},
		{"strict and plain", environ.Server{Strict: true}, []string{"X-A", "2"}, "HTTP_X_A=2"},
		{"strict but let through", environ.Server{Strict: true, Allow: []string{"X_A"}}, []string{"X_a", "2"}, "HTTP_X_A=2"},

		{"a proxy's fields, E23", environ.Server{}, []string{
			"X-Forwarded-For", "1.2.3.4", "X-Forwarded-Anything", "x", "Forwarded", "for=1.2.3.4",
			"X-Real-Ip", "1.2.3.4", "Remote-User", "joe", "Ssl-Client-Verify", "SUCCESS",
		}, ""},
		{"a proxy's fields let through, E23", environ.Server{Allow: []string{"X_Forwarded_For", "x.real-ip", "Remote_User"}},
			[]string{"X_forwarded_for", "1.2.3.4", "X.real-Ip", "1.2.3.4", "Remote_user", "joe"}, ""},
		{"a proxy's fields, trusted", *trusting("192.0.2.0/24"), []string{"X-Real-Ip", "1.2.3.4", "Remote-User", "joe", "Connection", "x-real-ip"},
			"HTTP_REMOTE_USER=joe HTTP_X_REAL_IP=1.2.3.4"},
	} {
		plain := mustEnv(t, &test.server, request("GET", "/"))
		e := mustEnv(t, &test.server, request("GET", "/", test.fields...))
		var added []string
		for name, value := range e.All() {
			if old, ok := plain.Lookup(name); !ok || old != value {
				added = append(added, name+"="+value)
			}
		}
		if got := strings.Join(added, " "); got != test.want || e.Len() != plain.Len()+len(added) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestHeaderFieldsRefused(t *testing.T) {
	for _, test := range []struct {
		name   string
		server environ.Server
		fields []string
	}{
		{"strict, E20", environ.Server{Strict: true}, []string{"X_a", "1"}},
		{"strict and a point, E22", environ.Server{Strict: true}, []string{"X.a", "1"}},
		{"one variable, E21", environ.Server{Allow: []string{"X_Y"}}, []string{"X_y", "1", "X-Y", "2"}},
		{"one variable, E22", environ.Server{Allow: []string{"X_Y", "X.Y"}}, []string{"X_y", "1", "X.y", "1"}},
		{"only case, A29", environ.Server{}, []string{"X-Y", "1", "x-y", "1"}},
	} {
		e, err := test.server.FromHTTP(request("GET", "/", test.fields...))
		if statusOf(err) != 400 || e.Len() != 0 {
			t.Errorf("%s: %v with %d variables", test.name, err, e.Len())
		}
	}
}

// Whatever a client names its fields, the variables have good and distinct
// names, and the forbidden ones do not appear.
func FuzzHeaderNames(f *testing.F) {
	f.Add("Proxy", "X-A", "X_a", "v")
	f.Add("Redirect.status", "redirect-Status", "Content-Length", "")
	f.Add("x=y", "\x00", "\u212a", "\x00")
	f.Fuzz(func(t *testing.T, a, b, c, value string) {
		s := environ.Server{Allow: []string{a, b}}
		e, err := s.FromHTTP(request("GET", "/", a, value, b, value, c, value))
		if err != nil {
			if statusOf(err) != 400 && statusOf(err) != 431 {
				t.Fatal(err)
			}
			return
		}
		seen := make(map[string]bool)
		for name, value := range e.All() {
			if strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" || seen[name] || strings.Contains(value, "\x00") {
				t.Fatalf("%q=%q from %q, %q, %q", name, value, a, b, c)
			}
			seen[name] = true
		}
		for _, name := range []string{"HTTP_PROXY", "HTTP_REDIRECT_STATUS", "HTTP_CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING", "HTTP_X_FORWARDED_FOR"} {
			if seen[name] {
				t.Fatalf("%s from %q, %q, %q", name, a, b, c)
			}
		}
	})
}
