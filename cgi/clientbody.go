package cgi

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
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

	mu      sync.Mutex
	reading sync.WaitGroup
	stopped bool
}

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
	return b.body.Read(p)
}

// stop is called when nobody has a use for the body any more. A nil body is fine.
func (b *clientBody) stop() {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.stopped = true
	_ = b.rc.SetReadDeadline(time.Unix(0, 1))
	b.mu.Unlock()
	b.reading.Wait()
	_ = b.rc.SetReadDeadline(time.Time{}) // net/http sets its own for the next request
}

// textBody is a body that is all there.
func textBody(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }

// connWriter lets a ResponseController set deadlines on a hijacked connection.
type connWriter struct {
	net.Conn
	http.ResponseWriter
}

func (c connWriter) Write(p []byte) (int, error) { return c.Conn.Write(p) }
