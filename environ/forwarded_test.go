package environ_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"gatehouse/environ"
)

// trusting returns a Server that believes peers in the prefixes.
func trusting(prefixes ...string) *environ.Server {
	s := new(environ.Server)
	for _, p := range prefixes {
		addr, bits, _ := strings.Cut(p, "/")
		n := 0
		for _, c := range bits {
			n = 10*n + int(c-'0')
		}
		s.Trusted = append(s.Trusted, netip.PrefixFrom(netip.MustParseAddr(addr), n))
	}
	return s
}

// E25. The peer is 192.0.2.1, trusted as are 192.0.2.0/24 and 2001:db8:1::/48.
func TestForwarded(t *testing.T) {
	const peer = "REMOTE_ADDR=192.0.2.1 REMOTE_PORT=1234"
	for _, test := range []struct {
		name   string
		fields []string
		want   string
	}{
		{"nothing", nil, peer},
		{"one address", []string{"X-Forwarded-For", "198.51.100.7"}, "REMOTE_ADDR=198.51.100.7 REMOTE_HOST=198.51.100.7 !REMOTE_PORT"},
		{"rightmost untrusted", []string{"X-Forwarded-For", "6.6.6.6, 198.51.100.7, 192.0.2.5"}, "REMOTE_ADDR=198.51.100.7"},
		{"over several lines", []string{"X-Forwarded-For", "6.6.6.6,198.51.100.7", "X-Forwarded-For", "192.0.2.5,,"}, "REMOTE_ADDR=198.51.100.7"},
		{"all trusted", []string{"X-Forwarded-For", "192.0.2.9, 192.0.2.5"}, "REMOTE_ADDR=192.0.2.9"},
		{"with port", []string{"X-Forwarded-For", "198.51.100.7:99"}, "REMOTE_ADDR=198.51.100.7 REMOTE_PORT=99"},
		{"IPv6", []string{"X-Forwarded-For", "2001:DB8:0::7"}, "REMOTE_ADDR=2001:db8::7"},
		{"IPv6 and port", []string{"X-Forwarded-For", "[2001:db8::7]:99"}, "REMOTE_ADDR=2001:db8::7 REMOTE_PORT=99"},
		{"IPv6 trusted by 48 bits", []string{"X-Forwarded-For", "2001:db8:2::7, 2001:db8:1:ffff::1"}, "REMOTE_ADDR=2001:db8:2::7"},
		{"v4-mapped hop", []string{"X-Forwarded-For", "::ffff:198.51.100.7, ::ffff:192.0.2.5"}, "REMOTE_ADDR=198.51.100.7"},
		{"malformed", []string{"X-Forwarded-For", "1.2.3"}, peer},
		{"zone", []string{"X-Forwarded-For", "fe80::1%eth0"}, peer},
		{"port too high", []string{"X-Forwarded-For", "198.51.100.7:65536"}, peer},
		{"unclosed bracket", []string{"X-Forwarded-For", "[::1"}, peer},
		{"more after the bracket", []string{"X-Forwarded-For", "[::1]x"}, peer},
		{"client's nonsense on the left", []string{"X-Forwarded-For", "<x>\", 198.51.100.7"}, "REMOTE_ADDR=198.51.100.7"},
		{"nonsense behind a trusted hop", []string{"X-Forwarded-For", "x, 192.0.2.5"}, "REMOTE_ADDR=192.0.2.5"},
		{"31 hops", []string{"X-Forwarded-For", "198.51.100.7" + strings.Repeat(",192.0.2.5", 31)}, "REMOTE_ADDR=198.51.100.7"},
		{"too many hops", []string{"X-Forwarded-For", "198.51.100.7" + strings.Repeat(",192.0.2.5", 32)}, "REMOTE_ADDR=192.0.2.5"},

		{"https", []string{"X-Forwarded-Proto", "HTTPS"}, peer + " HTTPS=on REQUEST_SCHEME=https SERVER_PORT=443"},
		{"http", []string{"X-Forwarded-Proto", "http"}, "!HTTPS REQUEST_SCHEME=http SERVER_PORT=80"},
		{"other scheme", []string{"X-Forwarded-Proto", "ftp"}, "!HTTPS REQUEST_SCHEME=http SERVER_PORT=8080"},
		{"host", []string{"X-Forwarded-Host", "Other.example"}, "SERVER_NAME=other.example HTTP_HOST=Other.example SERVER_PORT=80"},
		{"host and port", []string{"X-Forwarded-Host", "other.example:99", "X-Forwarded-Proto", "https"}, "SERVER_NAME=other.example HTTP_HOST=other.example:99 SERVER_PORT=99"},
		{"port", []string{"X-Forwarded-Host", "other.example:99", "X-Forwarded-Port", "98"}, "SERVER_PORT=98"},
		{"wrong port", []string{"X-Forwarded-Port", "0x1"}, "SERVER_PORT=8080"},
		{"wrong host", []string{"X-Forwarded-Host", "a b"}, "SERVER_NAME=example.com HTTP_HOST=example.com SERVER_PORT=8080"},
		{"one scheme per hop", []string{"X-Forwarded-For", "6.6.6.6, 198.51.100.7, 192.0.2.5", "X-Forwarded-Proto", "http,https,http"}, "REMOTE_ADDR=198.51.100.7 HTTPS=on"},
		{"one scheme for all hops", []string{"X-Forwarded-For", "198.51.100.7, 192.0.2.5", "X-Forwarded-Proto", "https"}, "HTTPS=on"},
		{"schemes that match no hop", []string{"X-Forwarded-For", "198.51.100.7", "X-Forwarded-Proto", "https,https"}, "!HTTPS"},
		{"schemes without addresses", []string{"X-Forwarded-Proto", "https,https"}, "!HTTPS"},

		{"RFC 7239", []string{"Forwarded", "for=198.51.100.7;proto=https;host=other.example;by=192.0.2.1"}, "REMOTE_ADDR=198.51.100.7 HTTPS=on SERVER_NAME=other.example SERVER_PORT=443"},
		{"RFC 7239 quoted", []string{"Forwarded", `For="[2001:db8::7]:99"; Host="other.example:98"`}, "REMOTE_ADDR=2001:db8::7 REMOTE_PORT=99 HTTP_HOST=other.example:98 SERVER_PORT=98"},
		{"RFC 7239 unquoted", []string{"Forwarded", `for=[2001:db8::7]:99`}, "REMOTE_ADDR=2001:db8::7 REMOTE_PORT=99"},
		{"RFC 7239 list", []string{"Forwarded", `for=6.6.6.6, for=198.51.100.7;proto=https, for=192.0.2.5;proto=http`}, "REMOTE_ADDR=198.51.100.7 HTTPS=on"},
		{"RFC 7239 comma in quotes", []string{"Forwarded", `for=198.51.100.7;secret="a,b;c"`}, "REMOTE_ADDR=198.51.100.7"},
		{"RFC 7239 hidden port", []string{"Forwarded", `for="198.51.100.7:_x"`}, "REMOTE_ADDR=198.51.100.7 !REMOTE_PORT"},
		{"RFC 7239 unknown", []string{"Forwarded", "for=unknown;proto=https"}, peer + " !HTTPS"},
		{"RFC 7239 hidden", []string{"Forwarded", "for=_gazonk"}, peer},
		{"RFC 7239 no for", []string{"Forwarded", "proto=https"}, peer + " !HTTPS"},
		{"RFC 7239 twice", []string{"Forwarded", "for=198.51.100.7;for=198.51.100.8"}, peer},
		{"RFC 7239 empty value", []string{"Forwarded", "for="}, peer},
		{"RFC 7239 unclosed", []string{"Forwarded", `for="198.51.100.7`}, peer},
		{"RFC 7239 more after the quote", []string{"Forwarded", `for="198.51.100.7"x`}, peer},
		{"RFC 7239 no pair", []string{"Forwarded", "198.51.100.7"}, peer},
		{"RFC 7239 client's quote", []string{"Forwarded", `for="6.6.6.6, for=198.51.100.7`}, "REMOTE_ADDR=198.51.100.7"},
		{"RFC 7239 client's escape", []string{"Forwarded", `for="6.6.6.6\", for="198.51.100.7"`}, "REMOTE_ADDR=198.51.100.7"},
		{"RFC 7239 malformed behind a trusted hop", []string{"Forwarded", `x, for=192.0.2.5;proto=https`}, "REMOTE_ADDR=192.0.2.5 HTTPS=on"},
		{"RFC 7239 too many hops", []string{"Forwarded", "for=198.51.100.7" + strings.Repeat(",for=192.0.2.5", 32)}, "REMOTE_ADDR=192.0.2.5"},

		{"both agree", []string{"X-Forwarded-For", "198.51.100.7", "Forwarded", "for=198.51.100.7;proto=https"}, "REMOTE_ADDR=198.51.100.7 !HTTPS"},
		{"both, one malformed", []string{"X-Forwarded-For", "198.51.100.7", "Forwarded", "x"}, "REMOTE_ADDR=198.51.100.7"},
		{"both, the other malformed", []string{"X-Forwarded-For", "x", "Forwarded", "for=198.51.100.7"}, "REMOTE_ADDR=198.51.100.7"},
		{"a believed field stays", []string{"X-Forwarded-For", "198.51.100.7"}, "HTTP_X_FORWARDED_FOR=198.51.100.7"},
		{"SERVER_ADDR stays", []string{"X-Forwarded-For", "198.51.100.7"}, "SERVER_ADDR=192.0.2.80"},
	} {
		s := trusting("192.0.2.0/24", "2001:db8:1::/48")
		checkVars(t, test.name, mustEnv(t, s, request("GET", "/", test.fields...)), test.want)

		// The same from a peer that is not trusted changes nothing.
		s = trusting("192.0.3.0/24", "2001:db8:1::/48")
		e := mustEnv(t, s, request("GET", "/", test.fields...))
		checkVars(t, test.name+", not trusted", e, peer+" !HTTPS SERVER_NAME=example.com HTTP_HOST=example.com SERVER_PORT=8080 !HTTP_X_FORWARDED_FOR !HTTP_FORWARDED")
	}
}

// checkVars holds e against a list of NAME=value and, for absent ones, !NAME.
func checkVars(t *testing.T, test string, e environ.Env, want string) {
	t.Helper()
	for _, w := range strings.Fields(want) {
		name, value, present := strings.Cut(strings.TrimPrefix(w, "!"), "=")
		if got, ok := e.Lookup(name); got != value || ok != present {
			t.Errorf("%s: %s=%q (present: %t), want %s", test, name, got, ok, w)
		}
	}
}

// Two fields that name two clients: at least one is the client's own.
func TestForwardedContradiction(t *testing.T) {
	r := request("GET", "/", "X-Forwarded-For", "198.51.100.7", "Forwarded", "for=6.6.6.6")
	if _, err := trusting("192.0.2.1/32").FromHTTP(r); statusOf(err) != 400 {
		t.Errorf("got %v, want status 400", err)
	}
}

func TestForwardedTrust(t *testing.T) {
	unix := &net.UnixAddr{Name: "/s", Net: "unix"}
	for _, test := range []struct {
		name   string
		server *environ.Server
		peer   string
		local  net.Addr
		want   string
	}{
		{"v4-mapped peer", trusting("192.0.2.0/24"), "[::ffff:192.0.2.1]:1", nil, "REMOTE_ADDR=198.51.100.7"},
		{"v4-mapped prefix", trusting("::ffff:192.0.2.0/120"), "192.0.2.1:1", nil, "REMOTE_ADDR=198.51.100.7"},
		{"v4-mapped prefix, another address", trusting("::ffff:192.0.2.0/120"), "192.0.3.1:1", nil, "REMOTE_ADDR=192.0.3.1"},
		{"all of 128 bits", trusting("2001:db8::1/128"), "[2001:db8::2]:1", nil, "REMOTE_ADDR=2001:db8::2"},
		{"IPv6", trusting("2001:db8::1/128"), "[2001:db8::1]:1", nil, "REMOTE_ADDR=198.51.100.7"},
		{"IPv6 with zone", trusting("fe80::/64"), "[fe80::1%eth0]:1", nil, "REMOTE_ADDR=198.51.100.7"},
		{"::/0 has no IPv4", trusting("::/0"), "192.0.2.1:1", nil, "REMOTE_ADDR=192.0.2.1"},
		{"0.0.0.0/0 has no Unix peer", trusting("0.0.0.0/0"), "@", unix, "REMOTE_ADDR=0.0.0.0"},
		{"Unix", &environ.Server{TrustUnix: true}, "@", unix, "REMOTE_ADDR=198.51.100.7"},
		{"Unix with a name", &environ.Server{TrustUnix: true}, "/run/s", unix, "REMOTE_ADDR=198.51.100.7"},
		{"Unix, not trusted", &environ.Server{}, "@", unix, "REMOTE_ADDR=0.0.0.0"},
		{"TCP without a peer's address", &environ.Server{TrustUnix: true}, "", nil, "REMOTE_ADDR=0.0.0.0"},
		{"TCP is not Unix", &environ.Server{TrustUnix: true}, "192.0.2.1:1", nil, "REMOTE_ADDR=192.0.2.1"},
	} {
		r := request("GET", "/", "X-Forwarded-For", "198.51.100.7")
		r.RemoteAddr = test.peer
		if test.local != nil {
			local(r, test.local)
		}
		checkVars(t, test.name, mustEnv(t, test.server, r), test.want)
	}
}

// A proxy that was asked without TLS, but asks with it.
func TestForwardedPlainOverTLS(t *testing.T) {
	r := request("GET", "/", "X-Forwarded-Proto", "http")
	r.TLS = new(tls.ConnectionState)
	checkVars(t, "http over TLS", mustEnv(t, trusting("192.0.2.1/32"), r), "!HTTPS REQUEST_SCHEME=http SERVER_PORT=80 !SSL_PROTOCOL")
}

// Whatever the client has sent, what the trusted proxy appends to it is read.
func FuzzForwarded(f *testing.F) {
	for _, seed := range []string{"", `for="`, `for="\`, `\"`, `for=a;x="b,c"`, ",", `"`, "1.2.3.4, 5.6.7.8", `for="[::1]:1`} {
		f.Add(seed)
	}
	s := trusting("192.0.2.1/32")
	f.Fuzz(func(t *testing.T, client string) {
		if strings.ContainsFunc(client, func(r rune) bool { return r < ' ' && r != '\t' }) || len(client) > 1<<16 {
			return // not a field value
		}
		for _, test := range []struct{ field, appended string }{
			{"X-Forwarded-For", "198.51.100.7"},
			{"Forwarded", "for=198.51.100.7;proto=https"},
			{"Forwarded", `for="198.51.100.7:80";proto=https`},
		} {
			lines := [][]string{{client + ", " + test.appended}, {client, test.appended}}
			for _, values := range lines {
				r := request("GET", "/")
				r.Header = http.Header{test.field: values}
				e, err := s.FromHTTP(r)
				if err != nil {
					t.Fatal(err)
				}
				if got := e.Get("REMOTE_ADDR"); got != "198.51.100.7" {
					t.Fatalf("%s %q: REMOTE_ADDR=%q", test.field, values, got)
				}
			}
			// On its own it gives an address or is ignored.
			r := request("GET", "/")
			r.Header = http.Header{test.field: {client}}
			e, err := s.FromHTTP(r)
			if err != nil {
				t.Fatal(err)
			}
			if addr, err := netip.ParseAddr(e.Get("REMOTE_ADDR")); err != nil || addr.Is4In6() || addr.Zone() != "" {
				t.Fatalf("%s %q: REMOTE_ADDR=%q", test.field, client, e.Get("REMOTE_ADDR"))
			}
		}
	})
}
