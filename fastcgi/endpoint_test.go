package fastcgi_test

import (
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"gatehouse/cgi"
	"gatehouse/fastcgi"
)

func TestCheckAddress(t *testing.T) {
	for _, c := range []struct{ address, want string }{
		{"127.0.0.1:9000", ""}, {"[::1]:9000", ""}, {"app.example.org:http", ""},
		{"unix:/run/x.sock", ""}, {"dns:app.example.org:9000", ""}, {"srv:_fcgi._tcp.example.org", ""},
		{"", "neither"}, {"localhost", "neither"}, {":9000", "neither"}, {"unix:", "no path"}, {"127.0.0.1:0", "no port"},
		{"unix:" + strings.Repeat("x", 108), "107"}, {"127.0.0.1:70000", "no port"}, {"dns:name", "neither"}, {"srv:example.org", "srv:"},
		{"srv:_fcgi._tcp.example.org:80", "srv:"}, {"fcgi://x:9000", "neither"},
	} {
		err := fastcgi.CheckAddress(c.address)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.address, err, c.want)
		}
	}
}

// The least busy endpoint is asked, and over time all of them are.
func TestSpread(t *testing.T) {
	a := application(t, answering(func(*peer, *asked) string { return page("a") }))
	b := application(t, answering(func(*peer, *asked) string { return page("b") }))
	tr, _ := transport(t, nil, a.address, b.address)
	got := ""
	for range 6 {
		_, body, err := answer(t, tr, ask("GET", ""))
		if err != nil {
			t.Fatal(err)
		}
		got += body
	}
	if strings.Count(got, "a") != 3 || strings.Count(got, "b") != 3 {
		t.Errorf("%q", got)
	}
	g := gated(t)
	tr2, _ := transport(t, nil, g.app.address, b.address)
	held := g.hold(t, tr2) // the first endpoint is the first to be asked
	for range 3 {
		wantPage(t, tr2, ask("GET", ""), "b")
	}
	g.free()
	<-held
}

// An endpoint that cannot be reached is passed over, and left alone for a while.
func TestEjection(t *testing.T) {
	synctest.Test(t, testEjection) // no time passes while somebody listens on a real socket
}

func testEjection(t *testing.T) {
	b := application(t, answering(func(*peer, *asked) string { return page("b") }))
	tr, _ := transport(t, nil, "unix:/nonexistent/1", b.address)
	for range 4 {
		wantPage(t, tr, ask("POST", "x"), "b")
	}
	first := tr.Status().Endpoints[0]
	if first.Failures != 1 || first.Ejected <= 0 || first.Busy != 0 {
		t.Errorf("%+v, want one failure", first)
	}
	// With none left, all are tried.
	tr2, _ := transport(t, nil, "unix:/nonexistent/1", "unix:/nonexistent/2")
	for range 2 {
		_, _, err := answer(t, tr2, ask("GET", ""))
		wantError(t, err, cgi.StartFailed, "cannot connect to unix:/nonexistent/")
	}
	for _, ep := range tr2.Status().Endpoints {
		if ep.Failures < 2 || ep.Busy != 0 {
			t.Errorf("%+v", ep)
		}
	}
}

// B31: an overloaded application's request goes to another one, whatever its method.
func TestOverloaded(t *testing.T) {
	var refused atomic.Int64
	a := application(t, answering(func(*peer, *asked) string { refused.Add(1); return overloaded }))
	b := application(t, answering(func(_ *peer, a *asked) string { return page(a.stdin) }))
	tr, _ := transport(t, nil, a.address, b.address)
	for range 4 {
		wantPage(t, tr, ask("POST", "the body"), "the body")
	}
	if refused.Load() == 0 {
		t.Error("the overloaded one was never asked")
	}
}

// B31: CANT_MPX_CONN is answered by a new connection.
func TestCannotMultiplex(t *testing.T) {
	a := application(t, answering(func(p *peer, a *asked) string {
		if p.n == 1 {
			return cantMpx
		}
		return page("new")
	}))
	tr, _ := transport(t, nil, a.address)
	wantPage(t, tr, ask("POST", "x"), "new")
}

// TCP works as Unix sockets do.
func TestTCP(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		answering(func(_ *peer, a *asked) string { return page(strconv.Itoa(len(a.stdin))) })(&peer{conn, 1, fastcgi.NewReader(conn)})
	}()
	tr, _ := transport(t, nil, ln.Addr().String())
	for _, n := range []int{1, 1 << 10, 1 << 20} {
		body := strings.Repeat("x", n)
		wantPage(t, tr, ask("POST", body), strconv.Itoa(n))
	}
	_ = tr.Close()
}
