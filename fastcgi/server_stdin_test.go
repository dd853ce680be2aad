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

// nginx stops sending STDIN when the response begins, and waits for its end: a program
// that prints its header before it reads must not be seen to do so.
func TestServerHoldsOutput(t *testing.T) {
	const size = 4 << 20
	body := strings.Repeat(rec(5, strings.Repeat("x", 32768)), size/32768)
	whole := fmt.Sprintf("Status: 200 OK|%s|0 REQUEST_COMPLETE", strings.Repeat("x", size))
	t.Run("until the end of STDIN", func(t *testing.T) {
		s := serve(t, nil)
		f := s.dial(t)
		f.say(begin1 + params1("/trickle", "10") + params1End + rec(5, "12345"))
		s.running(t, 1)
		_ = f.SetReadDeadline(time.Now().Add(10 * 50 * time.Millisecond)) // FlushAfter is far shorter
		if h, content, err := f.record(); err == nil {
			t.Fatalf("got %+v %q", h, content)
		}
		_ = f.SetReadDeadline(time.Now().Add(longEnough))
		f.say(rec(5, "67890") + stdin1End)
		if _, content, err := f.record(); err != nil || !strings.HasSuffix(content, "\r\n\r\nfirst") {
			t.Errorf("got %q %v", content, err)
		}
		close(s.app.released)
		f.want("second||0 REQUEST_COMPLETE")
	})
	t.Run("large, and the front reads only behind it", func(t *testing.T) {
		f := serve(t, nil).dial(t)
		f.say(begin1 + params1("/echo", fmt.Sprint(size)) + params1End + body + stdin1End)
		f.want(whole)
	})
	t.Run("not when there is no room for STDIN", func(t *testing.T) {
		f := serve(t, func(s *fastcgi.Server) { s.MaxSpool = 1 << 20 }).dial(t)
		done := make(chan error, 1)
		go func() {
			_, err := io.WriteString(f.Conn, begin1+params1("/echo", fmt.Sprint(size))+params1End+body+stdin1End)
			done <- err
		}()
		f.want(whole)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Run("not at the end of the request", func(t *testing.T) {
		f := serve(t, nil).dial(t)
		f.say(begin1 + params1("/ignore", "10") + params1End + rec(5, "12345"))
		f.want("Status: 200 OK|ignored|0 REQUEST_COMPLETE")
	})
	t.Run("not for a front that sends nothing", func(t *testing.T) {
		t.Parallel() // it takes 5 s
		s := serve(t, nil)
		f := s.dial(t)
		f.say(begin1 + params1("/trickle", "10") + params1End + rec(5, "12345"))
		if _, content, err := f.record(); err != nil || !strings.HasSuffix(content, "\r\n\r\nfirst") {
			t.Errorf("got %q %v", content, err)
		}
		close(s.app.released)
		f.want("second||0 REQUEST_COMPLETE")
	})
}
