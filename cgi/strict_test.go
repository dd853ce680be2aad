package cgi

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// strictServer is a real http.Server behind StrictListener, which notes what reached its handler.
type strictServer struct {
	addr string
	mu   sync.Mutex
	seen []string
	log  bytes.Buffer
}

// strictStart serves until the test ends. pieces wraps the accepted connections, if not nil;
// handler is by default one that reads the body, notes it and answers.
func strictStart(t testing.TB, limits StrictLimits, pieces func(net.Conn) net.Conn, handler http.HandlerFunc) *strictServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &strictServer{addr: ln.Addr().String()}
	if handler == nil {
		handler = s.note
	}
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(&s.log, "", 0)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(StrictListener(&strictPieces{ln, pieces}, limits))
	}()
	t.Cleanup(func() {
		srv.Close()
		<-done
	})
	return s
}

func (s *strictServer) note(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	line := fmt.Sprintf("%s %s %q", r.Method, r.RequestURI, body)
	if err != nil {
		line += " broken"
	}
	s.mu.Lock()
	s.seen = append(s.seen, line)
	s.mu.Unlock()
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
	}
	io.WriteString(w, line)
}

func (s *strictServer) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

func (s *strictServer) dial(t testing.TB) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

type strictPieces struct {
	net.Listener
	wrap func(net.Conn) net.Conn
}

func (l *strictPieces) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil && l.wrap != nil {
		conn = l.wrap(conn)
	}
	return conn, err
}

// A strictOneByte delivers one byte at a time.
type strictOneByte struct{ *net.TCPConn }

func (c strictOneByte) Read(p []byte) (int, error) { return c.TCPConn.Read(p[:min(1, len(p))]) }

// strictExchange sends raw and returns the status codes of all responses up to the close of
// the connection. It closes nothing itself, so a server which keeps the connection
// fails the test, unless keep is set: then that many responses are read, and one more
// request has to be answered.
func strictExchange(t *testing.T, conn net.Conn, raw string, keep int) []int {
	t.Helper()
	go io.WriteString(conn, raw) // an error shows in the responses
	br := bufio.NewReader(conn)
	var codes []int
	for keep == 0 || len(codes) < keep {
		code, err := strictResponse(br)
		if err == io.EOF && keep == 0 {
			return codes
		}
		if err != nil {
			t.Fatalf("after responses %v: %v", codes, err)
		}
		codes = append(codes, code)
	}
	io.WriteString(conn, "GET /probe HTTP/1.1\r\nHost: a\r\n\r\n")
	if code, err := strictResponse(br); err != nil || code != 200 {
		t.Errorf("the connection was not kept: %d, %v", code, err)
	}
	return codes
}

func strictResponse(br *bufio.Reader) (int, error) {
	if _, err := br.Peek(1); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		return 0, fmt.Errorf("response: %v", err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, fmt.Errorf("response body: %v", err)
	}
	if date := resp.Header.Get("Date"); date == "" {
		return 0, errors.New("response without Date")
	}
	return resp.StatusCode, nil
}

const (
	strictGood = "GET /good HTTP/1.1\r\nHost: a\r\n\r\n"
	strictSmug = "GET /smug HTTP/1.1\r\nHost: a\r\n\r\n"
	strictPost = "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	strictEnd  = "0\r\n\r\n"
)

// strictCorpus is E17's: raw bytes, the responses, and the requests seen by the application.
// The connection must close when the last status is an error, and be kept otherwise.
var strictCorpus = []struct {
	name  string
	raw   string
	codes []int
	seen  []string
}{
	{"plain", strictGood, []int{200}, []string{`GET /good ""`}},
	{"1.0 without Host", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", []int{200}, []string{`GET / ""`}},
	{"all tchar in a name", "GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~09aZ: x\r\n\r\n", []int{200}, []string{`GET / ""`}},
	{"empty value, tab, obs-text", "GET / HTTP/1.1\r\nHost: a\r\nA:\r\nB:\tx\ty \xe9\r\n\r\n", []int{200}, []string{`GET / ""`}},
	{"length", "POST /p HTTP/1.1\r\nHost: a\r\ncontent-LENGTH:  005 \t\r\n\r\nhello", []int{200}, []string{`POST /p "hello"`}},
	{"chunked", strictPost + "5\r\nhello\r\n00a;x=y\r\n0123456789\r\n" + strictEnd, []int{200}, []string{`POST /p "hello0123456789"`}},
	{"chunked in capitals", "POST /p HTTP/1.1\r\nHost: a\r\nTRANSFER-ENCODING: \tCHUNKED \r\n\r\n" + strictEnd, []int{200}, []string{`POST /p ""`}},
	{"chunk extensions", strictPost + "1;a;b=c;d=\"e;\\\"\\\\\t \xe9\" \t;\tf = g\r\nx\r\n0;a\r\n\r\n", []int{200}, []string{`POST /p "x"`}},
	{"trailers", strictPost + "1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n", []int{200}, []string{`POST /p "x"`}},
	{"one empty line first", "\r\n" + strictGood, []int{200}, []string{`GET /good ""`}},
	{"empty lines between", strictPost + strictEnd + "\r\n\r\n" + strictGood, []int{200, 200}, []string{`POST /p ""`, `GET /good ""`}},
	{"CONNECT is the handler's, E07", "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", []int{200}, []string{`CONNECT h:1 ""`}},
	{"TRACE is the handler's, E08", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", []int{200}, []string{`TRACE / ""`}},
	{"names like framing, E13", "GET / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\nContent_Length: 9\r\n\r\n", []int{200}, []string{`GET / ""`}},

	{"E01 1.0 with Transfer-Encoding", "POST /p HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + strictEnd + strictSmug, []int{400}, nil},
	{"E02 1.0 with both", "POST /p HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + strictEnd + strictSmug, []int{400}, nil},
	{"E03 both", "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + strictEnd + strictSmug, []int{400}, nil},
	{"E03 both, other order", "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + strictEnd + strictSmug, []int{400}, nil},
	{"E03 both, length 0", "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n" + strictEnd + strictSmug, []int{400}, nil},
	{"E04 obs-fold", "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", []int{400}, nil},
	{"E04 folded Transfer-Encoding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n" + strictEnd, []int{400}, nil},
	{"E04 space before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", []int{400}, nil},
	{"E05 LF behind the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", []int{400}, nil},
	{"E05 LF behind a field", "GET / HTTP/1.1\r\nHost: a\nB: c\r\n\r\n", []int{400}, nil},
	{"E05 LF LF", "GET / HTTP/1.1\r\nHost: a\r\n\n" + strictSmug, []int{400}, nil},
	{"E05 LF before the request line", "\n" + strictGood, []int{400}, nil},
	{"bare CR behind the request line", "GET / HTTP/1.1\rHost: a\r\n\r\n", []int{400}, nil},
	{"bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n", []int{400}, nil},
	{"bare CR before the end", "GET / HTTP/1.1\r\nHost: a\r\n\rx\n", []int{400}, nil},
	{"bare CR before the request line", "\r" + strictGood, []int{400}, nil},
	{"three empty lines first", "\r\n\r\n\r\n" + strictGood, []int{400}, nil},
	{"E09 preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{400}, nil},
	{"PRI in HTTP/1.1 is a method", "PRI /x HTTP/1.1\r\nHost: a\r\n\r\n", []int{200}, []string{`PRI /x ""`}},
	{"E66 simple request", "GET /\r\n", []int{400}, nil},
	{"E66 version 0.9", "GET / HTTP/0.9\r\n\r\n", []int{505}, nil},
	{"version 1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", []int{505}, nil},
	{"version 2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", []int{505}, nil},
	{"version 1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", []int{400}, nil},
	{"version in small letters", "GET / http/1.1\r\nHost: a\r\n\r\n", []int{400}, nil},
	{"space behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", []int{400}, nil},
	{"no version", "GET / \r\nHost: a\r\n\r\n", []int{400}, nil},
	{"two spaces behind the method", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", []int{400}, nil},
	{"two spaces behind the target", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", []int{400}, nil},
	{"tab for a space", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", []int{400}, nil},
	{"space first", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", []int{400}, nil},
	{"method not a token", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", []int{400}, nil},
	{"target not ASCII", "GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n", []int{400}, nil},
	{"target with NUL", "GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", []int{400}, nil},
	{"target with DEL", "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", []int{400}, nil},
	{"target in two words", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", []int{400}, nil},
	{"E10 no Host", "GET / HTTP/1.1\r\n\r\n", []int{400}, nil},
	{"E10 empty Host", "GET / HTTP/1.1\r\nHost: \t \r\n\r\n", []int{400}, nil},
	{"E10 two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", []int{400}, nil},
	{"E10 two Hosts in 1.0", "GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", []int{400}, nil},
	{"space before the colon", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello", []int{400}, nil},
	{"no colon", "GET / HTTP/1.1\r\nHost: a\r\nfoo\r\n\r\n", []int{400}, nil},
	{"no name", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", []int{400}, nil},
	{"name not a token", "GET / HTTP/1.1\r\nHost: a\r\nA\xe9: b\r\n\r\n", []int{400}, nil},
	{"NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nA: b\x00\r\n\r\n", []int{400}, nil},
	{"DEL in a value", "GET / HTTP/1.1\r\nHost: a\r\nA: b\x7f\r\n\r\n", []int{400}, nil},
	{"E14 two equal lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", []int{400}, nil},
	{"E14 list of lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello", []int{400}, nil},
	{"E14 signed length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", []int{400}, nil},
	{"E14 negative length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello", []int{400}, nil},
	{"E14 hexadecimal length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello", []int{400}, nil},
	{"E14 empty length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nhello", []int{400}, nil},
	{"E14 2^63", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\nhello", []int{400}, nil},
	{"E14 2^64+5", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nhello", []int{400}, nil},
	{"E14 more zeros than are kept", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + strings.Repeat("0", 64) + "5\r\n\r\nhello", []int{400}, nil},
	{"coding unknown", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n" + strictEnd, []int{400}, nil},
	{"coding identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", []int{400}, nil},
	{"coding empty", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n" + strictEnd, []int{400}, nil},
	{"coding twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n" + strictEnd, []int{400}, nil},
	{"coding in two lines", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + strictEnd, []int{400}, nil},
	{"coding not last", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n" + strictEnd, []int{400}, nil},
	{"coding with a comma", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n" + strictEnd, []int{400}, nil},
	{"coding with a parameter", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;a=b\r\n\r\n" + strictEnd, []int{400}, nil},
	{"coding with a space inside", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chun ked\r\n\r\n" + strictEnd, []int{400}, nil},
	{"E14 length with a space inside", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 2\r\n\r\nhello", []int{400}, nil},
	{"coding behind a vertical tab", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n" + strictEnd, []int{400}, nil},
	{"coding in quotes", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n" + strictEnd, []int{400}, nil},
	{"coding with too much behind", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked" + strings.Repeat(" ", 60) + "x\r\n\r\n", []int{400}, nil},
	{"coding known to others", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + strictEnd, []int{501}, nil},
	{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", []int{400}, nil},

	{"good good bad", strictGood + strictPost + "2\r\nhi\r\n" + strictEnd + "GET / HTTP/1.1\nHost: a\r\n\r\n" + strictSmug, []int{200, 200, 400}, []string{`GET /good ""`, `POST /p "hi"`}},
	{"good, then bad at its first byte", strictGood + "\x00" + strictSmug, []int{200, 400}, []string{`GET /good ""`}},
	{"good, then bad at its end", strictGood + "GET / HTTP/1.1\r\n\r\n" + strictSmug, []int{200, 400}, []string{`GET /good ""`}},
	{"body longer than its length", "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi{}" + strictSmug, []int{200, 400}, []string{`POST /p "hi"`}},

	{"E12 bare semicolon", strictPost + "2;\r\nhi\r\n" + strictEnd + strictSmug, []int{400}, []string{`POST /p "" broken`}},
	{"E12 control in an extension", strictPost + "2;a\x01\r\nhi\r\n" + strictEnd + strictSmug, []int{400}, []string{`POST /p "" broken`}},
	{"E12 LF in a quoted extension", strictPost + "2;a=\"\n\"\r\nhi\r\n" + strictEnd + strictSmug, []int{400}, []string{`POST /p "" broken`}},
	{"E12 LF behind an extension", strictPost + "2;a\nhi\r\n" + strictEnd + strictSmug, []int{400}, []string{`POST /p "" broken`}},
	{"E12 no value", strictPost + "2;a=\r\nhi\r\n" + strictEnd, []int{400}, []string{`POST /p "" broken`}},
	{"E12 open quote", strictPost + "2;a=\"b\r\nhi\r\n" + strictEnd, []int{400}, []string{`POST /p "" broken`}},
	{"E12 space behind an extension", strictPost + "2;a \r\nhi\r\n" + strictEnd, []int{400}, []string{`POST /p "" broken`}},
	{"space behind a size", strictPost + "2 \r\nhi\r\n" + strictEnd, []int{400}, []string{`POST /p "" broken`}},
	{"space before a size", strictPost + " 2\r\nhi\r\n" + strictEnd, []int{400}, []string{`POST /p "" broken`}},
	{"size with 0x", strictPost + "0x2\r\nhi\r\n" + strictEnd, []int{400}, []string{`POST /p "" broken`}},
	{"signed size", strictPost + "+2\r\nhi\r\n" + strictEnd, []int{400}, []string{`POST /p "" broken`}},
	{"no size", strictPost + "\r\nhi\r\n" + strictEnd, []int{400}, []string{`POST /p "" broken`}},
	{"size of 17 digits", strictPost + "00000000000000002\r\nhi\r\n" + strictEnd, []int{400}, []string{`POST /p "" broken`}},
	{"size of 2^63", strictPost + "8000000000000000\r\nhi\r\n" + strictEnd, []int{400}, []string{`POST /p "" broken`}},
	{"LF behind a size", strictPost + "2\nhi\r\n" + strictEnd, []int{400}, []string{`POST /p "" broken`}},
	{"CR behind a size", strictPost + "2\rhi\r\n" + strictEnd, []int{400}, []string{`POST /p "" broken`}},
	{"LF behind data", strictPost + "2\r\nhi\n" + strictEnd + strictSmug, []int{400}, []string{`POST /p "hi" broken`}},
	{"CR behind data", strictPost + "2\r\nhi\r" + strictEnd + strictSmug, []int{400}, []string{`POST /p "hi" broken`}},
	{"data too long", strictPost + "2\r\nhi!\r\n" + strictEnd + strictSmug, []int{400}, []string{`POST /p "hi" broken`}},
	{"LF in the last chunk", strictPost + "0\n\r\n" + strictSmug, []int{400}, []string{`POST /p "" broken`}},
	{"LF as the end", strictPost + "0\r\n\n" + strictSmug, []int{400}, []string{`POST /p "" broken`}},
	{"trailer folded", strictPost + "0\r\nA: b\r\n c\r\n\r\n" + strictSmug, []int{400}, []string{`POST /p "" broken`}},
	{"trailer with LF", strictPost + "0\r\nA: b\n\r\n" + strictSmug, []int{400}, []string{`POST /p "" broken`}},
	{"trailer no field", strictPost + "0\r\n" + strictSmug, []int{400}, []string{`POST /p "" broken`}},
	{"trailer Content-Length", strictPost + "0\r\nContent-Length: 5\r\n\r\n" + strictSmug, []int{400}, []string{`POST /p "" broken`}},
	{"trailer Transfer-Encoding", strictPost + "0\r\ntransfer-encoding: chunked\r\n\r\n" + strictSmug, []int{400}, []string{`POST /p "" broken`}},
	{"good, then a body broken", strictGood + strictPost + "2;\r\nhi\r\n" + strictSmug, []int{200, 400}, []string{`GET /good ""`, `POST /p "" broken`}},
}

func TestStrictCorpus(t *testing.T) {
	for mode, pieces := range map[string]func(net.Conn) net.Conn{
		"whole": nil,
		"bytes": func(c net.Conn) net.Conn { return strictOneByte{c.(*net.TCPConn)} },
	} {
		for _, test := range strictCorpus {
			t.Run(mode+"/"+test.name, func(t *testing.T) {
				t.Parallel()
				s := strictStart(t, StrictLimits{}, pieces, nil)
				keep, seen := 0, test.seen
				if last := test.codes[len(test.codes)-1]; last < 400 {
					keep = len(test.codes)
					seen = append(slices.Clone(seen), `GET /probe ""`)
				}
				codes := strictExchange(t, s.dial(t), test.raw, keep)
				if !slices.Equal(codes, test.codes) {
					t.Errorf("got status %v, want %v for %q", codes, test.codes, test.raw)
				}
				if got := s.requests(); !slices.Equal(got, seen) {
					t.Errorf("the application saw %q, want %q for %q", got, seen, test.raw)
				}
				if s.log.Len() > 0 {
					t.Errorf("net/http logged %q", s.log.String())
				}
			})
		}
	}
}

func TestStrictLimits(t *testing.T) {
	limits := StrictLimits{RequestLine: 30, Header: 40, Fields: 3, ChunkExtension: 10, Trailer: 20}
	const line, host = "GET / HTTP/1.1\r\n", "Host: a\r\n" // 7 bytes of field
	target := func(n int) string { return "GET /" + strings.Repeat("x", n-1) + " HTTP/1.1\r\n" + host + "\r\n" }
	filler := func(n int) string { return "A: " + strings.Repeat("x", n-3) + "\r\n" }
	tests := []struct {
		name   string
		limits StrictLimits
		raw    string
		codes  []int
		kept   bool
	}{
		{"E30 longest line", limits, target(17), []int{200}, true},
		{"E30 line", limits, target(18), []int{414}, false},
		{"E30 method", limits, strings.Repeat("M", 31), []int{414}, false},
		{"E30 largest header", limits, line + host + filler(33) + "\r\n", []int{200}, true},
		{"E30 header", limits, line + host + filler(34) + "\r\n", []int{431}, false},
		{"E30 header, in a name", limits, line + strings.Repeat("N", 41), []int{431}, false},
		{"E30 most fields", limits, line + host + "A: b\r\nA: b\r\n\r\n", []int{200}, true},
		{"E30 fields", limits, line + host + "A: b\r\nA: b\r\nA: b\r\n\r\n", []int{431}, false},
		{"E30 longest extensions", limits, strictPostShort + "1;abcd\r\nx\r\n0;abcd\r\n\r\n", []int{200}, true},
		{"E30 extensions", limits, strictPostShort + "1;abcd\r\nx\r\n0;abcde\r\n\r\n", []int{400}, false},
		{"E30 longest trailer", limits, strictPostShort + "0\r\n" + filler(20) + "\r\n", []int{200}, true},
		{"E30 trailer", limits, strictPostShort + "0\r\n" + filler(21) + "\r\n", []int{400}, false},
		{"E30 trailer fields", limits, strictPostShort + "0\r\nA:\r\nA:\r\nA:\r\nA:\r\n\r\n", []int{400}, false},
		{"E30 trailer fields are counted by themselves", limits, strictPostShort + "0\r\nA:\r\nA:\r\n\r\n", []int{200}, true},
		{"E30 default line", StrictLimits{}, target(8<<10 - 13), []int{200}, true},
		{"E30 default line exceeded", StrictLimits{}, target(8<<10 - 12), []int{414}, false},
		{"E30 default header", StrictLimits{}, line + host + filler(32<<10-7) + "\r\n", []int{200}, true},
		{"E30 default header exceeded", StrictLimits{}, line + host + filler(32<<10-6) + "\r\n", []int{431}, false},
		{"E30 default fields", StrictLimits{}, line + host + strings.Repeat("A: b\r\n", 99) + "\r\n", []int{200}, true},
		{"E30 default fields exceeded", StrictLimits{}, line + host + strings.Repeat("A: b\r\n", 100) + "\r\n", []int{431}, false},
		{"E30 default extensions", StrictLimits{}, strictPost + strings.Repeat("1;"+strings.Repeat("a", 1023)+"\r\nx\r\n", 4) + strictEnd, []int{200}, true},
		{"E30 default extensions exceeded", StrictLimits{}, strictPost + strings.Repeat("1;"+strings.Repeat("a", 1023)+"\r\nx\r\n", 4) + "0;a\r\n\r\n", []int{400}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := strictStart(t, test.limits, nil, nil)
			keep := 0
			if test.kept {
				keep = len(test.codes)
			}
			if codes := strictExchange(t, s.dial(t), test.raw, keep); !slices.Equal(codes, test.codes) {
				t.Errorf("got status %v, want %v for %.200q", codes, test.codes, test.raw)
			}
		})
	}
}

const strictPostShort = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" // 33 bytes of fields

// TestStrictTrailerStatus holds the part of E30 that an application does not see.
func TestStrictTrailerStatus(t *testing.T) {
	got := strictFeed(strictPost+"0\r\nA: "+strings.Repeat("x", 4<<10)+"\r\n\r\n", StrictLimits{}, nil)
	if got.fault == nil || got.fault.Status != 431 {
		t.Errorf("got %v for a trailer above 4 KiB, want status 431", got.fault)
	}
}

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

// A fault behind a request that is being answered neither cancels its handler nor cuts into
// its response (E34, E18).
func TestStrictFaultWhileAnswering(t *testing.T) {
	for _, bad := range []string{"\x00", "G\x00", "GET / HTTP/1.1\nHost: a\r\n\r\n"} {
		for _, together := range []bool{true, false} {
			t.Run(fmt.Sprintf("%q together=%t", bad, together), func(t *testing.T) {
				started, sent := make(chan bool), make(chan bool)
				s := strictStart(t, StrictLimits{}, nil, func(w http.ResponseWriter, r *http.Request) {
					io.WriteString(w, "first ")
					w.(http.Flusher).Flush()
					started <- true
					<-sent
					select {
					case <-r.Context().Done():
						t.Errorf("the handler was cancelled: %v", context.Cause(r.Context()))
					case <-time.After(100 * time.Millisecond): // long enough for the background read
					}
					io.WriteString(w, "second")
				})
				conn := s.dial(t)
				if together {
					io.WriteString(conn, strictGood+bad)
					<-started
				} else {
					io.WriteString(conn, strictGood)
					<-started
					io.WriteString(conn, bad)
				}
				close(sent)
				br := bufio.NewReader(conn)
				resp, err := http.ReadResponse(br, nil)
				if err != nil {
					t.Fatal(err)
				}
				if body, err := io.ReadAll(resp.Body); string(body) != "first second" || err != nil {
					t.Errorf("got body %q, %v", body, err)
				}
				if code, err := strictResponse(br); code != 400 || err != nil {
					t.Errorf("got %d, %v behind it, want 400", code, err)
				}
				if _, err := br.ReadByte(); err != io.EOF {
					t.Errorf("got %v behind the refusal, want EOF", err)
				}
			})
		}
	}
}

// Behind the response which closes the connection there is no second one, whatever was sent.
func TestStrictFaultBehindClose(t *testing.T) {
	s := strictStart(t, StrictLimits{}, nil, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(50 * time.Millisecond) // the background read meets the fault
		w.Header().Set("Connection", "close")
	})
	codes := strictExchange(t, s.dial(t), strictPost+strictEnd+"\x00", 0)
	if !slices.Equal(codes, []int{200}) {
		t.Errorf("got status %v, want 200 and the end", codes)
	}
}

func TestStrictBodyError(t *testing.T) {
	faults := make(chan *StrictError, 1)
	s := strictStart(t, StrictLimits{}, nil, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		var fault *StrictError
		errors.As(err, &fault)
		faults <- fault
		w.WriteHeader(http.StatusTeapot)
	})
	codes := strictExchange(t, s.dial(t), strictPost+"2;\r\nhi\r\n"+strictEnd+strictSmug, 0)
	if !slices.Equal(codes, []int{http.StatusTeapot}) {
		t.Errorf("got status %v, want the handler's", codes)
	}
	fault := <-faults
	if fault == nil || fault.Status != 400 {
		t.Fatalf("got %v as the body's error, want a StrictError with status 400", fault)
	}
	if got, want := fault.Error(), "cgi: refused request (400): a chunk extension is malformed"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A handler which leaves a broken body unread has answered already; nothing may be taken from
// behind it (E18).
func TestStrictBrokenBodyUnread(t *testing.T) {
	s := strictStart(t, StrictLimits{}, nil, func(w http.ResponseWriter, r *http.Request) {})
	codes := strictExchange(t, s.dial(t), strictPost+"2;\r\nhi\r\n"+strictEnd+strictSmug, 0)
	if !slices.Equal(codes, []int{200}) {
		t.Errorf("got status %v, want 200 and the end", codes)
	}
}

// There is one answer, even where net/http could write another for want of CloseWrite.
func TestStrictAnswer(t *testing.T) {
	s := strictStart(t, StrictLimits{}, func(c net.Conn) net.Conn { return struct{ net.Conn }{c} }, nil)
	conn := s.dial(t)
	io.WriteString(conn, "\x16\x03\x01")
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(body), "Bad Request: this port speaks plain HTTP, not TLS.\n"; got != want {
		t.Errorf("got body %q, want %q", got, want)
	}
	if got := resp.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
		t.Errorf("got Content-Type %q", got)
	}
	if !resp.Close {
		t.Error("the response does not say Connection: close")
	}
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("got %v behind the response, want EOF", err)
	}
}

// A client which does not take the answer holds the server for strictWriteTime at most.
func TestStrictAnswerNotTaken(t *testing.T) {
	client, server := net.Pipe() // has no buffer: a write waits for its reader
	defer client.Close()
	conn, err := StrictListener(&strictOnce{server}, StrictLimits{}).Accept()
	if err != nil {
		t.Fatal(err)
	}
	go client.Write([]byte("\x00"))
	refused := make(chan error, 1)
	go func() {
		_, err := conn.Read(make([]byte, 10))
		refused <- err
	}()
	select {
	case err := <-refused:
		if fault := new(StrictError); !errors.As(err, &fault) {
			t.Errorf("got %v, want a StrictError", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("still writing after 5 s")
	}
	conn.Close()
}

// E33: the client is still sending when it is refused, and gets the response all the same.
func TestStrictLinger(t *testing.T) {
	rest := strings.Repeat("x", 40<<10)
	for name, test := range map[string]struct {
		raw  string
		code int
	}{
		"head": {"GET / HTTP/1.1\n", 400},
		"body": {strictPost + "zz", 400},
	} {
		t.Run(name, func(t *testing.T) {
			s := strictStart(t, StrictLimits{}, nil, nil)
			conn := s.dial(t)
			io.WriteString(conn, test.raw)
			br := bufio.NewReader(conn)
			if _, err := br.Peek(1); err != nil {
				t.Fatal(err)
			}
			for range 2 { // after a reset the second write, and then the read, would fail
				if _, err := io.WriteString(conn, rest[:10<<10]); err != nil {
					t.Fatal(err)
				}
			}
			if code, err := strictResponse(br); err != nil || code != test.code {
				t.Errorf("got %d, %v, want %d", code, err, test.code)
			}
			if _, err := br.ReadByte(); err != io.EOF {
				t.Errorf("got %v behind the response, want EOF", err)
			}
		})
	}
}

// The client neither reads nor closes, and the server's half second ends it.
func TestStrictLingerEnds(t *testing.T) {
	s := strictStart(t, StrictLimits{}, nil, nil)
	conn := s.dial(t)
	io.WriteString(conn, "\x00")
	start := time.Now()
	for {
		if _, err := conn.Write([]byte("x")); err != nil {
			break
		}
		if time.Since(start) > 5*time.Second {
			t.Fatal("the connection is still open after 5 s")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if took := time.Since(start); took < strictLingerTime/2 {
		t.Errorf("reset after %v, before the client could read", took)
	}
}

func TestStrictUpload(t *testing.T) {
	data := make([]byte, 24<<20)
	rand.Read(data)
	want := sha256.Sum256(data)
	s := strictStart(t, StrictLimits{}, nil, func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		fmt.Fprintf(w, "%x %d %v", sum.Sum(nil), n, err)
	})
	defer http.DefaultClient.CloseIdleConnections()
	for _, test := range []struct {
		name string
		body io.Reader
	}{
		{"length", bytes.NewReader(data)},
		{"chunked", struct{ io.Reader }{bytes.NewReader(data)}},
		{"length again on the same connection", bytes.NewReader(data)},
	} {
		t.Run(test.name, func(t *testing.T) {
			resp, err := http.Post("http://"+s.addr, "", test.body)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			got, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf("%x %d <nil>", want, len(data)); string(got) != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestStrictExpectContinue(t *testing.T) {
	s := strictStart(t, StrictLimits{}, nil, nil)
	conn := s.dial(t)
	io.WriteString(conn, "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
	br := bufio.NewReader(conn)
	if line, err := br.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	br.ReadString('\n')
	io.WriteString(conn, "hi")
	if code, err := strictResponse(br); err != nil || code != 200 {
		t.Errorf("got %d, %v", code, err)
	}
	if got, want := s.requests(), []string{`POST /p "hi"`}; !slices.Equal(got, want) {
		t.Errorf("the application saw %q, want %q", got, want)
	}
}

func TestStrictKeepAlive(t *testing.T) {
	s := strictStart(t, StrictLimits{}, nil, nil)
	conn := s.dial(t)
	br := bufio.NewReader(conn)
	for i := range 1000 {
		io.WriteString(conn, []string{strictGood, strictPost + "1\r\nx\r\n" + strictEnd + "\r\n"}[i%2])
		if code, err := strictResponse(br); err != nil || code != 200 {
			t.Fatalf("request %d: got %d, %v", i, code, err)
		}
	}
	if got := len(s.requests()); got != 1000 {
		t.Errorf("the application saw %d requests", got)
	}
}

// The client goes away at every point, and nothing stays behind.
func TestStrictEarlyClose(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	t.Run("close", func(t *testing.T) {
		s := strictStart(t, StrictLimits{}, nil, nil)
		raw := strictGood + strictPost + "2;a=b\r\nhi\r\n0\r\nA: b\r\n\r\n" + strictPost + "2;\r\nhi\x00\x00"
		for i := range raw {
			conn := s.dial(t)
			io.WriteString(conn, raw[:i])
			conn.Close()
		}
	})
	goleak.VerifyNone(t, ignore)
}

// A timeout while a head arrives is returned as it is, and the head goes on afterwards.
func TestStrictTimeout(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := StrictListener(ln, StrictLimits{}).Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var got []byte
	buf := make([]byte, 100)
	for _, part := range []string{"\r\nGET / HT", "TP/1.1\r\nHo", "st: a\r\n\r", "\n"} {
		io.WriteString(client, part)
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, buf[:n]...)
		conn.SetReadDeadline(time.Unix(1, 0))
		if n, err := conn.Read(buf); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("got %d, %v, want a timeout", n, err)
		}
	}
	if want := "GET / HTTP/1.1\r\nHost: a\r\n\r\n"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A strictCounter counts what is sent through ReadFrom.
type strictCounter struct {
	*net.TCPConn
	sent *int64
}

func (c strictCounter) ReadFrom(src io.Reader) (int64, error) {
	n, err := c.TCPConn.ReadFrom(src)
	*c.sent += n
	return n, err
}

func TestStrictSendfile(t *testing.T) {
	name := t.TempDir() + "/file"
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	var sent int64
	for _, test := range []struct {
		name string
		wrap func(net.Conn) net.Conn
		want int64
	}{
		{"delegated", func(c net.Conn) net.Conn { return strictCounter{c.(*net.TCPConn), &sent} }, 1<<20 - 512},
		{"fallback", func(c net.Conn) net.Conn { return struct{ net.Conn }{c} }, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			sent = 0
			served := make(chan bool, 1)
			s := strictStart(t, StrictLimits{}, test.wrap, func(w http.ResponseWriter, r *http.Request) {
				http.ServeFile(w, r, name)
				served <- true
			})
			conn := s.dial(t)
			io.WriteString(conn, strictGood)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(resp.Body); !bytes.Equal(got, data) || err != nil {
				t.Errorf("got %d bytes, %v, want the file", len(got), err)
			}
			if <-served; sent != test.want {
				t.Errorf("%d bytes went through ReadFrom, want %d", sent, test.want)
			}
		})
	}
}

func TestStrictConnBelow(t *testing.T) {
	conn, err := StrictListener(&strictOnce{&strictScript{}}, StrictLimits{}).Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.(*strictConn).CloseWrite(); err != errors.ErrUnsupported {
		t.Errorf("CloseWrite: got %v, want ErrUnsupported", err)
	}
	if _, err := conn.(*strictConn).SyscallConn(); err != errors.ErrUnsupported {
		t.Errorf("SyscallConn: got %v, want ErrUnsupported", err)
	}
	ln, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("unix", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if conn, err = StrictListener(ln, StrictLimits{}).Accept(); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.(*strictConn).SyscallConn(); err != nil {
		t.Errorf("SyscallConn: %v", err)
	}
	if err := conn.(*strictConn).CloseWrite(); err != nil {
		t.Errorf("CloseWrite: %v", err)
	}
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the client got %v behind CloseWrite, want EOF", err)
	}
}

// A browser's head, for the cost of looking at it.
const strictBrowser = "GET /cgi-bin/search?q=gatehouse&page=2 HTTP/1.1\r\nHost: www.example.org\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n" +
	"Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\nConnection: keep-alive\r\n" +
	"Referer: http://www.example.org/cgi-bin/search?q=gatehouse\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\r\n"

func TestStrictAllocations(t *testing.T) {
	script := &strictScript{}
	conn, err := StrictListener(&strictOnce{script}, StrictLimits{}).Accept()
	if err != nil {
		t.Fatal(err)
	}
	raw := []byte(strictBrowser + strictPost + "2;a=b\r\nhi\r\n0\r\nA: b\r\n\r\n")
	pieces := make([][]byte, 1)
	buf := make([]byte, 4096)
	allocs := testing.AllocsPerRun(100, func() {
		pieces[0] = raw
		script.pieces = pieces
		if n, err := conn.Read(buf); n != len(raw) || err != nil {
			t.Fatalf("got %d, %v", n, err)
		}
	})
	if allocs != 0 {
		t.Errorf("got %v allocations for two requests, want none", allocs)
	}
}

func BenchmarkStrictConn(b *testing.B) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })
	for _, strict := range []bool{false, true} {
		b.Run(fmt.Sprintf("strict=%t", strict), func(b *testing.B) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			addr := ln.Addr().String()
			if strict {
				ln = StrictListener(ln, StrictLimits{})
			}
			srv := &http.Server{Handler: handler}
			go srv.Serve(ln)
			defer srv.Close()
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			buf := make([]byte, 4096)
			b.ReportAllocs()
			for b.Loop() {
				io.WriteString(conn, strictBrowser)
				for n := 0; !bytes.HasSuffix(buf[:n], []byte("\r\n\r\nhello")); {
					m, err := conn.Read(buf[n:])
					if err != nil {
						b.Fatal(err)
					}
					n += m
				}
			}
		})
	}
}

func BenchmarkStrictScan(b *testing.B) {
	head := []byte(strictBrowser)
	scanner := newStrictScanner(StrictLimits{}.withDefaults())
	b.SetBytes(int64(len(head)))
	for b.Loop() {
		if n, fault := scanner.scan(head); n != len(head) || fault != nil {
			b.Fatal(n, fault)
		}
	}
}
