package fastcgi_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/cgi"
	"gatehouse/fastcgi"
)

// names is a resolver made of two tables; a name that is missing is an error.
type names struct {
	mu    sync.Mutex
	hosts map[string][]string
	srv   map[string][]*net.SRV
	asked int
}

func (n *names) set(host string, ips ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[host] = ips
	if ips == nil {
		delete(n.hosts, host)
	}
}

func (n *names) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	ips, ok := n.hosts[host]
	if !ok || network != "ip" {
		return nil, errors.New("no such host: " + host)
	}
	var all []netip.Addr
	for _, ip := range ips {
		all = append(all, netip.MustParseAddr(ip))
	}
	return all, nil
}

func (n *names) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if all, ok := n.srv[name]; ok && service == "" && proto == "" {
		return name, all, nil
	}
	return "", nil, errors.New("no such service: " + name)
}

// addresses are those of a Transport's endpoints.
func addresses(tr *fastcgi.Transport) string {
	var all []string
	for _, ep := range tr.Status().Endpoints {
		all = append(all, ep.Address)
	}
	return strings.Join(all, " ")
}

// A name is looked up again and again, the last good answer is kept, and connections
// to where it no longer leads are closed.
func TestResolve(t *testing.T) {
	res := &names{hosts: map[string][]string{"app.test": {"192.0.2.1", "2001:db8::1", "::ffff:192.0.2.9", "192.0.2.1"}}}
	tr, log := transport(t, func(tr *fastcgi.Transport) {
		tr.Resolver, tr.ResolveEvery = res, 5*time.Millisecond
	}, "dns:app.test:9000")
	if got := addresses(tr); got != "192.0.2.1:9000 [2001:db8::1]:9000 192.0.2.9:9000" {
		t.Errorf("%q", got)
	}
	res.set("app.test", "192.0.2.2", "192.0.2.9")
	if !soon(func() bool { return addresses(tr) == "192.0.2.9:9000 192.0.2.2:9000" }) {
		t.Errorf("%q after the change", addresses(tr))
	}
	for _, broken := range []func(){func() { res.set("app.test") }, func() { res.set("app.test", []string{}...) }} {
		broken()
		res.mu.Lock()
		before := res.asked
		res.mu.Unlock()
		if !soon(func() bool { res.mu.Lock(); defer res.mu.Unlock(); return res.asked > before+3 }) {
			t.Fatal("not looked up again")
		}
		if got := addresses(tr); got != "192.0.2.9:9000 192.0.2.2:9000" {
			t.Errorf("%q while there is no answer", got)
		}
	}
	if n := strings.Count(log.String(), "cannot look up"); n != 1 {
		t.Errorf("told %d times: %s", n, log)
	}
}

// Requests go where the name leads now; connections to where it led are closed.
func TestResolveMoves(t *testing.T) {
	serve := func(name string) (addr string, conns chan net.Conn) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		conns = make(chan net.Conn, 10)
		var all sync.WaitGroup
		all.Go(func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				all.Go(func() {
					defer conn.Close()
					answering(func(*peer, *asked) string { return page(name) })(&peer{conn, 1, fastcgi.NewReader(conn)})
					conns <- conn
				})
			}
		})
		t.Cleanup(func() { ln.Close(); all.Wait() })
		return ln.Addr().String(), conns
	}
	a, left := serve("a")
	b, _ := serve("b")
	record := func(addr string) []*net.SRV {
		_, port, _ := net.SplitHostPort(addr)
		var n uint16
		fmt.Sscan(port, &n)
		return []*net.SRV{{Target: "h.test.", Port: n, Priority: 1, Weight: 1}}
	}
	res := &names{hosts: map[string][]string{"h.test": {"127.0.0.1"}}, srv: map[string][]*net.SRV{"_f._tcp.test": record(a)}}
	tr, _ := transport(t, func(tr *fastcgi.Transport) { tr.Resolver, tr.ResolveEvery = res, 5*time.Millisecond }, "srv:_f._tcp.test")
	t.Cleanup(func() { _ = tr.Close() })
	wantPage(t, tr, ask("GET", ""), "a")
	res.mu.Lock()
	res.srv["_f._tcp.test"] = record(b)
	res.mu.Unlock()
	select {
	case <-left:
	case <-time.After(longEnough):
		t.Fatal("the connection to the old address is not closed")
	}
	wantPage(t, tr, ask("GET", ""), "b")
	_ = tr.Close()
}

// RFC 2782: the lowest priority that can be reached, shared by weight.
func TestPriorities(t *testing.T) {
	counts := map[string]int{}
	var mu sync.Mutex
	var records []*net.SRV
	add := func(name string, priority, weight uint16) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		go func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				go func() {
					defer conn.Close()
					answering(func(*peer, *asked) string {
						mu.Lock()
						counts[name]++
						mu.Unlock()
						return page(name)
					})(&peer{conn, 1, fastcgi.NewReader(conn)})
				}()
			}
		}()
		records = append(records, &net.SRV{Target: "h.test", Port: uint16(ln.Addr().(*net.TCPAddr).Port), Priority: priority, Weight: weight})
	}
	add("first", 1, 30)
	add("second", 1, 10)
	add("spare", 2, 100)
	records = append(records, &net.SRV{Target: "."})
	res := &names{hosts: map[string][]string{"h.test": {"127.0.0.1"}}, srv: map[string][]*net.SRV{"_f._tcp.test": records}}
	tr, _ := transport(t, func(tr *fastcgi.Transport) { tr.Resolver = res }, "srv:_f._tcp.test")
	for range 40 {
		if _, _, err := answer(t, tr, ask("GET", "")); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if counts["first"] < 28 || counts["first"] > 32 || counts["second"] < 8 || counts["spare"] != 0 {
		t.Errorf("%v, want about 30, 10 and 0", counts)
	}
	_ = tr.Close()
}

// Without any answer there is a 503 that says why.
func TestUnresolved(t *testing.T) {
	res := &names{hosts: map[string][]string{}}
	tr, _ := transport(t, func(tr *fastcgi.Transport) { tr.Resolver = res }, "dns:app.test:9000")
	_, _, err := answer(t, tr, ask("GET", ""))
	e := wantError(t, err, cgi.Busy, "no address is known of app", "no such host: app.test")
	if e.StatusCode() != 503 || e.RetryAfter == 0 {
		t.Errorf("status %d, retry after %v", e.StatusCode(), e.RetryAfter)
	}
}
