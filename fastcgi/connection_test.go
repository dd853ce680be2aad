package fastcgi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gatehouse/cgi"
	"gatehouse/fastcgi"
)

// A file that is a body is sent again from where it stood.
func TestReplay(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "body"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text := strings.Repeat("y", 100<<10)
	if _, err := f.WriteString("skipped" + text); err != nil {
		t.Fatal(err)
	}
	a := application(t, func(p *peer) {
		if p.n == 1 {
			p.next()
			p.say(page("first"))
			_, _ = p.Read(make([]byte, 1)) // the second request, which it does not answer
			return
		}
		answering(func(p *peer, a *asked) string { return page(strconv.Itoa(len(a.stdin)) + a.stdin[:1]) })(p)
	})
	tr, _ := transport(t, nil, a.address)
	wantPage(t, tr, ask("GET", ""), "first")
	_, _ = f.Seek(7, io.SeekStart)
	req := ask("PUT", "")
	req.Body, req.ContentLength = f, int64(len(text))
	wantPage(t, tr, req, strconv.Itoa(len(text))+"y")
}

// B36: a kept connection that turns out to be dead.
func TestDeadConnection(t *testing.T) {
	for _, c := range []struct {
		name, method string
		reads        bool // the application had the request before it closed the connection
		want         bool // an answer
	}{
		{"GET, closed before it was sent", "GET", false, true},
		{"GET, closed after it was read", "GET", true, true},
		{"POST, closed before it was sent", "POST", false, true},
		{"POST, closed after it was read", "POST", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			closed := make(chan struct{})
			a := application(t, func(p *peer) {
				if p.n > 1 {
					answering(func(*peer, *asked) string { return page("second") })(p)
					return
				}
				p.next()
				p.say(page("first"))
				if c.reads {
					p.next()
				}
				_ = p.Close()
				close(closed)
			})
			tr, _ := transport(t, nil, a.address)
			wantPage(t, tr, ask("GET", ""), "first")
			if !c.reads {
				await(t, closed, "the connection to be closed")
			}
			_, body, err := answer(t, tr, ask(c.method, "x"))
			switch {
			case c.want && (body != "second" || err != nil):
				t.Errorf("%q, %v", body, err)
			case !c.want:
				wantError(t, err, cgi.NoOutput, "without an answer")
			}
		})
	}
}

// An idle connection on which the application wrote is not used.
func TestUnexpectedBytes(t *testing.T) {
	answered, poisoned := make(chan struct{}), make(chan struct{})
	a := application(t, func(p *peer) {
		p.next()
		p.say(page(strconv.Itoa(p.n)))
		if p.n == 1 {
			<-answered
			p.say(page("poison"))
			close(poisoned)
		}
		p.next()
	})
	tr, _ := transport(t, nil, a.address)
	wantPage(t, tr, ask("GET", ""), "1")
	close(answered)
	await(t, poisoned, "the bytes that nobody asked for")
	time.Sleep(150 * time.Millisecond) // beyond the time in which a GET is sent without a look
	wantPage(t, tr, ask("GET", ""), "2")
}

// An application that never accepts: its listener's queue is full.
func TestNeverAccepts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(fd)
		err = errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 0))
	}
	if err != nil {
		t.Fatal(err)
	}
	tr, _ := transport(t, func(tr *fastcgi.Transport) {
		tr.ConnectTimeout, tr.Connections = 100*time.Millisecond, 4
		tr.Times = cgi.Times{Header: 100 * time.Millisecond}
	}, "unix:"+path)
	var full net.Conn // takes the one place in the queue
	if full, err = net.Dial("unix", path); err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	_, _, err = answer(t, tr, ask("GET", ""))
	wantError(t, err, cgi.Timeout, "did not accept a connection within 100ms (connect_timeout)")
	full.Close()
}

// Nobody listens.
func TestRefused(t *testing.T) {
	// A socket that is bound and does not listen: nobody else can take its port.
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(fd)
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	if err != nil {
		t.Fatal(err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := "127.0.0.1:" + strconv.Itoa(bound.(*unix.SockaddrInet4).Port)
	for _, c := range []struct{ address, words string }{
		{addr, "cannot connect to " + addr + ": connection refused"},
		{"unix:/nonexistent/sock", "cannot connect to unix:/nonexistent/sock: no such file or directory"},
	} {
		tr, _ := transport(t, nil, c.address)
		_, _, err = answer(t, tr, ask("GET", ""))
		if e := wantError(t, err, cgi.StartFailed, c.words); e.StatusCode() != 502 {
			t.Errorf("status %d", e.StatusCode())
		}
	}
}

// B33, B67: an application that heeds it is told that the client has gone, once.
func TestAbort(t *testing.T) {
	told := make(chan string, 1)
	a := application(t, func(p *peer) {
		if p.next() == nil {
			return
		}
		p.say(stdout("Content-Type: text/plain\r\n\r\nbegin"))
		h, err := p.r.Next()
		told <- fmt.Sprintf("%v of request %d, %d bytes, %v", h.Type, h.ID, h.ContentLength, err)
		p.say(endOK)
		for p.next() != nil {
			p.say(page("next"))
		}
	})
	tr, _ := transport(t, func(tr *fastcgi.Transport) { tr.Abort, tr.AbortGrace = true, time.Minute }, a.address)
	ctx, cancel := context.WithCancel(context.Background())
	resp, err := tr.Respond(ctx, ask("GET", ""))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_ = resp.Close()
	if got, want := <-told, "ABORT_REQUEST of request 1, 0 bytes, <nil>"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	wantPage(t, tr, ask("GET", ""), "next")
	if n := a.accepts.Load(); n != 1 {
		t.Errorf("%d connections, want the one used again", n)
	}
}
