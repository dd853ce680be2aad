package fastcgi_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"gatehouse/fastcgi"
)

// One request that does not read its STDIN does not block others, and loses none of it (B66).
func TestServerUnreadStdin(t *testing.T) {
	const size = 4 << 20
	s := serve(t, func(s *fastcgi.Server) { s.MaxStdin = 64 << 10 })
	f := s.dial(t)
	f.say(renumbered(2, get1("/wait")))
	f.say(begin1 + params1("/late", fmt.Sprint(size)) + params1End)
	for range size / 32768 {
		f.say(rec(5, strings.Repeat("x", 32768)))
	}
	f.say(stdin1End + renumbered(3, get1("/hello")))
	if got := f.hear(3)[0].String(); got != helloWorld {
		t.Errorf("got %q", got)
	}
	close(s.app.released)
	if got := fmt.Sprint(f.hear(1, 2)); got != "[Status: 200 OK|"+fmt.Sprint(size)+" <nil>|0 REQUEST_COMPLETE Status: 200 OK|released|0 REQUEST_COMPLETE]" {
		t.Errorf("got %q", got)
	}
}

// Without a place for it, such a request ends, the others do not.
func TestServerUnreadStdinOverflow(t *testing.T) {
	for _, spool := range []int64{-1, 100 << 10} {
		s := serve(t, func(s *fastcgi.Server) { s.MaxStdin, s.MaxSpool = 64<<10, spool })
		f := s.dial(t)
		f.say(renumbered(2, get1("/wait")))
		f.say(begin1 + params1("/late", "4000000") + params1End)
		for range 20 {
			f.say(rec(5, strings.Repeat("x", 32768)))
		}
		if got := f.hear(1)[0].String(); got != "||1 OVERLOADED" {
			t.Errorf("spool of %d: got %q", spool, got)
		}
		f.say(get1("/hello"))
		f.want(helloWorld)
		close(s.app.released)
		if got := f.hear(2)[0].String(); got != "Status: 200 OK|released|0 REQUEST_COMPLETE" {
			t.Errorf("spool of %d: got %q", spool, got)
		}
	}
}

// A front with one request is made to wait; it is noticed when it goes away meanwhile.
func TestServerFlowControl(t *testing.T) {
	const size = 8 << 20
	for _, network := range []string{"unix", "tcp"} {
		for _, spool := range []int64{-1, 1 << 20, 0} {
			t.Run(fmt.Sprint(network, " spool ", spool), func(t *testing.T) {
				s := serve(t, func(s *fastcgi.Server) { s.MaxStdin, s.MaxSpool = 64<<10, spool })
				start := func() (*front, chan error) {
					f := s.dialOn(t, network)
					f.say(begin1 + params1("/late", fmt.Sprint(size)) + params1End)
					s.running(t, 1)
					done := make(chan error, 1)
					go func() {
						_, err := io.WriteString(f.Conn, strings.Repeat(rec(5, strings.Repeat("x", 32768)), size/32768)+stdin1End)
						done <- err
					}()
					return f, done
				}
				f, done := start()
				select {
				case err := <-done:
					t.Fatalf("the front need not wait: %v", err)
				case <-time.After(100 * time.Millisecond):
				}
				if network == "unix" { // TCP tells only when it has delivered everything
					_ = f.Close()
					<-done
					s.cancelled(t, 1)
				}
				if network == "unix" {
					f, done = start()
				}
				close(s.app.released)
				f.want(fmt.Sprintf("Status: 200 OK|%d <nil>|0 REQUEST_COMPLETE", size))
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// dialOn connects by another network.
func (s *served) dialOn(t testing.TB, network string) *front {
	t.Helper()
	if network == "unix" {
		return s.dial(t)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(ln) }() // until the server is closed
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(longEnough))
	return newFront(t, conn)
}
