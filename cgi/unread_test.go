package cgi_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/cgi"
)

// A nph- script that does not read its request's body: the client, which still sends
// that, gets the whole response all the same (E33, A59).
func TestNPHUnreadBody(t *testing.T) {
	const length = 400_000
	h, _ := nph(t, `printf 'HTTP/1.0 200 OK\r\n\r\n'; head -c 400000 /dev/zero`)
	conn, err := net.Dial("tcp", serve(t, h))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() { // ends with the connection
		_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n")
		_, _ = io.WriteString(conn, strings.Repeat("x", 3_000_000))
	}()
	time.Sleep(300 * time.Millisecond) // so that the response lies in the socket when the server is done
	got, err := io.ReadAll(conn)
	if err != nil || len(got) < length {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// The header of a response without a body does not wait for the program's end (A85).
func TestHeadDoesNotWait(t *testing.T) {
	p, _ := program(t, shell(t, okHeader+`sleep 30`))
	conn, err := net.Dial("tcp", serve(t, &cgi.Handler{Responder: p}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
	_ = conn.SetReadDeadline(time.Now().Add(15 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v, %v", resp, err)
	}
}

// A program that reads its own output back keeps nobody waiting beyond its limits.
func TestProgramReadsItsOutput(t *testing.T) {
	p, _ := program(t, shell(t, `exec 3</proc/self/fd/1 4</proc/self/fd/2; printf x; printf y >&2; cat <&3 >/dev/null & cat <&4 >/dev/null`))
	p.Times.Header, p.Times.Grace = 500*time.Millisecond, time.Second
	begun := time.Now()
	_, _, err := answer(t, p, request("GET", ""))
	var e *cgi.Error
	if !errors.As(err, &e) {
		t.Errorf("no error: %v", err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}
