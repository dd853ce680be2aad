package fastcgi_test

import (
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A peer that opens 10,000 connections gets MaxConns of them, each of which costs some
// KiB; the others are closed, the longest unused first, and whoever comes then is served.
func TestServerCrowd(t *testing.T) {
	const most = 1024 // the default
	crowd := 10_000
	if raceEnabled() { // which makes it ten times as slow
		crowd = 3000
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || int(limit.Cur) < crowd+2*most {
		t.Skipf("SKIPPED: %d descriptors may be open (%v), which are too few for %d connections", limit.Cur, err, crowd)
	}
	s := serve(t, nil)
	used := func() int64 {
		runtime.GC()
		runtime.GC() // pools give what they hold back at the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc + m.StackInuse)
	}
	before, goroutines := used(), runtime.NumGoroutine()
	for n := range crowd {
		var conn net.Conn
		if !soon(func() (ok bool) { // the listening socket's queue may be full
			var err error
			conn, err = net.Dial("unix", s.addr)
			return err == nil
		}) {
			t.Fatalf("connection %d is not taken", n)
		}
		defer conn.Close()
		if n%2 == 0 { // half a record keeps a connection from being unused
			if _, err := io.WriteString(conn, get1("/hello")[:11]); err != nil {
				continue // it was closed already
			}
		}
		if n%1000 == 0 && !soon(func() bool { return runtime.NumGoroutine()-goroutines <= 2*most }) {
			t.Fatalf("%d goroutines for %d connections", runtime.NumGoroutine()-goroutines, n)
		}
	}
	if !soon(func() bool { return runtime.NumGoroutine()-goroutines <= most+10 }) {
		t.Errorf("%d goroutines are left", runtime.NumGoroutine()-goroutines)
	}
	more := used() - before
	t.Logf("%d connections, of which %d are kept: %d KiB more, both ends", crowd, most, more>>10)
	if more > 64<<20 {
		t.Errorf("%d bytes for them", more)
	}
	if !soon(func() bool {
		conn, err := net.Dial("unix", s.addr)
		if err != nil {
			return false // the queue is still full
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(longEnough))
		_, _ = io.WriteString(conn, get1("/hello"))
		_, err = io.ReadFull(conn, make([]byte, 88))
		return err == nil
	}) {
		t.Error("nobody is served any more")
	}
}
