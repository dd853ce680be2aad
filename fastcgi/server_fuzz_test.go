package fastcgi_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"gatehouse/cgi"
	"gatehouse/fastcgi"
)

// pipes is a listener that hands out in-memory connections, which are no descriptors.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// servePipes serves such connections.
func servePipes(t testing.TB, s *fastcgi.Server) *pipes {
	p := &pipes{make(chan net.Conn), make(chan struct{})}
	done := make(chan error, 1)
	go func() { done <- s.Serve(p) }()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return p
}

func (p *pipes) dial(t testing.TB) *front {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	t.Cleanup(func() { _ = ours.Close() })
	_ = ours.SetDeadline(time.Now().Add(longEnough))
	return newFront(t, ours)
}

// A connection that is no descriptor is served as well, and flow control works.
func TestServerOtherConnections(t *testing.T) {
	app := &responder{released: make(chan struct{})}
	p := servePipes(t, &fastcgi.Server{Gateway: &cgi.Gateway{Responder: app}, MaxStdin: 32 << 10})
	f := p.dial(t)
	f.say(get1("/hello"))
	f.want(helloWorld)
	f.say(begin1 + params1("/late", "1048576") + params1End)
	done := make(chan error, 1)
	go func() {
		_, err := io.WriteString(f.Conn, strings.Repeat(rec(5, strings.Repeat("x", 32768)), 32)+stdin1End)
		done <- err
	}()
	time.Sleep(20 * time.Millisecond)
	close(app.released)
	f.want("Status: 200 OK|1048576 <nil>|0 REQUEST_COMPLETE")
	if err := <-done; err != nil {
		t.Error(err)
	}
	_ = f.Close()
}

// FuzzServer: whatever a front sends, the server does not panic, answers only requests
// that began, each at most once per BEGIN_REQUEST, and ends the connection when the
// front has.
func FuzzServer(f *testing.F) {
	f.Add([]byte(get1("/hello")), uint16(7))
	f.Add([]byte(begin1+params1("/echo", "3")+params1End+rec(5, "abc")+stdin1End+abort1+get1("/cut")), uint16(100))
	f.Add([]byte(renumbered(2, get1("/fail"))+fromNames(fastcgi.MaxReqs)+begin1Once+abort1), uint16(1))
	f.Add([]byte("\x01\x63\x00\x00\x00\x00\x00\x00"+rec(1, "\x00\x07\x01\x00\x00\x00\x00\x00")), uint16(3))
	f.Add([]byte(begin1+rec(4, "\xff\xff\xff\xff\xff\xff\xff\xff")+params1End), uint16(9))
	app := &responder{released: make(chan struct{})}
	close(app.released)
	quiet := new(journal)
	s := &fastcgi.Server{Gateway: &cgi.Gateway{Responder: app, Log: slogTo(quiet)}, Log: slogTo(quiet), MaxStdin: 16 << 10, MaxSpool: 64 << 10, MaxParams: 32 << 10, MaxRequests: 4}
	p := servePipes(f, s)
	f.Fuzz(func(t *testing.T, in []byte, step uint16) {
		if strings.Contains(string(in), "/forever") {
			return
		}
		begun := strings.Count(string(in), "\x01\x01")
		fr := p.dial(t)
		go func() { // ends when all is written, or the connection is closed
			for rest := in; len(rest) > 0; {
				n := min(len(rest), 1+int(step))
				if _, err := fr.Conn.Write(rest[:n]); err != nil {
					return
				}
				rest = rest[n:]
			}
			_ = fr.Conn.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
		}()
		for {
			h, content, err := fr.record()
			if err != nil {
				break
			}
			if h.Type == fastcgi.TypeEndRequest {
				if _, _, err := fastcgi.ParseEndRequest([]byte(content)); err != nil {
					t.Fatal(err)
				}
				if begun--; begun < 0 {
					t.Fatal("more requests ended than began")
				}
			}
		}
		_ = fr.Close()
		if !soon(func() bool { running, _ := app.counts(); return running == 0 }) {
			t.Fatal("a request runs on")
		}
	})
}
