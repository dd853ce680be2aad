package site_test

import (
	"strings"
	"testing"
)

// Clients are told apart as REMOTE_ADDR tells them, and before anybody asks for a
// password.
func TestAllowAndDeny(t *testing.T) {
	dir := tree(t, files{"htdocs/x": "inside", "users": userLines, "front": script(okHeader, "printf front")})
	s := start(t, dir, `
trusted_proxies = ["127.0.0.1"]
deny = ["192.0.2.66"]
[[site]]
hosts = ["open.test"]
root = "DIR/htdocs"
fallback = "/front"
[[site.route]]
path = "/front"
cgi = "DIR/front"
[[site.route]]
path = "/lan/"
static = "DIR/htdocs/"
allow = ["10.0.0.0/8", "2001:db8::/33", "127.0.0.1"]
deny = ["10.9.0.0/16", "10.1.2.3"]
[[site.route]]
path = "/nobody/"
redirect = "/x"
deny = ["all"]
[[site.route]]
path = "/everybody/"
static = "DIR/htdocs/"
deny = []
[[site.route]]
path = "/both/"
static = "DIR/htdocs/"
allow = ["10.0.0.1"]
basic_auth = { file = "DIR/users" }
[[site.route]]
path = "*.cgi"
redirect = "/x"
allow = ["10.0.0.1"]
`)
	for _, test := range []struct {
		name, client, target string
		status               int
	}{
		{"the peer itself", "", "/x", 200},
		{"denied at the top", "192.0.2.66", "/x", 403},
		{"its neighbour", "192.0.2.67", "/x", 200},
		{"IPv4 as IPv6", "::ffff:192.0.2.66", "/x", 403},
		{"in a network", "10.200.0.1", "/lan/x", 200},
		{"the peer, which is allowed", "", "/lan/x", 200},
		{"not in it", "11.0.0.0", "/lan/x", 403},
		{"first of it", "10.0.0.0", "/lan/x", 200},
		{"last of it", "10.255.255.255", "/lan/x", 200},
		{"deny comes first", "10.9.255.255", "/lan/x", 403},
		{"one address", "10.1.2.3", "/lan/x", 403},
		{"IPv6", "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff", "/lan/x", 200},
		{"beyond its network", "2001:db8:8000::", "/lan/x", 403},
		{"the nearest alone decides", "192.0.2.66", "/everybody/x", 200},
		{"all", "10.0.0.1", "/nobody/x", 403},
		{"what there is not", "11.0.0.0", "/lan/nothing", 403},
		{"and what the fallback answers", "10.0.0.1", "/lan/nothing", 200},
		{"by the end of a name that there is not", "11.0.0.0", "/nothing.cgi", 403},
		{"before the password", "11.0.0.0", "/both/x", 403},
		{"then the password", "10.0.0.1", "/both/x", 401},
	} {
		t.Run(test.name, func(t *testing.T) {
			lines := []string{"Host: open.test"}
			if test.client != "" {
				lines = append(lines, "X-Forwarded-For: "+test.client)
			}
			a := s.get(t, test.target, lines...)
			if a.StatusCode != test.status {
				t.Errorf("got %d %q, want %d", a.StatusCode, a.body, test.status)
			}
			if test.status == 403 && (strings.Contains(a.body, "allow") || a.Header.Get("WWW-Authenticate") != "") {
				t.Errorf("a client was told why: %v %q", a.Header, a.body)
			}
		})
	}
	if line := s.accessOf(t, "client=10.1.2.3"); !strings.Contains(line, `reason="the client's address 10.1.2.3 is in deny"`) {
		t.Errorf("got %s", line)
	}
}

// What a peer says about its client is nothing where it is not trusted.
func TestAllowDoesNotBelieveClients(t *testing.T) {
	dir := tree(t, files{"htdocs/x": "inside"})
	s := start(t, dir, "[[site]]\nroot = 'DIR/htdocs'\nallow = ['10.0.0.1']\n")
	for _, line := range []string{"X-Forwarded-For: 10.0.0.1", "X-Real-IP: 10.0.0.1", "Forwarded: for=10.0.0.1", "Remote-Addr: 10.0.0.1"} {
		if a := s.get(t, "/x", line); a.StatusCode != 403 {
			t.Errorf("%s: got %d %q", line, a.StatusCode, a.body)
		}
	}
}
