package environ_test

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"gatehouse/environ"
)

var (
	tcpPeer = environ.Peer{
		Remote: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 40000},
		Local:  &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9000},
	}
	unixPeer = environ.Peer{
		Remote: &net.UnixAddr{Net: "unix"},
		Local:  &net.UnixAddr{Net: "unix", Name: "/run/gatehouse.sock"},
	}
)

// behind believes a front on this machine.
func behind() *environ.Server {
	return &environ.Server{Software: "gatehouse/1", Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, TrustUnix: true}
}

// Real fronts, and FromHTTP for the request that they were sent: A23, A31, A32, B71-B74, B77.
func TestFromGatewayFronts(t *testing.T) {
	s := behind()
	r := request("POST", "/cgi-bin/a%20b.cgi/extra//p%41th?x=1&y=%2F",
		"User-Agent", "test/1", "Accept", "*/*", "Accept-Language", "en", "Cookie", "a=1; b=2", "X-Custom", "v",
		"Proxy", "http://evil/", "X_Under", "u", "X-Forwarded-For", "203.0.113.9", "X-Twice", "1", "X-Twice", "2",
		"Connection", "close, X-Hop", "X-Hop", "h", "Content-Type", "text/plain", "Content-Length", "5")
	r.ContentLength = 5
	r.Host = "www.example.com"
	like := mustEnv(t, s, r).Strings()
	for _, front := range fronts {
		for _, peer := range []environ.Peer{tcpPeer, unixPeer} {
			e, err := s.FromGateway(front.vars, peer)
			if err != nil {
				t.Errorf("%s: %v", front.name, err)
				continue
			}
			want := slices.Clone(like)
			for _, d := range front.differ {
				want = differing(want, d)
			}
			if got := e.Strings(); !slices.Equal(got, want) {
				t.Errorf("%s: got\n%s\nwant\n%s", front.name, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	}
}

// differing changes one variable, in its place; new HTTP_* are sorted in, others
// follow at the end.
func differing(vars []string, d string) []string {
	name, _, _ := strings.Cut(strings.TrimPrefix(d, "-"), "=")
	at := slices.IndexFunc(vars, func(v string) bool { return strings.HasPrefix(v, name+"=") })
	switch {
	case strings.HasPrefix(d, "-"):
		return slices.Delete(vars, at, at+1)
	case at >= 0:
		vars[at] = d
		return vars
	case !strings.HasPrefix(d, "HTTP_"):
		return append(vars, d)
	}
	at = slices.IndexFunc(vars, func(v string) bool { return strings.HasPrefix(v, "HTTP_") && v > d })
	if at < 0 {
		at = len(vars)
	}
	return slices.Insert(vars, at, d)
}

// usual is what every request has.
func usual(more ...string) []string {
	return append([]string{"REQUEST_METHOD=GET", "REQUEST_URI=/a?b", "SERVER_PROTOCOL=HTTP/1.1", "HTTP_HOST=example.org",
		"REMOTE_ADDR=192.0.2.7", "REMOTE_PORT=77", "SERVER_ADDR=192.0.2.80", "SERVER_PORT=443"}, more...)
}

func TestFromGatewayVariables(t *testing.T) {
	stranger := environ.Peer{Remote: &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 5}, Local: &net.TCPAddr{IP: net.IPv4(198, 51, 100, 2), Port: 9000}}
	certificate := "SSL_CLIENT_CERT=-----BEGIN\nabc\n"
	for _, test := range []struct {
		name string
		peer environ.Peer
		vars []string
		want string // NAME=value, or NAME for one that is absent
	}{
		{"client's address, B73", tcpPeer, usual(), "REMOTE_ADDR=192.0.2.7"},
		{"client's port", tcpPeer, usual(), "REMOTE_PORT=77"},
		{"stranger's word, B73", stranger, usual(), "REMOTE_ADDR=198.51.100.1"},
		{"two hosts, B71", tcpPeer, usual("HTTP_HOST=other.example"), "HTTP_HOST=other.example"},
		{"two hosts, the name, B71", tcpPeer, usual("HTTP_HOST=other.example"), "SERVER_NAME=other.example"},
		{"two hosts, empty", tcpPeer, usual("SERVER_NAME=front.example", "HTTP_HOST="), "SERVER_NAME=front.example"},
		{"stranger's port, B73", stranger, usual(), "SERVER_PORT=9000"},
		{"stranger's scheme, B73", stranger, usual("HTTPS=on"), "HTTPS"},
		{"stranger's user, B73", stranger, usual("REMOTE_USER=joe"), "REMOTE_USER"},
		{"stranger's certificate, B73", stranger, usual("SSL_CLIENT_VERIFY=SUCCESS"), "SSL_CLIENT_VERIFY"},
		{"stranger's configuration, B73", stranger, usual("FOO=1"), "FOO"},
		{"stranger's fields", stranger, usual("HTTP_ACCEPT=a"), "HTTP_ACCEPT=a"},
		{"proxy's word by a client, E25", tcpPeer, usual("HTTP_X_FORWARDED_FOR=203.0.113.9"), "REMOTE_ADDR=192.0.2.7"},
		{"proxy's field by a client, E23", tcpPeer, usual("HTTP_X_FORWARDED_FOR=203.0.113.9"), "HTTP_X_FORWARDED_FOR"},
		{"proxy before the front, E25", tcpPeer, usual("REMOTE_ADDR=127.0.0.2", "HTTP_X_FORWARDED_FOR=203.0.113.9"), "REMOTE_ADDR=203.0.113.9"},
		{"proxy's certificate", tcpPeer, usual("REMOTE_ADDR=127.0.0.2", "HTTP_X_FORWARDED_FOR=203.0.113.9", "SSL_CIPHER=x"), "SSL_CIPHER"},
		{"proxy's name", tcpPeer, usual("REMOTE_ADDR=127.0.0.2", "REMOTE_HOST=proxy", "HTTP_X_FORWARDED_FOR=203.0.113.9"), "REMOTE_HOST=203.0.113.9"},
		{"client's name, A09", tcpPeer, usual("REMOTE_HOST=client.example"), "REMOTE_HOST=client.example"},
		{"client's name is an address", tcpPeer, usual("REMOTE_HOST=203.0.113.4"), "REMOTE_HOST=192.0.2.7"},
		{"v4-mapped client, A08", tcpPeer, usual("REMOTE_ADDR=::ffff:192.0.2.9"), "REMOTE_ADDR=192.0.2.9"},
		{"client on a Unix socket", tcpPeer, usual("REMOTE_ADDR=unix:"), "REMOTE_ADDR=0.0.0.0"},
		{"front without a word", unixPeer, []string{"REQUEST_METHOD=GET", "REQUEST_URI=/"}, "REMOTE_ADDR=0.0.0.0"},
		{"no protocol", unixPeer, []string{"REQUEST_METHOD=GET", "REQUEST_URI=/"}, "SERVER_PROTOCOL=HTTP/1.0"},
		{"HTTP/2, A16", tcpPeer, usual("SERVER_PROTOCOL=HTTP/2"), "SERVER_PROTOCOL=HTTP/2.0"},
		{"https", tcpPeer, usual("HTTPS=on"), "REQUEST_SCHEME=https"},
		{"https by scheme, A19", tcpPeer, usual("REQUEST_SCHEME=https"), "HTTPS=on"},
		{"https against the scheme", tcpPeer, usual("REQUEST_SCHEME=http", "HTTPS=on"), "HTTPS=on"},
		{"no https, A19", tcpPeer, usual("HTTPS=off"), "HTTPS"},
		{"empty https", tcpPeer, usual("HTTPS="), "HTTPS"},
		{"certificate, A21", tcpPeer, usual("HTTPS=on", certificate), certificate},
		{"empty certificate", tcpPeer, usual("SSL_CLIENT_CERT="), "SSL_CLIENT_CERT"},
		{"user, A11", tcpPeer, usual("AUTH_TYPE=Basic", "REMOTE_USER=joe"), "REMOTE_USER=joe"},
		{"empty user", tcpPeer, usual("REMOTE_USER="), "REMOTE_USER"},
		{"client's user, E23", tcpPeer, usual("HTTP_REMOTE_USER=joe"), "HTTP_REMOTE_USER"},
		{"no REMOTE_IDENT, A10", tcpPeer, usual("REMOTE_IDENT=joe"), "REMOTE_IDENT"},
		{"host before SERVER_NAME", tcpPeer, usual("SERVER_NAME=first.example"), "SERVER_NAME=example.org"},
		{"SERVER_NAME without host", tcpPeer, []string{"REQUEST_METHOD=GET", "REQUEST_URI=/", "SERVER_PROTOCOL=HTTP/3.0", "SERVER_NAME=first.example"}, "SERVER_NAME=first.example"},
		{"no server's name", tcpPeer, []string{"REQUEST_METHOD=GET", "REQUEST_URI=/", "SERVER_NAME=_"}, "SERVER_NAME=localhost"},
		{"host of absolute-form, A34", tcpPeer, usual("REQUEST_URI=http://abs.example/x?y"), "HTTP_HOST=abs.example"},
		{"absolute-form, A20", tcpPeer, usual("REQUEST_URI=http://abs.example/x?y"), "REQUEST_URI=/x?y"},
		{"REQUEST_URI disagrees, B74", tcpPeer, usual("SCRIPT_NAME=/other", "QUERY_STRING=z"), "QUERY_STRING=b"},
		{"no REQUEST_URI, B74", tcpPeer, usual("REQUEST_URI=", "DOCUMENT_URI=/ä b?#%", "QUERY_STRING=q=%41"), "REQUEST_URI=/%C3%A4%20b%3F%23%25?q=%41"},
		{"only SCRIPT_NAME, B74", tcpPeer, usual("REQUEST_URI=", "SCRIPT_NAME=/s.cgi", "PATH_INFO=/x"), "REQUEST_URI=/s.cgi/x"},
		{"last value, B71", tcpPeer, usual("FOO=1", "BAR=2", "FOO=3"), "FOO=3"},
		{"last value in another case, A29", tcpPeer, usual("FOO=1", "foo=3"), "FOO"},
		{"last CONTENT_LENGTH, B71", tcpPeer, usual("CONTENT_LENGTH=7", "CONTENT_LENGTH=0009"), "CONTENT_LENGTH=9"},
		{"no body, A02", tcpPeer, usual("CONTENT_LENGTH="), "CONTENT_LENGTH"},
		{"length that Caddy does not know, A02", tcpPeer, usual("CONTENT_LENGTH=-1"), "CONTENT_LENGTH"},
		{"no body by SCGI, A02", tcpPeer, usual("CONTENT_LENGTH=0"), "CONTENT_LENGTH"},
		{"empty body, A02", tcpPeer, usual("REQUEST_METHOD=POST", "CONTENT_LENGTH=0"), "CONTENT_LENGTH=0"},
		{"lines of a cookie, A31", tcpPeer, usual("HTTP_COOKIE=a", "HTTP_ACCEPT=x", "HTTP_COOKIE=b"), "HTTP_COOKIE=a; b"},
		{"httpoxy, B77", tcpPeer, usual("HTTP_PROXY=http://evil/"), "HTTP_PROXY"},
		{"httpoxy in another case, E24", tcpPeer, usual("http_proxy=http://evil/"), "http_proxy"},
		{"Redirect-Status, A35", tcpPeer, usual("HTTP_REDIRECT_STATUS=200"), "HTTP_REDIRECT_STATUS"},
		{"between client and front, A32", tcpPeer, usual("HTTP_TRANSFER_ENCODING=chunked"), "HTTP_TRANSFER_ENCODING"},
		{"named in Connection, A32", tcpPeer, usual("HTTP_CONNECTION=x-my-hop", "HTTP_X_MY_HOP=1"), "HTTP_X_MY_HOP"},
		{"credentials, B76", tcpPeer, usual("HTTP_AUTHORIZATION=Basic x"), "HTTP_AUTHORIZATION=Basic x"},
		{"field in lower case, E20", tcpPeer, usual("HTTP_x=1"), "HTTP_x"},
		{"field with a dot, E22", tcpPeer, usual("HTTP_X.Y=1"), "HTTP_X.Y"},
		{"field without a name", tcpPeer, usual("HTTP_=1"), "HTTP_"},
		{"obs-text, A36", tcpPeer, usual("HTTP_X=\xe9\t"), "HTTP_X=\xe9\t"},
		{"own software, A17", tcpPeer, usual("SERVER_SOFTWARE=nginx"), "SERVER_SOFTWARE=gatehouse/1"},
		{"own interface", tcpPeer, usual("GATEWAY_INTERFACE=CGI/9"), "GATEWAY_INTERFACE=CGI/1.1"},
		{"script is the routes', B72", tcpPeer, usual("SCRIPT_FILENAME=/etc/passwd"), "SCRIPT_FILENAME"},
		{"root is the routes', B72", tcpPeer, usual("DOCUMENT_ROOT=/"), "DOCUMENT_ROOT"},
		{"path is the routes'", tcpPeer, usual("DOCUMENT_URI=/x"), "DOCUMENT_URI"},
		{"PHP_VALUE, B41", tcpPeer, usual("PHP_VALUE=auto_prepend_file=/x"), "PHP_VALUE"},
		{"PHP_ADMIN_VALUE, B41", tcpPeer, usual("PHP_ADMIN_VALUE=x"), "PHP_ADMIN_VALUE"},
		{"LD_PRELOAD, B44", tcpPeer, usual("LD_PRELOAD=x"), "LD_PRELOAD"},
		{"PATH, B44", tcpPeer, usual("PATH=/tmp"), "PATH"},
		{"BASH_ENV, B44", tcpPeer, usual("BASH_ENV=x"), "BASH_ENV"},
		{"PYTHONPATH, B44", tcpPeer, usual("PYTHONPATH=x"), "PYTHONPATH"},
		{"PERL5OPT, B44", tcpPeer, usual("PERL5OPT=x"), "PERL5OPT"},
		{"no name for a variable", tcpPeer, usual("proxy-nokeepalive=1"), "proxy-nokeepalive"},
		{"further", tcpPeer, usual("GIT_PROJECT_ROOT=/srv/git"), "GIT_PROJECT_ROOT=/srv/git"},
		{"empty further", tcpPeer, usual("GIT_HTTP_EXPORT_ALL="), "GIT_HTTP_EXPORT_ALL="},
	} {
		e, err := behind().FromGateway(test.vars, test.peer)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		name, value, present := strings.Cut(test.want, "=")
		if got, ok := e.Lookup(name); got != value || ok != present {
			t.Errorf("%s: %s=%q (present: %t), want %q", test.name, name, got, ok, test.want)
		}
	}
}

func TestFromGatewayRefuses(t *testing.T) {
	many := func(n int, pair string) []string { return slices.Repeat([]string{pair}, n) }
	for _, test := range []struct {
		name   string
		vars   []string
		status int
	}{
		{"nothing", nil, 400},
		{"no method", []string{"REQUEST_URI=/"}, 400},
		{"no target", []string{"REQUEST_METHOD=GET"}, 400},
		{"asterisk, E06", usual("REQUEST_URI=*"), 400},
		{"no leading slash, E06", usual("REQUEST_URI=a/b"), 400},
		{"no leading slash in SCRIPT_NAME", usual("REQUEST_URI=", "SCRIPT_NAME=a"), 400},
		{"userinfo, E15", usual("REQUEST_URI=http://u@h/"), 400},
		{"protocol", usual("SERVER_PROTOCOL=INCLUDED"), 400},
		{"no host, E10", []string{"REQUEST_METHOD=GET", "REQUEST_URI=/", "SERVER_PROTOCOL=HTTP/1.1"}, 400},
		{"bad host, E10", usual("HTTP_HOST=a b"), 400},
		{"NUL in a value, B09", usual("FOO=a\x00b"), 400},
		{"NUL in a name, B09", usual("F\x00=a"), 400},
		{"NUL in a field, A27", usual("HTTP_A=\x00"), 400},
		{"line break in a field, A36", usual("HTTP_A=a\r\nb"), 400},
		{"line break in a user", usual("REMOTE_USER=a\nb"), 400},
		{"no name, B09", usual("=x"), 400},
		{"no value, B09", usual("FOO"), 400},
		{"length", usual("CONTENT_LENGTH=5,5"), 400},
		{"length with a sign", usual("CONTENT_LENGTH=+5"), 400},
		{"negative length", usual("CONTENT_LENGTH=-2"), 400},
		{"length out of range", usual("CONTENT_LENGTH=9223372036854775808"), 400},
		{"target over the limit, E30", usual("REQUEST_URI=/" + strings.Repeat("a", 8192)), 414},
		{"fields over the limit, E30", usual(many(100, "HTTP_A=1")...), 431},
		{"variables over the limit", usual(many(257, "A=1")...), 431},
		{"long field, A28", usual("HTTP_A=" + strings.Repeat("a", environ.MaxVar)), 431},
		{"long variable, A28", usual("A=" + strings.Repeat("a", environ.MaxVar)), 431},
		{"long Connection", usual("HTTP_CONNECTION=" + strings.Repeat("a,", 2049)), 431},
	} {
		e, err := behind().FromGateway(test.vars, tcpPeer)
		var ee *environ.Error
		if !errors.As(err, &ee) || ee.Status != test.status {
			t.Errorf("%s: %v, %q, want status %d", test.name, err, e.Strings(), test.status)
		}
	}
	s := behind()
	s.Strict = true
	if _, err := s.FromGateway(usual("HTTP_x=1"), tcpPeer); err == nil {
		t.Error("strict: no error for a field in lower case, E20")
	}
	if _, err := behind().FromGateway(usual(many(99, "HTTP_A=1")...), tcpPeer); err != nil {
		t.Errorf("as many fields as the limit: %v", err)
	}
}

func TestReceived(t *testing.T) {
	vars := []string{"SCRIPT_FILENAME=/a", "X=", "", "=y", "SCRIPT_FILENAME=/b=c", "FCGI_CHDIR=-"}
	got := behind().Received(vars, tcpPeer).Strings()
	if want := []string{"X=", "SCRIPT_FILENAME=/b=c", "FCGI_CHDIR=-"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for name, peer := range map[string]environ.Peer{"stranger": {Remote: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}}, "nobody": {}} {
		if n := behind().Received(vars, peer).Len(); n != 0 {
			t.Errorf("%s: %d variables, want none", name, n)
		}
	}
	if new(environ.Server).TrustsPeer(unixPeer) {
		t.Error("a Unix socket is trusted without TrustUnix")
	}
}

func TestSteers(t *testing.T) {
	for name, want := range map[string]bool{"LD_PRELOAD": true, "path": true, "Php_Value": true, "PYTHONHOME": true, "BASH_FUNC_x": true,
		"HOME": false, "PHP_SELF": false, "GIT_DIR": false, "": false} {
		if got := environ.Steers(name); got != want {
			t.Errorf("Steers(%q) = %t, want %t", name, got, want)
		}
	}
}

func BenchmarkFromGateway(b *testing.B) {
	s := behind()
	for _, front := range fronts[:2] {
		b.Run(front.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.FromGateway(front.vars, unixPeer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Whatever a front sends: an error, or variables with valid and distinct names,
// without httpoxy, and with a target that can be routed or is refused.
func FuzzFromGateway(f *testing.F) {
	for _, front := range fronts {
		f.Add(strings.Join(front.vars, "\n"), true)
	}
	f.Add(strings.Join(usual("http_proxy=1", "HTTP_HTTP_PROXY=1", "HTTP_A.B=1", "a=1", "A=2", "HTTP_=", "REQUEST_URI="), "\n"), false)
	f.Fuzz(func(t *testing.T, text string, trusted bool) {
		s := &environ.Server{TrustUnix: trusted}
		vars := strings.Split(text, "\n")
		e, err := s.FromGateway(vars, unixPeer)
		var ee *environ.Error
		if err != nil {
			if !errors.As(err, &ee) || ee.Status < 400 || ee.Status > 499 {
				t.Fatalf("%q: error %v", vars, err)
			}
			return
		}
		seen := make(map[string]bool)
		for name, value := range e.All() {
			folded := strings.ToUpper(name)
			switch {
			case seen[folded]:
				t.Errorf("%q: two variables %q", vars, name)
			case folded == "HTTP_PROXY" || folded == "PATH" || folded == "SCRIPT_FILENAME" || folded == "DOCUMENT_ROOT":
				t.Errorf("%q: %s=%q", vars, name, value)
			case name == "" || strings.Trim(folded, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" || strings.Contains(value, "\x00"):
				t.Errorf("%q: variable %q=%q", vars, name, value)
			case !trusted && !strings.HasPrefix(name, "HTTP_") && name != folded:
				t.Errorf("%q: a stranger's variable %q", vars, name)
			}
			seen[folded] = true
		}
		path, _, err := environ.ParseTarget(e.Get("REQUEST_URI"))
		if err == nil && (!strings.HasPrefix(path, "/") || strings.Contains(path+"/", "/../") || strings.Contains(path, "//")) {
			t.Errorf("%q: path %q", vars, path)
		}
	})
}
