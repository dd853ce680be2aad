package cgi

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A strictScript is a connection whose client's bytes arrive in given pieces.
type strictScript struct {
	pieces [][]byte
	wrote  bytes.Buffer
}

func (c *strictScript) Read(p []byte) (int, error) {
	for len(c.pieces) > 0 && len(c.pieces[0]) == 0 {
		c.pieces = c.pieces[1:]
	}
	if len(c.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.pieces[0])
	c.pieces[0] = c.pieces[0][n:]
	return n, nil
}

func (c *strictScript) Write(p []byte) (int, error)      { return c.wrote.Write(p) }
func (c *strictScript) Close() error                     { return nil }
func (c *strictScript) LocalAddr() net.Addr              { return &net.UnixAddr{Name: "l", Net: "unix"} }
func (c *strictScript) RemoteAddr() net.Addr             { return &net.UnixAddr{Name: "r", Net: "unix"} }
func (c *strictScript) SetDeadline(time.Time) error      { return nil }
func (c *strictScript) SetReadDeadline(time.Time) error  { return nil }
func (c *strictScript) SetWriteDeadline(time.Time) error { return nil }

type strictOnce struct{ conn net.Conn }

func (l *strictOnce) Accept() (net.Conn, error) {
	if l.conn == nil {
		return nil, net.ErrClosed
	}
	conn := l.conn
	l.conn = nil
	return conn, nil
}
func (l *strictOnce) Close() error   { return nil }
func (l *strictOnce) Addr() net.Addr { return &net.UnixAddr{Name: "l", Net: "unix"} }

// strictResult is what became of one client's bytes.
type strictResult struct {
	passed string
	fault  *StrictError
	answer string
	heads  int   // complete heads passed on
	ends   []int // where in passed a complete request ends
}

// strictFeed sends raw, cut at the offsets of cuts, through a StrictListener.
func strictFeed(raw string, limits StrictLimits, cuts []int) strictResult {
	script := &strictScript{}
	from := 0
	for _, cut := range cuts {
		script.pieces = append(script.pieces, []byte(raw[from:cut]))
		from = cut
	}
	script.pieces = append(script.pieces, []byte(raw[from:]))
	conn, err := StrictListener(&strictOnce{script}, limits).Accept()
	if err != nil {
		panic(err)
	}
	var got strictResult
	var passed []byte
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if n == 0 && err == nil {
			panic("Read returned nothing")
		}
		passed = append(passed, buf[:n]...)
		if c := conn.(*strictConn); n == 1 && c.scanner.state == strictInStart {
			got.ends = append(got.ends, len(passed))
		}
		if err != nil {
			errors.As(err, &got.fault)
			break
		}
	}
	got.passed = string(passed)
	got.answer, _, _ = strings.Cut(script.wrote.String(), "\r\n")
	got.heads = conn.(*strictConn).scanner.heads
	return got
}

func strictEveryByte(raw string) []int {
	cuts := make([]int, len(raw))
	for i := range cuts {
		cuts[i] = i
	}
	return cuts
}

func (r strictResult) same(o strictResult) bool {
	return r.passed == o.passed && r.fault == o.fault && r.answer == o.answer && r.heads == o.heads
}

func TestStrictSplitAnywhere(t *testing.T) {
	for _, test := range strictCorpus {
		t.Run(test.name, func(t *testing.T) {
			want := strictFeed(test.raw, StrictLimits{}, nil)
			if got := strictFeed(test.raw, StrictLimits{}, strictEveryByte(test.raw)); !got.same(want) {
				t.Fatalf("byte by byte: got %+v, whole: %+v", got, want)
			}
			for i := range test.raw {
				if got := strictFeed(test.raw, StrictLimits{}, []int{i}); !got.same(want) {
					t.Fatalf("cut at %d: got %+v, whole: %+v", i, got, want)
				}
			}
		})
	}
}

// FuzzStrict holds that the verdict and the bytes passed on do not depend on how the bytes
// arrive, and that net/http finds the same requests in them, ending at the same places.
func FuzzStrict(f *testing.F) {
	for _, test := range strictCorpus {
		f.Add(test.raw, 3, 10)
	}
	f.Fuzz(func(t *testing.T, raw string, a, b int) {
		limits := StrictLimits{RequestLine: 300, Header: 400, Fields: 10, ChunkExtension: 50, Trailer: 100}
		whole := strictFeed(raw, limits, nil)
		bytewise := strictFeed(raw, limits, strictEveryByte(raw))
		if !bytewise.same(whole) {
			t.Fatalf("byte by byte: %+v\nwhole: %+v", bytewise, whole)
		}
		a, b = int(uint(a)%uint(len(raw)+1)), int(uint(b)%uint(len(raw)+1))
		if cut := strictFeed(raw, limits, []int{min(a, b), max(a, b)}); !cut.same(whole) {
			t.Fatalf("cut at %d and %d: %+v\nwhole: %+v", a, b, cut, whole)
		}
		strictReparse(t, bytewise)
	})
}

// strictReparse reads the requests of r with net/http. It may refuse one which was passed on,
// for it parses the target as well, and ends the connection then.
func strictReparse(t *testing.T, r strictResult) {
	src := strings.NewReader(r.passed)
	br := bufio.NewReaderSize(src, 1<<12)
	heads := 0
	for ; ; heads++ {
		req, err := http.ReadRequest(br)
		if err != nil {
			break
		}
		if heads == r.heads {
			t.Fatalf("net/http finds more than %d requests in %q", heads, r.passed)
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			if heads < len(r.ends) {
				t.Fatalf("net/http finds request %d incomplete: %v in %q", heads, err, r.passed)
			}
			return
		}
		end := len(r.passed) - src.Len() - br.Buffered()
		if heads >= len(r.ends) || r.ends[heads] != end {
			t.Fatalf("net/http ends request %d at %d, want one of %v in %q", heads, end, r.ends, r.passed)
		}
	}
}
