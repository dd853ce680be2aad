package fastcgi_test

import (
	"io"
	"strings"
	"testing"

	"gatehouse/cgi"
	"gatehouse/fastcgi"
)

// running waits until n requests run.
func (s *served) running(t testing.TB, n int) {
	t.Helper()
	if !soon(func() bool { running, _ := s.app.counts(); return running == n }) {
		running, _ := s.app.counts()
		t.Fatalf("%d requests run, want %d", running, n)
	}
}

// cancelled waits until n requests were cancelled, and none runs.
func (s *served) cancelled(t testing.TB, n int) {
	t.Helper()
	if !soon(func() bool { r, c := s.app.counts(); return r == 0 && c == n }) {
		r, c := s.app.counts()
		t.Fatalf("%d requests were cancelled and %d run, want %d and 0", c, r, n)
	}
}

func TestServerRoles(t *testing.T) { // B60
	s := serve(t, nil)
	f := s.dial(t)
	for _, role := range []string{"\x00\x00", "\x00\x03", "\x00\x09", "\x01\x01"} {
		f.say("\x01\x01\x00\x01\x00\x08\x00\x00" + role + "\x01\x00\x00\x00\x00\x00" + params1("/hello", "") + params1End + stdin1End)
		f.want("||0 UNKNOWN_ROLE")
	}
	f.say(get1("/hello"))
	f.want(helloWorld)
	f.say("\x01\x01\x00\x01\x00\x08\x00\x00" + "\x00\x09\x00\x00\x00\x00\x00\x00")
	f.want("||0 UNKNOWN_ROLE")
	f.wantEnd()
}

// A web server asks us whether a request is allowed; it sends no STDIN then, or only its end.
func TestServerAuthorizer(t *testing.T) { // B42
	s := serve(t, func(s *fastcgi.Server) { s.Gateway.(*cgi.Gateway).Server.TrustUnix = true })
	const ask = "\x01\x01\x00\x01\x00\x08\x00\x00" + "\x00\x02\x01\x00\x00\x00\x00\x00"
	for _, stdin := range []string{"", stdin1End} {
		f := s.dialOn(t, "unix")
		for range 2 {
			f.say(ask + params1("/role", "5") + rec(4, "\x0d\x06REMOTE_PASSWDsecret") + params1End + stdin)
			f.want("Status: 200 OK|AUTHORIZER secret|0 REQUEST_COMPLETE")
		}
	}
}

func TestServerManagement(t *testing.T) { // B61, B62, B63
	const ask = "\x01\x09\x00\x00\x00\x24\x03\x00" + "\x0f\x00FCGI_MPXS_CONNS" + "\x0d\x00FCGI_MAX_REQS" + "\x00\x00" + "\x00\x00" + "xxx"
	s := serve(t, func(s *fastcgi.Server) { s.MaxConns, s.MaxReqs = 77, 88 })
	tests := []struct{ name, say, want string }{
		{"all", fromNames(fastcgi.MaxConns, fastcgi.MaxReqs, fastcgi.MpxsConns),
			"\x0e\x02FCGI_MAX_CONNS77" + "\x0d\x02FCGI_MAX_REQS88" + "\x0f\x01FCGI_MPXS_CONNS1"},
		{"one and an unknown", fromNames("FCGI_NONSENSE", fastcgi.MpxsConns), "\x0f\x01FCGI_MPXS_CONNS1"},
		{"nothing", fromNames(), ""},
		{"the same time and again", fromNames(strings.Split(strings.Repeat(fastcgi.MaxReqs+" ", 4000), " ")[:4000]...), "\x0d\x02FCGI_MAX_REQS88"},
	}
	for _, within := range []string{"idle", "between PARAMS", "running"} {
		f := s.dial(t)
		switch within {
		case "between PARAMS":
			f.say(begin1 + rec(4, "\x04"))
		case "running":
			f.say(get1("/wait"))
			s.running(t, 1)
		}
		for _, tt := range tests {
			f.say(tt.say)
			h, content, err := f.record()
			if err != nil || h.Type != fastcgi.TypeGetValuesResult || h.ID != 0 || content != tt.want {
				t.Errorf("%s, %s: got %+v %q %v, want %q", within, tt.name, h, content, err, tt.want)
			}
		}
		f.say("\x01\x63\x00\x00\x00\x03\x05\x00abc12345")
		if h, content, err := f.record(); err != nil || h.Type != fastcgi.TypeUnknownType || content != "\x63\x00\x00\x00\x00\x00\x00\x00" {
			t.Errorf("%s: unknown type: %+v %q %v", within, h, content, err)
		}
		_ = f.Close()
	}
	s.cancelled(t, 1)
	f := s.dial(t)
	f.say(ask) // with an empty name
	f.wantEnd()
}

func fromNames(names ...string) string { return string(fastcgi.AppendGetValues(nil, names...)) }

// What breaks the protocol ends the connection and nothing else.
func TestServerProtocolErrors(t *testing.T) {
	s := serve(t, nil)
	tests := []struct{ name, say, log string }{
		{"version 0", "\x00" + begin1[1:], "record of version 0 instead of 1"},
		{"HTTP", "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", "record of version 71 instead of 1"},
		{"BEGIN of 7 bytes", rec(1, "\x00\x01\x01\x00\x00\x00\x00"), "BEGIN_REQUEST record with 7 bytes instead of 8"}, // B60
		{"BEGIN of 9 bytes", rec(1, "\x00\x01\x01\x00\x00\x00\x00\x00\x00"), "BEGIN_REQUEST record with 9 bytes instead of 8"},
		{"BEGIN of 0 bytes", rec(1, ""), "BEGIN_REQUEST record with 0 bytes instead of 8"},
		{"BEGIN for id 0", renumbered(0, begin1), "BEGIN_REQUEST record with request id 0"}, // B11
		{"STDIN for id 0", renumbered(0, rec(5, "x")), "STDIN record with request id 0"},
		{"GET_VALUES for id 1", rec(9, ""), "GET_VALUES record with request id 1"},
		{"second BEGIN", begin1 + begin1, "BEGIN_REQUEST record for request 1, which is active"}, // B60
		{"second BEGIN while it runs", get1("/wait") + begin1, "BEGIN_REQUEST record for request 1, which is active"},
		{"a malformed pair asked for", "\x01\x09\x00\x00\x00\x01\x00\x00\x80", "name-value pair is cut short"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			other := s.dial(t)
			f := s.dial(t)
			f.say(tt.say)
			f.wantEnd()
			other.say(get1("/hello"))
			other.want(helloWorld)
			if log := s.log.String(); !strings.Contains(log, tt.log) {
				t.Errorf("log %q, want %q in it", log, tt.log)
			}
		})
	}
	s.cancelled(t, 1)
}

// Variables that cannot be used end one request, and the connection stays usable.
func TestServerBadParams(t *testing.T) {
	s := serve(t, func(s *fastcgi.Server) { s.MaxMemory = 3 << 20 })
	tooLong := rec(4, strings.Repeat("x", 65535))
	const malformed = "Status: 400 Bad Request|the request's variables are malformed\n|1 REQUEST_COMPLETE"
	tests := []struct{ name, params, want string }{
		{"a pair that is cut short", rec(4, "\x05\x05name"), malformed}, // B08
		{"a length that is cut short", rec(4, "\x80\x00"), malformed},
		{"lengths of 2 GiB", rec(4, "\xff\xff\xff\xff\xff\xff\xff\xffA"), malformed}, // B07
		{"empty name", rec(4, "\x00\x01x"), malformed},                               // B09
		{"NUL", rec(4, "\x01\x01A\x00"), malformed},
		{"= in a name", rec(4, "\x02\x00A="), malformed},
		{"1100 variables", rec(4, strings.Repeat("\x01\x00A", 1100)), malformed},
		{"more than a MiB", strings.Repeat(tooLong, 17), "Status: 431 Request Header Fields Too Large|the request's variables are too long\n|1 OVERLOADED"}, // B71
		{"much more", strings.Repeat(tooLong, 100), "Status: 431 Request Header Fields Too Large|the request's variables are too long\n|1 OVERLOADED"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := s.dial(t)
			for range 3 {
				f.say(begin1 + tt.params + params1End + stdin1End)
				f.want(tt.want)
				f.say(get1("/hello"))
				f.want(helloWorld)
			}
		})
	}
	t.Run("more than the server's memory", func(t *testing.T) {
		half := s.dial(t)
		for id := byte(1); id <= 3; id++ {
			half.say(renumbered(id, begin1+strings.Repeat(tooLong, 15)))
		}
		half.say(renumbered(4, begin1+strings.Repeat(tooLong, 15)))
		if got := half.hear(4)[0].String(); got != "||1 OVERLOADED" {
			t.Errorf("got %q", got)
		}
		_ = half.Close()
		f := s.dial(t)
		if !soon(func() bool { // what was held is free again
			f.say(begin1 + strings.Repeat(tooLong, 15) + params1End + stdin1End)
			return f.hear(1)[0].String() == malformed
		}) {
			t.Error("memory is not given back")
		}
	})
}

// A megabyte of variables in as many pieces as possible arrives (B08).
func TestServerLargeParams(t *testing.T) {
	s := serve(t, func(s *fastcgi.Server) { s.MaxParams = 300 << 10 })
	f := s.dial(t)
	text := params1("/hello", "")[8:] + "\x06\x80\x04\x00\x00COOKIE" + strings.Repeat("c", 256<<10)
	f.say(begin1)
	for len(text) > 0 {
		n := min(len(text), 8191)
		f.say(rec(4, text[:n]))
		text = text[n:]
	}
	f.say(params1End + stdin1End)
	if got := f.hear(1)[0]; !got.ended || got.status != 0 || got.app != 0 {
		t.Errorf("got %v", got)
	}
}

// Go issue 81548: BEGIN_REQUEST records, and nothing else, take no memory.
func TestServerBeginFlood(t *testing.T) {
	s := serve(t, func(s *fastcgi.Server) { s.MaxRequests = 10 })
	f := s.dial(t)
	for id := 1; id <= 10; id++ {
		f.say(renumbered(byte(id), begin1))
	}
	for id := 11; id < 250; id++ {
		f.say(renumbered(byte(id), begin1))
		if got := f.hear(uint16(id))[0].String(); got != "||0 OVERLOADED" {
			t.Fatalf("request %d: %q", id, got)
		}
	}
	f.say(renumbered(3, params1("/hello", "")+params1End+stdin1End))
	if got := f.hear(3)[0].String(); got != helloWorld {
		t.Errorf("got %q", got)
	}
	// The answers are not read: the connection is closed long before they take much.
	flood := strings.Repeat(renumbered(200, begin1), 1000)
	for n := 0; ; n++ {
		if _, err := io.WriteString(f.Conn, flood); err != nil {
			break
		}
		if n > 1000 {
			t.Fatal("a flood of requests is not stopped")
		}
	}
}

// The same for requests that run: they are not served beyond MaxReqs, on any connection.
func TestServerMaxReqs(t *testing.T) {
	s := serve(t, func(s *fastcgi.Server) { s.MaxReqs = 3 })
	a, b := s.dial(t), s.dial(t)
	a.say(get1("/wait") + renumbered(2, get1("/wait")))
	b.say(get1("/wait"))
	s.running(t, 3)
	b.say(renumbered(2, get1("/hello")))
	if got := b.hear(2)[0].String(); got != "||0 OVERLOADED" {
		t.Errorf("got %q", got)
	}
	_ = a.Close()
	s.running(t, 1)
	if !soon(func() bool { b.say(renumbered(2, get1("/hello"))); return b.hear(2)[0].String() == helloWorld }) {
		t.Error("no request is served after others have ended")
	}
}

// At MaxConns the connection that has been idle longest makes room; if all are in use
// the new one is closed at once.
func TestServerMaxConns(t *testing.T) {
	s := serve(t, func(s *fastcgi.Server) { s.MaxConns = 2 })
	idle, busy := s.dial(t), s.dial(t)
	idle.say(get1("/hello"))
	idle.want(helloWorld)
	busy.say(get1("/wait"))
	s.running(t, 1)
	var third *front
	if !soon(func() bool { // it may not be idle yet, though its answer is here
		third = s.dial(t)
		_, _ = io.WriteString(third.Conn, get1("/wait")+fromNames())
		h, _, err := third.record() // the end of a connection that was refused
		return err == nil && h.Type == fastcgi.TypeGetValuesResult
	}) {
		t.Fatal("no room was made")
	}
	s.running(t, 2)
	idle.wantEnd()
	fourth := s.dial(t)
	fourth.wantEnd()
	close(s.app.released)
	busy.want("Status: 200 OK|released|0 REQUEST_COMPLETE")
	third.want("Status: 200 OK|released|0 REQUEST_COMPLETE")
	if !strings.Contains(s.log.String(), "too many connections") {
		t.Error("nothing is logged")
	}
}

// ABORT_REQUEST and a closed connection end the work at once (B67).
func TestServerAbort(t *testing.T) {
	const aborted = "||1 REQUEST_COMPLETE"
	s := serve(t, nil)
	f := s.dial(t)
	for n, say := range []string{
		get1("/wait"),
		begin1 + params1("/late", "") + params1End + rec(5, "x"),
		begin1 + params1("/count", "100") + params1End + rec(5, "x"),
	} {
		f.say(say)
		s.running(t, 1)
		f.say(abort1)
		f.want(aborted)
		s.running(t, 0)
		if n == 0 {
			s.cancelled(t, 1)
		}
	}
	for _, say := range []string{begin1, begin1 + params1("/hello", ""), begin1 + rec(4, "\x80")} {
		f.say(say + abort1)
		f.want(aborted)
	}
	// Go's net/http/fcgi: an abort behind a complete request, or behind its end, or two.
	f.say(get1("/hello"))
	f.want(helloWorld)
	f.say(abort1 + abort1 + get1("/wait") + abort1 + abort1)
	f.want(aborted)
	f.say(get1("/hello"))
	f.want(helloWorld)

	// While output is on its way: nothing of it comes behind END_REQUEST.
	f.say(get1("/forever") + renumbered(2, get1("/wait")))
	if _, _, err := f.record(); err != nil {
		t.Fatal(err)
	}
	f.say(abort1)
	if got := f.hear(1)[0]; !got.ended || got.app != 1 {
		t.Errorf("got %v", got)
	}
	f.say(get1("/hello"))
	f.want(helloWorld)
	_ = f.Close()
	if !soon(func() bool { r, _ := s.app.counts(); return r == 0 }) {
		t.Error("requests of a closed connection run on")
	}
}
