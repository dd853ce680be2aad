package fastcgi_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/cgi"
	"gatehouse/fastcgi"
)

// longEnough bounds every wait for what must happen; no test measures it.
const longEnough = 20 * time.Second

// soon reports whether the condition comes true in time.
func soon(cond func() bool) bool {
	for until := time.Now().Add(longEnough); time.Now().Before(until); time.Sleep(2 * time.Millisecond) {
		if cond() {
			return true
		}
	}
	return cond()
}

// Bytes that applications send.
const (
	endOK      = "\x01\x03\x00\x01\x00\x08\x00\x00" + "\x00\x00\x00\x00" + "\x00" + "\x00\x00\x00"
	endStdout  = "\x01\x06\x00\x01\x00\x00\x00\x00"
	overloaded = "\x01\x03\x00\x01\x00\x08\x00\x00" + "\x00\x00\x00\x00" + "\x02" + "\x00\x00\x00"
	cantMpx    = "\x01\x03\x00\x01\x00\x08\x00\x00" + "\x00\x00\x00\x00" + "\x01" + "\x00\x00\x00"
	unknown    = "\x01\x03\x00\x01\x00\x08\x00\x00" + "\x00\x00\x00\x00" + "\x03" + "\x00\x00\x00"
)

// rec is one record of request 1 with at most 65535 bytes and no padding.
func rec(t byte, content string) string {
	return string([]byte{1, t, 0, 1, byte(len(content) >> 8), byte(len(content)), 0, 0}) + content
}

func stdout(content string) string { return rec(6, content) }
func stderr(content string) string { return rec(7, content) }

// page is a whole small answer.
func page(body string) string {
	return stdout("Content-Type: text/plain\r\n\r\n"+body) + endStdout + endOK
}

// peer is the application's end of one connection.
type peer struct {
	net.Conn
	n int // which connection this is, from 1
	r *fastcgi.Reader
}

func (p *peer) say(s string) { _, _ = io.WriteString(p.Conn, s) }

// asked is what an application was sent for one request.
type asked struct {
	role  fastcgi.Role
	keep  bool
	vars  []string
	stdin string
	data  string
	order string // the types of the records, one letter each; same ones in a row once
}

func (a *asked) get(name string) string {
	for _, v := range a.vars {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return "(none)"
}

// next reads one request to the end of its last stream; nil when there is no more.
func (p *peer) next() *asked {
	a := new(asked)
	var params []byte
	for {
		h, err := p.r.Next()
		if err != nil {
			return nil
		}
		content := make([]byte, h.ContentLength)
		if _, err := io.ReadFull(p.r, content); err != nil {
			return nil
		}
		if letter := "?BAEPIOSDGRU"[h.Type : h.Type+1]; !strings.HasSuffix(a.order, letter) {
			a.order += letter
		}
		switch h.Type {
		case fastcgi.TypeBeginRequest:
			a.role, a.keep, _ = fastcgi.ParseBeginRequest(content)
		case fastcgi.TypeParams:
			params = append(params, content...)
			if len(content) == 0 {
				a.vars, _ = fastcgi.ParsePairs(params, 1000)
			}
		case fastcgi.TypeStdin:
			a.stdin += string(content)
			if len(content) == 0 && a.role != fastcgi.RoleFilter {
				return a
			}
		case fastcgi.TypeData:
			a.data += string(content)
			if len(content) == 0 {
				return a
			}
		}
	}
}

// app is an application made of a function that serves one connection.
type app struct {
	address string
	accepts atomic.Int64
}

// application listens on a Unix socket until the test ends.
func application(t testing.TB, serve func(p *peer)) *app {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	a := &app{address: "unix:" + path}
	var mu sync.Mutex
	var conns []net.Conn
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			n := int(a.accepts.Add(1))
			all.Go(func() {
				defer conn.Close()
				serve(&peer{conn, n, fastcgi.NewReader(conn)})
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return a
}

// answering answers every request with what f says.
func answering(f func(p *peer, a *asked) string) func(p *peer) {
	return func(p *peer) {
		for a := p.next(); a != nil; a = p.next() {
			p.say(f(p, a))
		}
	}
}

// journal is a log that can be read while it is written.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

// transport is a Transport to the addresses, closed at the end of the test, and its log.
func transport(t testing.TB, change func(*fastcgi.Transport), addresses ...string) (*fastcgi.Transport, *journal) {
	t.Helper()
	log := new(journal)
	tr := &fastcgi.Transport{
		Addresses: addresses, Name: "app", Connections: 1, Log: slog.New(slog.NewTextHandler(log, nil)),
		Times: cgi.Times{Total: time.Minute}, AbortGrace: 200 * time.Millisecond,
	}
	if change != nil {
		change(tr)
	}
	t.Cleanup(func() { _ = tr.Close() })
	return tr, log
}

var lastID atomic.Int64

// ask is a request as a front makes it; body "" is none.
func ask(method, body string) *cgi.Request {
	req := &cgi.Request{ID: "t-" + strconv.FormatInt(lastID.Add(1), 10), Path: "/", Account: new(cgi.Account)}
	req.Env.Set("REQUEST_METHOD", method)
	req.Env.Set("SCRIPT_FILENAME", "/srv/x.fcgi")
	if body != "" {
		req.Env.Set("CONTENT_LENGTH", strconv.Itoa(len(body)))
		req.Body, req.ContentLength = strings.NewReader(body), int64(len(body))
	}
	return req
}

// answer asks r and reads the body to its end.
func answer(t testing.TB, r cgi.Responder, req *cgi.Request) (status int, body string, err error) {
	t.Helper()
	resp, err := r.Respond(context.Background(), req)
	if err != nil {
		return 0, "", err
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Close()
	return resp.Status, string(text), err
}

// wantPage asks r and fails the test unless the body is as wanted.
func wantPage(t testing.TB, r cgi.Responder, req *cgi.Request, want string) {
	t.Helper()
	status, body, err := answer(t, r, req)
	if status != 200 || body != want || err != nil {
		t.Fatalf("status %d, body %.200q, error %v; want 200, %.200q", status, body, err, want)
	}
}

// wantError fails the test unless err is of that kind, with those words in its reason.
func wantError(t testing.TB, err error, kind cgi.Kind, words ...string) *cgi.Error {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %v", kind)
	}
	e := cgi.AsError(err)
	if e.Kind != kind {
		t.Errorf("kind %v (%q), want %v", e.Kind, e.Reason, kind)
	}
	for _, w := range words {
		if !strings.Contains(e.Reason, w) {
			t.Errorf("reason %q, want %q in it", e.Reason, w)
		}
	}
	return e
}

// B23 to B25, B40, A33: what a request looks like, and the bytes of a small one.
func TestRequest(t *testing.T) {
	var last *asked
	a := application(t, answering(func(p *peer, a *asked) string { last = a; return page(a.stdin) }))
	tr, _ := transport(t, func(tr *fastcgi.Transport) {
		tr.DropAuthorization = true
		tr.Env.Set("APP_MODE", "test")
		tr.Env.Set("REQUEST_METHOD", "replaced")
	}, a.address)
	req := ask("POST", "the body")
	req.Env.Set("HTTP_AUTHORIZATION", "Basic x")
	req.Env.Set("UNIQUE_ID", "of another server")
	wantPage(t, tr, req, "the body")
	want := []string{"REQUEST_METHOD=POST", "SCRIPT_FILENAME=/srv/x.fcgi", "CONTENT_LENGTH=8", "APP_MODE=test", "UNIQUE_ID=" + req.ID}
	if !slices.Equal(last.vars, want) {
		t.Errorf("parameters %q, want %q", last.vars, want)
	}
	if last.order != "BPI" || !last.keep || last.role != fastcgi.RoleResponder {
		t.Errorf("records %s, keep %v, role %v", last.order, last.keep, last.role)
	}
}

// The bytes of the smallest request, spelled out.
func TestRequestBytes(t *testing.T) {
	got := make(chan string, 1)
	a := application(t, func(p *peer) {
		buf := make([]byte, 1000)
		n, _ := p.Read(buf)
		got <- string(buf[:n])
		p.say(page(""))
	})
	tr, _ := transport(t, nil, a.address)
	req := &cgi.Request{}
	req.Env.Set("A", "1")
	wantPage(t, tr, req, "")
	want := "\x01\x01\x00\x01\x00\x08\x00\x00" + "\x00\x01\x01\x00\x00\x00\x00\x00" + // BEGIN_REQUEST, responder, keep
		"\x01\x04\x00\x01\x00\x04\x04\x00" + "\x01\x01A1" + "\x00\x00\x00\x00" + // PARAMS
		"\x01\x04\x00\x01\x00\x00\x00\x00" + // their end
		"\x01\x05\x00\x01\x00\x00\x00\x00" // no STDIN
	if first := <-got; first != want {
		t.Errorf("%q, want %q", first, want)
	}
}

// One connection carries many requests, and requests of all sizes come back whole.
func TestKeepAlive(t *testing.T) {
	a := application(t, answering(func(p *peer, a *asked) string { return page(strconv.Itoa(p.n) + a.get("N")) }))
	tr, _ := transport(t, nil, a.address)
	for n := range 50 {
		req := ask("GET", "")
		req.Env.Set("N", strconv.Itoa(n))
		wantPage(t, tr, req, "1"+strconv.Itoa(n))
	}
	st := tr.Status()
	if ep := st.Endpoints[0]; a.accepts.Load() != 1 || ep.Busy != 0 || ep.Idle != 1 || ep.Served != 50 {
		t.Errorf("%d connections, %+v", a.accepts.Load(), ep)
	}
}

// A connection that was told not to be kept, or whose uses are over, is closed.
func TestUses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*fastcgi.Transport)
		want   string // n of the connection and whether it was to be kept
	}{
		{"no keep-alive", func(tr *fastcgi.Transport) { tr.NoKeepAlive = true }, "1false 2false 3false 4false "},
		{"two uses", func(tr *fastcgi.Transport) { tr.MaxUses = 2 }, "1true 1false 2true 2false "},
		{"any", nil, "1true 1true 1true 1true "},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := application(t, answering(func(p *peer, a *asked) string {
				return page(strconv.Itoa(p.n) + strconv.FormatBool(a.keep) + " ")
			}))
			tr, _ := transport(t, c.change, a.address)
			got := ""
			for range 4 {
				_, body, err := answer(t, tr, ask("GET", ""))
				if err != nil {
					t.Fatal(err)
				}
				got += body
			}
			if got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// Many clients, few connections: every request gets its own answer, none is lost.
func TestHandOver(t *testing.T) {
	a := application(t, answering(func(p *peer, a *asked) string { return page(a.get("N")) }))
	tr, _ := transport(t, func(tr *fastcgi.Transport) { tr.Connections = 2 }, a.address)
	var all sync.WaitGroup
	for g := range 16 {
		all.Go(func() {
			for n := range 100 {
				req := ask("GET", "")
				name := strconv.Itoa(g*1000 + n)
				req.Env.Set("N", name)
				_, body, err := answer(t, tr, req)
				if err != nil || body != name {
					t.Errorf("%q, %v, want %q", body, err, name)
					return
				}
			}
		})
	}
	all.Wait()
	if n := a.accepts.Load(); n > 2 {
		t.Errorf("%d connections", n)
	}
	if ep := tr.Status().Endpoints[0]; ep.Busy != 0 || ep.Served != 1600 {
		t.Errorf("%+v", ep)
	}
}
