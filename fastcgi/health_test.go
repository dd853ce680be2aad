package fastcgi_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/fastcgi"
)

// What a check makes of an application's behaviour; "" is well.
func TestHealth(t *testing.T) {
	values := "\x01\x0a\x00\x00\x00\x00\x00\x00"
	for _, c := range []struct {
		name, path string
		serve      func(p *peer)
		want       string
	}{
		{"values", "", func(p *peer) { raw(p); p.say(values) }, ""},
		{"values, unknown type", "", func(p *peer) { raw(p); p.say("\x01\x0b\x00\x00\x00\x08\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00") }, ""},
		{"values, closed", "", func(p *peer) { raw(p) }, "closed without an answer to GET_VALUES"},
		{"values, something else", "", func(p *peer) { raw(p); p.say(endOK) }, "answered by END_REQUEST"},
		{"values, silence", "", func(p *peer) { raw(p); raw(p) }, "no answer within 100ms (health_timeout)"},
		{"request", "/ping?full", answering(func(_ *peer, a *asked) string {
			return page(a.get("SCRIPT_NAME") + a.get("SCRIPT_FILENAME") + a.get("QUERY_STRING"))
		}), ""},
		{"request, 404", "/ping", stay(stdout("Status: 404\n\n") + endOK), `"/ping" was answered with status 404`},
		{"request, no header", "/ping", stay(stdout("x\n") + endOK), `"/ping" was not answered well`},
		{"request, overloaded", "/ping", stay(overloaded), "refused (OVERLOADED)"},
		{"request, closed", "/ping", once(""), "closed without an answer"},
		{"request, closed after output", "/ping", once(stdout("Status: 200\n\n")), ""},
		{"request, silence", "/ping", stay(""), "(health_timeout)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := application(t, c.serve)
			tr, log := transport(t, func(tr *fastcgi.Transport) {
				tr.Health = fastcgi.Health{Interval: 20 * time.Millisecond, Timeout: longEnough, Path: c.path}
				if strings.HasSuffix(c.name, "silence") {
					tr.Health.Timeout = 100 * time.Millisecond
				}
			}, a.address)
			if err := tr.Start(); err != nil {
				t.Fatal(err)
			}
			if !soon(func() bool { return a.accepts.Load() >= 3 }) {
				t.Fatal("not checked again")
			}
			sick := tr.Status().Endpoints[0].Sick
			if (sick == "") != (c.want == "") || !strings.Contains(sick, c.want) {
				t.Errorf("%q, want %q", sick, c.want)
			}
			if n := strings.Count(log.String(), "health check failed"); c.want != "" && n != 1 || c.want == "" && n != 0 {
				t.Errorf("told %d times: %s", n, log)
			}
		})
	}
}

// raw reads whatever comes.
func raw(p *peer) { _, _ = p.Conn.Read(make([]byte, 1000)) }

// A sick endpoint gets no requests until it is well again; the only ones are used
// all the same.
func TestSickEndpoint(t *testing.T) {
	var sick atomic.Bool
	sick.Store(true)
	a := application(t, answering(func(_ *peer, a *asked) string {
		if a.get("SCRIPT_NAME") == "/ping" && sick.Load() {
			return stdout("Status: 500\n\n") + endOK
		}
		return page("a")
	}))
	b := application(t, answering(func(*peer, *asked) string { return page("b") }))
	check := func(tr *fastcgi.Transport) {
		tr.Health = fastcgi.Health{Interval: 10 * time.Millisecond, Timeout: longEnough, Path: "/ping"}
		tr.Connections = 2
	}
	tr, _ := transport(t, check, a.address, b.address)
	if !soon(func() bool { return tr.Status().Endpoints[0].Sick != "" }) {
		t.Fatal("not found sick")
	}
	for range 4 {
		wantPage(t, tr, ask("GET", ""), "b")
	}
	sick.Store(false)
	if !soon(func() bool { return tr.Status().Endpoints[0].Sick == "" }) {
		t.Fatal("not found well")
	}
	got := ""
	for range 6 {
		_, body, err := answer(t, tr, ask("GET", ""))
		if err != nil {
			t.Fatal(err)
		}
		got += body
	}
	if !strings.Contains(got, "a") {
		t.Errorf("%q: the endpoint that is well again gets nothing", got)
	}

	sick.Store(true)
	alone, _ := transport(t, check, a.address)
	if !soon(func() bool { return alone.Status().Endpoints[0].Sick != "" }) {
		t.Fatal("not found sick")
	}
	wantPage(t, alone, ask("GET", ""), "a")
}

// A check with nobody there ends with the Transport, and takes no place.
func TestHealthUnreachable(t *testing.T) {
	tr, log := transport(t, func(tr *fastcgi.Transport) {
		tr.Health = fastcgi.Health{Interval: time.Millisecond}
	}, "unix:/nonexistent/s")
	_ = tr.Start()
	if !soon(func() bool { return strings.Contains(tr.Status().Endpoints[0].Sick, "cannot connect") }) {
		t.Fatalf("%+v", tr.Status())
	}
	_ = tr.Close()
	if n := strings.Count(log.String(), "health check failed"); n != 1 {
		t.Errorf("told %d times", n)
	}
}
