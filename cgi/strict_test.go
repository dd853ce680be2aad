package cgi

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// A test that is held up for some seconds is not to find its connection reset.
func init() { strictLingerTime = strictPatience }

// strictPatience bounds every wait for what must happen; no test measures it.
const strictPatience = time.Minute

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
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: strictPatience, ErrorLog: log.New(&s.log, "", 0)}
	if limits.PriorKnowledge != nil {
		srv.Protocols = new(http.Protocols)
		srv.Protocols.SetHTTP1(true)
		srv.Protocols.SetHTTP2(true)
		srv.Protocols.SetUnencryptedHTTP2(true)
	}
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
	conn.SetDeadline(time.Now().Add(strictPatience))
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
