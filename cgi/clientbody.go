package cgi

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// clientBody is a request's body as it comes from an HTTP client: with a deadline
// for each piece, and a stop which makes a Read under way return, so that nobody
// reads from the connection when the handler has.
type clientBody struct {
	body    io.Reader
	rc      *http.ResponseController
	timeout time.Duration
	armed   time.Time
	waited  time.Duration // in Read, for the client
	got     atomic.Int64
	length  int64       // -1: not known
	whole   atomic.Bool // read to its end

	mu      sync.Mutex
	reading sync.WaitGroup
	stopped bool
}

// A client that sends a body has to send slowRate bytes a second on the average,
// once slowAfter was spent waiting for it (E31).
const (
	slowRate  = 500
	slowAfter = 10 * time.Second
)

var errBodyStopped = errors.New("cgi: the request is over")

func (b *clientBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	if b.stopped {
		b.mu.Unlock()
		return 0, errBodyStopped
	}
	b.reading.Add(1)
	if now := time.Now(); now.Sub(b.armed) > b.timeout/8 {
		b.armed = now
		_ = b.rc.SetReadDeadline(now.Add(b.timeout))
	}
	b.mu.Unlock()
	defer b.reading.Done()
	begun := time.Now()
	n, err := b.body.Read(p)
	b.waited += time.Since(begun)
	got := b.got.Add(int64(n))
	if err == io.EOF || got == b.length {
		b.whole.Store(true)
		_ = b.rc.SetReadDeadline(time.Time{}) // from now on net/http waits for the client's end
		return n, err
	}
	if over := b.waited - slowAfter; err == nil && over > 0 && got < int64(over.Seconds()*slowRate) {
		err = fmt.Errorf("cgi: less than %d bytes a second: %w", slowRate, os.ErrDeadlineExceeded)
	}
	return n, err
}

// lingering is how long net/http may wait for the rest of a body that nobody reads,
// before it closes the connection (E33).
const lingering = 2 * time.Second

// stop is called when nobody has a use for the body any more. A nil body is fine.
func (b *clientBody) stop() {
	if b.isWhole() {
		return
	}
	b.mu.Lock()
	b.stopped = true
	_ = b.rc.SetReadDeadline(time.Unix(0, 1))
	b.mu.Unlock()
	b.reading.Wait()
	_ = b.rc.SetReadDeadline(time.Now().Add(lingering))
}

// isWhole reports whether all of the body was read. If it was not when the response
// begins, the connection cannot be used again: what is left of the body would stand
// where the next request is looked for, and net/http (1.26) panics when it finds the
// body's end only after the handler.
func (b *clientBody) isWhole() bool { return b == nil || b.whole.Load() }

// received is how much of it was read.
func (b *clientBody) received() int64 {
	if b == nil {
		return 0
	}
	return b.got.Load()
}

// textBody is a body that is all there.
func textBody(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }

// connWriter lets a ResponseController set deadlines on a hijacked connection.
type connWriter struct {
	net.Conn
	http.ResponseWriter
}

func (c connWriter) Write(p []byte) (int, error) { return c.Conn.Write(p) }
