package environ_test

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"gatehouse/environ"
)

// E10, A14.
func TestParseHost(t *testing.T) {
	for _, test := range []struct {
		name, in   string
		host, port string
		ok         bool
	}{
		{"name", "example.org", "example.org", "", true},
		{"name and port", "example.org:8080", "example.org", "8080", true},
		{"lower case", "Example.ORG", "example.org", "", true},
		{"final dot", "example.org.:80", "example.org", "80", true},
		{"underscore", "a_b", "a_b", "", true},
		{"punycode", "xn--bcher-kva.example", "xn--bcher-kva.example", "", true},
		{"empty port", "example.org:", "example.org", "", true},
		{"zeros before the port", "example.org:0080", "example.org", "80", true},
		{"highest port", "example.org:65535", "example.org", "65535", true},
		{"IPv4", "192.0.2.1:80", "192.0.2.1", "80", true},
		{"IPv6", "[2001:db8::1]:443", "[2001:db8::1]", "443", true},
		{"IPv6, another spelling", "[2001:0DB8:0::1]", "[2001:db8::1]", "", true},
		{"digits first", "3com.example", "3com.example", "", true},
		{"longest", strings.Repeat("a.", 127) + "a", strings.Repeat("a.", 127) + "a", "", true},

		{"empty", "", "", "", false},
		{"only a port", ":80", "", "", false},
		{"only a dot", ".", "", "", false},
		{"two final dots", "a..", "", "", false},
		{"empty label", "a..b", "", "", false},
		{"first dot", ".a", "", "", false},
		{"too long", strings.Repeat("a.", 127) + "aa", "", "", false},
		{"port too high", "a_b:99999999", "", "", false},
		{"port just too high", "a:65536", "", "", false},
		{"port 0", "a:0", "", "", false},
		{"port with a sign", "a:+1", "", "", false},
		{"two ports", "a:1:2", "", "", false},
		{"user information, E15", "user@host", "", "", false},
		{"path", "a/b", "", "", false},
		{"space", "a b", "", "", false},
		{"markup", "a<b>", "", "", false},
		{"escape", "a%41", "", "", false},
		{"list", "a, b", "", "", false},
		{"non-ASCII", "b\u00fccher.example", "", "", false},
		{"Kelvin sign, A43", "\u212aa", "", "", false},
		{"IPv4 number", "127.0.0.400", "", "", false},
		{"IPv4 short", "127.1", "", "", false},
		{"IPv4 octal", "0177.0.0.1", "", "", false},
		{"IPv6 without brackets", "2001:db8::1", "", "", false},
		{"IPv6 unclosed", "[::1", "", "", false},
		{"IPv6 zone", "[fe80::1%eth0]", "", "", false},
		{"IPv6 and more", "[::1]a", "", "", false},
		{"IPv4 in brackets", "[127.0.0.1]", "", "", false},
		{"empty brackets", "[]", "", "", false},
	} {
		host, port, err := environ.ParseHost(test.in)
		wantStatus := 400
		if test.ok {
			wantStatus = 0
		}
		if host != test.host || port != test.port || statusOf(err) != wantStatus {
			t.Errorf("%s: ParseHost(%q) = %q, %q, %v, want %q, %q, status %d", test.name, test.in, host, port, err, test.host, test.port, wantStatus)
		}
	}
}

func FuzzParseHost(f *testing.F) {
	for _, seed := range []string{"example.org:80", "[::1]:1", "1.2.3.4", "A.b.", "a:00080", "[::ffff:1.2.3.4]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		host, port, err := environ.ParseHost(in)
		if err != nil {
			if statusOf(err) != 400 || host != "" || port != "" {
				t.Fatalf("ParseHost(%q) = %q, %q, %v", in, host, port, err)
			}
			return
		}
		if port != "" {
			if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.Itoa(int(n)) != port {
				t.Fatalf("ParseHost(%q) has the port %q", in, port)
			}
			port = ":" + port
		}
		if strings.HasPrefix(host, "[") {
			if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err != nil {
				t.Fatalf("ParseHost(%q) = %q: %v", in, host, err)
			}
		} else if host == "" || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
			t.Fatalf("ParseHost(%q) = %q", in, host)
		}
		again, againPort, err := environ.ParseHost(host + port)
		if again != host || port != "" && ":"+againPort != port || err != nil {
			t.Fatalf("ParseHost(%q) = %q, read again %q, %q, %v", in, host, again, againPort, err)
		}
	})
}
