package site_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/internal/site"
)

// BenchmarkStaticWhileCGI shows that files stay quick while as many programs run as
// may: it reports the median and the 99th percentile of a request for a file, alone
// and beside 64 connections that ask for a CGI program without a pause, from another
// process.
func BenchmarkStaticWhileCGI(b *testing.B) {
	n := runtime.GOMAXPROCS(0) // as the command does: see tuneRuntime there
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2 * n))
	dir := tree(b, files{"htdocs/hello.txt": "hello", "cgi-bin/sh": script(okHeader)})
	s := start(b, dir, serveConfig, func(o *site.Options) {
		o.Log, o.AccessLog = slog.New(slog.DiscardHandler), nil
	})
	b.Run("idle", func(b *testing.B) { measureStatic(b, s) })
	b.Run("busy", func(b *testing.B) {
		load := exec.Command(os.Args[0])
		load.Env = append(os.Environ(), loadVariable+"="+s.addr.String())
		stdin, err1 := load.StdinPipe()
		stdout, err2 := load.StdoutPipe()
		if err := errors.Join(err1, err2, load.Start()); err != nil {
			b.Fatal(err)
		}
		var rate float64
		if _, err := fmt.Fscanln(stdout, new(string)); err != nil {
			b.Error(err)
		}
		measureStatic(b, s)
		_ = stdin.Close()
		if _, err := fmt.Fscanln(stdout, &rate); err != nil {
			b.Error(err)
		}
		if err := load.Wait(); err != nil {
			b.Error(err)
		}
		b.ReportMetric(rate, "cgi/s")
	})
}

// loadVariable makes the test binary the load of BenchmarkStaticWhileCGI, on the server
// at the address that it holds.
const loadVariable = "GATEHOUSE_TEST_LOAD"

// loadCGI says when it has begun, goes on until its standard input ends, and says how
// many requests a second were answered.
func loadCGI(addr string) {
	var stop atomic.Bool
	var ran atomic.Int64
	var wg sync.WaitGroup
	begun := time.Now()
	for range 64 {
		wg.Go(func() {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				return
			}
			c := &client{conn, bufio.NewReader(conn)}
			defer c.close()
			for !stop.Load() && c.get("/cgi-bin/sh") == nil {
				if ran.Add(1) == 64 {
					fmt.Println("begun")
				}
			}
		})
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	rate := float64(ran.Load()) / time.Since(begun).Seconds()
	stop.Store(true)
	wg.Wait()
	fmt.Println(rate)
}

// measureStatic asks for a file b.N times, at least a hundred, with a short pause
// in between, as a visitor would.
func measureStatic(b *testing.B, s *server) {
	c := newClient(b, s)
	defer c.close()
	var took []time.Duration
	for n := 0; n < max(b.N, 100); n++ {
		begun := time.Now()
		if err := c.get("/hello.txt"); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begun))
		time.Sleep(time.Millisecond)
	}
	slices.Sort(took)
	ms := func(share float64) float64 {
		return float64(took[int(share*float64(len(took)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(ms(0.5), "p50-ms")
	b.ReportMetric(ms(0.99), "p99-ms")
}

// client is a connection that is kept.
type client struct {
	conn io.ReadWriteCloser
	r    *bufio.Reader
}

func newClient(b *testing.B, s *server) *client {
	conn := s.dial(b)
	_ = conn.SetDeadline(time.Time{})
	return &client{conn, bufio.NewReader(conn)}
}

func (c *client) close() { _ = c.conn.Close() }

func (c *client) get(target string) error {
	text := strings.Replace(request("GET", target), "Connection: close\r\n", "", 1)
	if _, err := io.WriteString(c.conn, text); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
