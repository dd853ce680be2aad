package cgi_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/cgi"
)

// nph returns a Handler with a program that writes its own response (A95), and how
// many bytes of it were sent last.
func nph(t *testing.T, script string) (*cgi.Handler, *int64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nph-test.cgi")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	p, _ := program(t, path)
	p.NPH = true
	sent := new(int64)
	return &cgi.Handler{Responder: cgi.ResponderFunc(func(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
		resp, err := p.Respond(ctx, req)
		if err == nil {
			resp.OnClose(func() { *sent = resp.Sent })
		}
		return resp, err
	})}, sent
}

// TestNPH1: the bytes as they are, then the connection's end.
func TestNPH1(t *testing.T) {
	want := "HTTP/1.1 299 Odd\r\nx: y\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
	h, _ := nph(t, `printf '`+strings.NewReplacer("\r", `\r`, "\n", `\n`).Replace(want)+`'`)
	addr := serve(t, h)
	if got := exchange(t, addr, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	idle(t)
}

// TestNPHOff: without the switch the name means nothing, and neither does the
// switch without the name.
func TestNPHOff(t *testing.T) {
	p, _ := program(t, shell(t, `printf 'HTTP/1.1 200 OK\r\n\r\n'`))
	p.NPH = true
	_, _, err := answer(t, p, request("GET", ""))
	isError(t, err, cgi.BadOutput, `whose name must begin with "nph-"`)
}

// TestNPH2: over HTTP/2 the response is read and told anew.
func TestNPH2(t *testing.T) {
	rows := []struct{ name, script, want string }{
		{"good", `printf 'HTTP/1.0 404 Not Here\r\nContent-Type: a/b\r\n\r\nbody'`, "404 a/b body"},
		{"interim in front", `printf 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: a/b\r\n\r\nbody'`, "200 a/b body"},
		{"no status line", `printf 'Content-Type: a/b\n\nbody'`, "502 text/plain; charset=utf-8 502 Bad Gateway\n"},
		{"bad status", `printf 'HTTP/1.1 xyz\r\n\r\n'`, "502 text/plain; charset=utf-8 502 Bad Gateway\n"},
		{"nothing", `exit 0`, "502 text/plain; charset=utf-8 502 Bad Gateway\n"},
		{"interim without end", `printf 'HTTP/1.1 100 Continue\r\n'; exec yes X: y`, "502 text/plain; charset=utf-8 502 Bad Gateway\n"},
		{"interim for ever", `while :; do printf 'HTTP/1.1 100 Continue\r\n\r\n'; done`, "502 text/plain; charset=utf-8 502 Bad Gateway\n"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			h, sent := nph(t, row.script)
			resp := get2(t, h)
			body, err := io.ReadAll(resp.Body)
			if got := resp.Status[:3] + " " + resp.Header.Get("Content-Type") + " " + string(body); err != nil || got != row.want {
				t.Errorf("%q, %v; want %q", got, err, row.want)
			}
			idle(t)
			if row.name == "good" && *sent != 4 {
				t.Errorf("%d bytes counted as sent, want 4", *sent)
			}
		})
	}
}

// TestNPH2Flushes: over HTTP/2 as well, what was written is seen while the program
// waits (A103).
func TestNPH2Flushes(t *testing.T) {
	h, _ := nph(t, `printf 'HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n\r\nfirst\n'; cat; echo last`)
	ours, theirs := net.Pipe()
	next := h.Responder
	h.Responder = cgi.ResponderFunc(func(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
		req.Body, req.ContentLength = theirs, 2
		return next.Respond(ctx, req)
	})
	seen := make(chan struct{})
	go func() { // so that a failure ends as well
		defer ours.Close()
		select {
		case <-seen:
			_, _ = io.WriteString(ours, "x\n")
		case <-t.Context().Done():
		}
	}()
	br := bufio.NewReader(get2(t, h).Body)
	if line, err := br.ReadString('\n'); line != "first\n" {
		t.Fatalf("%q, %v", line, err)
	}
	close(seen)
	if rest, err := io.ReadAll(br); string(rest) != "x\nlast\n" || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
	idle(t)
}

// get2 asks h for / over HTTP/2.
func get2(t *testing.T, h http.Handler) *http.Response {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	client := srv.Client()
	client.Timeout = patience
	resp, err := client.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.ProtoMajor != 2 {
		t.Fatalf("%s, want HTTP/2", resp.Proto)
	}
	return resp
}
