package site_test

import (
	"bufio"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"gatehouse/internal/site"
)

// BenchmarkWSGI asks a small application of two workers over 32 kept connections, and
// one of a process per request over as many as there may be at a time.
func BenchmarkWSGI(b *testing.B) {
	for _, bb := range []struct {
		name, keys string
		conns      int
	}{
		{"workers", "workers = 2", 32},
		{"threads", "workers = 2, threads = 4", 32},
		{"cgi", "mode = 'cgi'", 8},
	} {
		b.Run(bb.name, func(b *testing.B) {
			needPython(b)
			dir := tree(b, files{"app.py": "def application(environ, start_response):\n" +
				"    start_response('200 OK', [('Content-Type', 'text/plain')])\n    return [b'Hello, world']\n"})
			s := start(b, dir, "[[site]]\n[[site.route]]\npath = '/'\nwsgi = { module = 'app.py', python = '"+python3+"', "+bb.keys+" }\n",
				func(o *site.Options) { o.Log, o.AccessLog = slog.New(slog.DiscardHandler), nil })
			s.get(b, "/")
			requests := make(chan int, b.N)
			for n := range b.N {
				requests <- n
			}
			close(requests)
			b.ResetTimer()
			begun := time.Now()
			var wg sync.WaitGroup
			for range bb.conns {
				wg.Go(func() {
					conn := s.dial(b)
					_ = conn.SetDeadline(time.Time{})
					c := &client{conn, bufio.NewReader(conn)}
					defer c.close()
					for range requests {
						if err := c.get("/"); err != nil && err != io.EOF {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/time.Since(begun).Seconds(), "requests/s")
		})
	}
}
