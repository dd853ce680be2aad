package cgi

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"go.uber.org/goleak"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

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
	case <-time.After(strictPatience):
		t.Error("it goes on writing")
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

// strictHalf is a connection in memory whose server's side can be ended.
type strictHalf struct{ net.Conn }

func (strictHalf) CloseWrite() error { return nil }

// The client neither reads nor closes, and the server's time for that ends it.
func TestStrictLingerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		go http.Serve(StrictListener(&strictOnce{strictHalf{server}}, StrictLimits{}), nil)
		io.WriteString(client, "\x00")
		start := time.Now()
		for time.Since(start) < 2*strictLingerTime {
			if _, err := io.WriteString(client, "x"); err != nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if took := time.Since(start) - strictLingerTime; took < 0 || took > strictWriteTime+time.Second {
			t.Errorf("the end came %v after the time for it", took)
		}
	})
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
	for until := time.Now().Add(strictPatience); goleak.Find(ignore) != nil; {
		if time.Now().After(until) {
			t.Fatal(goleak.Find(ignore))
		}
	}
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
		conn.SetReadDeadline(time.Now().Add(strictPatience))
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
	allocs := 1.0
	for n := 0; n < 5 && allocs != 0; n++ { // others' are counted as well: ours would be there each time
		allocs = testing.AllocsPerRun(100, func() {
			pieces[0] = raw
			script.pieces = pieces
			if n, err := conn.Read(buf); n != len(raw) || err != nil {
				t.Fatalf("got %d, %v", n, err)
			}
		})
	}
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
