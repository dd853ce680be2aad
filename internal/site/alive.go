package site

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
)

// insideListener hands connections from within this process to the HTTP server.
type insideListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newInsideListener() *insideListener {
	return &insideListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *insideListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *insideListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *insideListener) Addr() net.Addr { return insideAddr{} }

type insideAddr struct{}

func (insideAddr) Network() string { return "inside" }
func (insideAddr) String() string  { return "inside" }

// insideKey marks the context of a request that came from within.
type insideKey struct{}

func fromInside(r *http.Request) bool {
	v, _ := r.Context().Value(insideKey{}).(bool)
	return v
}

// Alive makes a request of its own to the HTTP server and returns nil when that answers.
// It needs no descriptor and no place among the connections, so that a host that is full
// is alive as well. Nothing of it is logged.
func (h *Host) Alive(ctx context.Context) error {
	h.mu.Lock()
	f := h.fronts
	h.mu.Unlock()
	if f == nil {
		return ErrClosed
	}
	tr := &http.Transport{DialContext: f.dialInside, DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, "http://inside/", nil)
	if err != nil {
		return err
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("site: the host does not answer itself: %w", err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("site: the host answers itself with %q", resp.Status)
	}
	return nil
}

func (f *fronts) dialInside(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	f.places.exceed() // connState gives it back
	select {
	case f.inside.conns <- theirs:
		return ours, nil
	case <-f.inside.closed:
	case <-ctx.Done():
	}
	f.places.leave()
	_, _ = ours.Close(), theirs.Close()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, ErrClosed
}

// answerInside answers a request of Alive's by what every request needs: the configuration
// in force and the table of its sites.
func (h *Host) answerInside(w http.ResponseWriter, r *http.Request) {
	a := h.enter()
	if a == nil {
		panic(http.ErrAbortHandler)
	}
	defer h.leave(a)
	_ = a.sites.find(r.Host)
	w.WriteHeader(http.StatusNoContent)
}
