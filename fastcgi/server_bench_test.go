package fastcgi_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"gatehouse/cgi"
	"gatehouse/fastcgi"
)

func slogTo(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// hello is an application that costs nothing.
var hello = cgi.ResponderFunc(func(context.Context, *cgi.Request) (*cgi.Response, error) {
	return &cgi.Response{
		Status: 200, Header: cgi.Header{{Name: "Content-Type", Value: "text/plain"}}, ContentLength: 5,
		Body: io.NopCloser(strings.NewReader("hello")),
	}, nil
})

// benchmarkServer has a front with n requests at once on one kept connection.
func benchmarkServer(b *testing.B, n int) {
	s := serve(b, func(s *fastcgi.Server) { s.Gateway.(*cgi.Gateway).Responder = hello })
	conn, err := net.Dial("unix", s.addr)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	r := fastcgi.NewReader(bufio.NewReaderSize(conn, 64<<10))
	var all []byte
	for id := 1; id <= n; id++ {
		all = append(all, renumbered(byte(id), get1("/hello"))...)
	}
	b.ReportAllocs()
	for done := 0; b.Loop(); done++ {
		if done%n != 0 {
			continue // of the n that were answered
		}
		if _, err := conn.Write(all); err != nil {
			b.Fatal(err)
		}
		for ended := 0; ended < n; {
			h, err := r.Next()
			if err != nil {
				b.Fatal(err)
			}
			if h.Type == fastcgi.TypeEndRequest {
				ended++
			}
		}
	}
}

func BenchmarkServer(b *testing.B)            { benchmarkServer(b, 1) }
func BenchmarkServerMultiplexed(b *testing.B) { benchmarkServer(b, 64) }

func BenchmarkServerOutput(b *testing.B) {
	s := serve(b, nil)
	conn, err := net.Dial("unix", s.addr)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	r := fastcgi.NewReader(bufio.NewReaderSize(conn, 64<<10))
	b.SetBytes(1 << 20)
	for b.Loop() {
		if _, err := io.WriteString(conn, get1("/big")); err != nil {
			b.Fatal(err)
		}
		for ended := false; !ended; {
			h, err := r.Next()
			if err != nil {
				b.Fatal(err)
			}
			ended = h.Type == fastcgi.TypeEndRequest
		}
	}
}
