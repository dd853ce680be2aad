package cgi_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse/cgi"
)

func BenchmarkReadResponse(b *testing.B) {
	text := "Status: 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nCache-Control: no-cache\r\n" +
		"Set-Cookie: session=0123456789abcdef; Path=/; HttpOnly\r\nX-Powered-By: something\r\nContent-Length: 12\r\n\r\nhello, world"
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	body := make([]byte, 512)
	for b.Loop() {
		resp, err := cgi.ReadResponse(strings.NewReader(text), cgi.ParseLimits{}, nil)
		if err != nil {
			b.Fatal(err)
		}
		if n, _ := resp.Body.Read(body); n != len("hello, world") {
			b.Fatalf("%d bytes of body", n)
		}
	}
}

// benchmarkProgram asks a handler for the output of a script, over a real connection.
func benchmarkProgram(b *testing.B, script string, size int64) {
	p, _ := program(b, shell(b, script))
	srv := httptest.NewServer(&cgi.Handler{Responder: p})
	defer srv.Close()
	client := srv.Client()
	defer client.CloseIdleConnections()
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		resp, err := client.Get(srv.URL)
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if err != nil || n != size || resp.StatusCode != http.StatusOK {
			b.Fatalf("%d bytes, status %d, %v", n, resp.StatusCode, err)
		}
	}
	idle(b)
}

func BenchmarkProgram(b *testing.B) { benchmarkProgram(b, okHeader+`printf ok`, 2) }

func BenchmarkProgramOutput(b *testing.B) {
	benchmarkProgram(b, okHeader+`exec head -c 67108864 /dev/zero`, 64<<20)
}
