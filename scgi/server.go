package scgi

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gatehouse/cgi"
)

// Server takes requests from web servers in front by SCGI. The fields are not to be
// changed once it serves. A front must not close its sending side before it has the
// response: that is taken for the end of its client's patience.
type Server struct {
	// Gateway answers the requests; see cgi.Gateway.
	Gateway interface {
		Serve(ctx context.Context, in *cgi.Incoming) (status int, whole bool)
	}
	Log *slog.Logger // nil means slog.Default

	MaxParams int // bytes of variables (431); zero means DefaultMaxParams
	MaxConns  int // connections at once; further ones wait to be accepted. Zero means 1024

	// ReadTimeout is how long the variables may take in all, and a piece of
	// the body; WriteTimeout how long the front may take no byte of the response.
	// Zero means 30 s and a minute.
	ReadTimeout, WriteTimeout time.Duration

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	places    chan struct{} // one for each connection
	closed    chan struct{} // closed with the server; nil before the first use
	drained   chan struct{} // closed when the last connection has ended; nil if nobody waits
	aborted   bool          // by Close
}

// lateRequest is how long a connection that was accepted before Shutdown may take
// to bring its request.
const lateRequest = 500 * time.Millisecond

// ErrServerClosed is what Serve returns after Shutdown or Close.
var ErrServerClosed = errors.New("scgi: server closed")

func (s *Server) log() *slog.Logger {
	if s.Log != nil {
		return s.Log
	}
	return slog.Default()
}

func orDefault[T int | time.Duration](n, def T) T {
	if n > 0 {
		return n
	}
	return def
}

// initLocked makes what the zero Server lacks. The caller holds mu.
func (s *Server) initLocked() {
	if s.closed == nil {
		s.closed = make(chan struct{})
		s.places = make(chan struct{}, orDefault(s.MaxConns, 1024))
		s.listeners = make(map[net.Listener]struct{})
		s.conns = make(map[*conn]struct{})
	}
}

// Serve accepts connections on ln until the server is closed, or accepting fails for
// good. It closes ln. Several may run at once.
func (s *Server) Serve(ln net.Listener) error {
	defer ln.Close()
	if !s.track(ln) {
		return ErrServerClosed
	}
	defer s.untrack(ln)
	for {
		select {
		case s.places <- struct{}{}:
		case <-s.closed:
			return ErrServerClosed
		}
		nc, err := s.accept(ln)
		if err != nil {
			<-s.places
			return err
		}
		c := &conn{s: s, nc: nc}
		if !s.add(c) {
			<-s.places
			_ = nc.Close()
			return ErrServerClosed
		}
		go c.serve() // Close and Shutdown end it
	}
}

// accept waits for a connection, also through what passes: too many open files,
// connections that are gone before they were accepted.
func (s *Server) accept(ln net.Listener) (net.Conn, error) {
	for delay := 5 * time.Millisecond; ; delay = min(2*delay, time.Second) {
		nc, err := ln.Accept()
		if err == nil {
			return nc, nil
		}
		select {
		case <-s.closed:
			return nil, ErrServerClosed
		default:
		}
		if !passes(err) {
			return nil, err
		}
		s.log().Error("cannot accept", "error", err, "again_in", delay)
		select {
		case <-time.After(delay):
		case <-s.closed:
			return nil, ErrServerClosed
		}
	}
}

func passes(err error) bool {
	for _, e := range [...]error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EINTR} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (s *Server) isClosedLocked() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

func (s *Server) track(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.initLocked()
	if s.isClosedLocked() {
		return false
	}
	s.listeners[ln] = struct{}{}
	return true
}

func (s *Server) untrack(ln net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, ln)
}

func (s *Server) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isClosedLocked() {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if len(s.conns) == 0 && s.drained != nil {
		close(s.drained)
		s.drained = nil
	}
	<-s.places
}

// Shutdown closes the listeners and waits until the requests on the connections that
// were accepted have been answered; one on which none comes within half a second is
// closed. When ctx is done first it returns its error and leaves them: Close ends
// them.
func (s *Server) Shutdown(ctx context.Context) error {
	return s.stop(func(c *conn) {
		if c.cancel == nil {
			_ = c.nc.SetReadDeadline(time.Now().Add(lateRequest))
		}
	})(ctx)
}

// Close ends the server and all its connections at once, and waits until their
// goroutines have ended: those of requests end as fast as the Responder does when
// its context is cancelled.
func (s *Server) Close() error {
	return s.stop(func(c *conn) {
		s.aborted = true
		_ = c.nc.Close() // first: no answer is made of the cancelling
		if c.cancel != nil {
			c.cancel()
		}
	})(context.Background())
}

// stop closes the listeners, calls f for each connection, and returns what waits for
// the last one's end.
func (s *Server) stop(f func(*conn)) (wait func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.initLocked()
	if !s.isClosedLocked() {
		close(s.closed)
	}
	for ln := range s.listeners {
		_ = ln.Close()
	}
	for c := range s.conns {
		f(c)
	}
	if len(s.conns) == 0 {
		return func(context.Context) error { return nil }
	}
	if s.drained == nil {
		s.drained = make(chan struct{})
	}
	drained := s.drained
	return func(ctx context.Context) error {
		select {
		case <-drained:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// conn is one connection of a front, which is one request.
type conn struct {
	s  *Server
	nc net.Conn

	cancel context.CancelFunc // of the request; nil before it has come; guarded by s.mu
}

func (c *conn) serve() {
	defer c.s.remove(c)
	defer c.nc.Close()
	r := bufio.NewReaderSize(c.nc, 8<<10)
	c.await()
	vars, length, err := ReadRequest(r, orDefault(c.s.MaxParams, DefaultMaxParams))
	if err != nil {
		c.refuse(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if !c.begin(cancel) {
		return
	}
	body := &requestBody{r: r, nc: c.nc, timeout: c.readTimeout(), left: length, gone: cancel}
	if length == 0 {
		body.watch()
	}
	out := bufio.NewWriterSize(&deadlineWriter{nc: c.nc, timeout: orDefault(c.s.WriteTimeout, time.Minute)}, 16<<10)
	whole := c.answer(ctx, vars, body, out)
	unread := body.stop()
	if out.Flush() != nil || !whole {
		reset(c.nc)
		return
	}
	if unread {
		c.linger()
	}
}

func (c *conn) readTimeout() time.Duration { return orDefault(c.s.ReadTimeout, 30*time.Second) }

// await sets the time that the variables may take.
func (c *conn) await() {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	patience := c.readTimeout()
	if c.s.isClosedLocked() {
		patience = lateRequest
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(patience))
}

// begin marks the connection as one with a request; false when Close was called
// meanwhile.
func (c *conn) begin(cancel context.CancelFunc) bool {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.cancel = cancel
	return !c.s.aborted
}

// answer has the request answered. A panic of a Responder ends this request only.
func (c *conn) answer(ctx context.Context, vars []string, body *requestBody, out *bufio.Writer) (whole bool) {
	defer func() {
		if v := recover(); v != nil {
			c.s.log().Error("panic in a request by SCGI", "panic", v, "stack", string(debug.Stack()))
			whole = false
		}
	}()
	in := &cgi.Incoming{Vars: vars, Body: body, Out: out, Flush: out.Flush}
	in.Peer.Remote, in.Peer.Local = c.nc.RemoteAddr(), c.nc.LocalAddr()
	_, whole = c.s.Gateway.Serve(ctx, in)
	return whole
}

// refuse answers what is no request. A connection that just ends, or is silent, gets
// no answer: fronts test so whether somebody listens.
func (c *conn) refuse(err error) {
	var fe *FormatError
	if !errors.As(err, &fe) {
		return
	}
	c.s.log().Warn("no SCGI request", "remote", c.nc.RemoteAddr().String(), "reason", fe.Reason)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return
	}
	status := http.StatusBadRequest
	if errors.Is(err, ErrTooLong) {
		status = http.StatusRequestHeaderFieldsTooLarge
	}
	resp := cgi.PlainError(&cgi.Error{Kind: cgi.BadRequest, Status: status, Reason: fe.Reason})
	_ = c.nc.SetWriteDeadline(time.Now().Add(time.Second))
	text, _ := io.ReadAll(resp.Body)
	_, _ = c.nc.Write(append(cgi.AppendHeader(nil, resp), text...))
	c.linger()
}

var lingerTime = 2 * time.Second // not a constant: tests are to have more than they need

// linger reads on for a while before the connection is closed: closing it with
// something unread would reset it, and the front lose the response (E33, B68).
func (c *conn) linger() {
	const most = 16 << 20
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, c.nc, most)
}

// reset ends a connection so that the front sees an error and not the end of a
// response. On a Unix socket there is no such thing: only a Content-Length tells
// there.
func reset(nc net.Conn) {
	if tcp, ok := nc.(interface{ SetLinger(int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = nc.Close()
}

// requestBody is the body as it comes, of exactly the announced length (D04).
// When all of it has come, it watches for the front's end.
type requestBody struct {
	nc      net.Conn
	timeout time.Duration
	gone    func() // called when the front has gone

	mu      sync.Mutex // held while the connection is read
	r       *bufio.Reader
	left    int64
	stopped atomic.Bool

	watching chan struct{} // closed when the watch has ended; nil: there is none
	extra    bool          // something came after the body; valid when watching is closed
}

func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.left == 0:
		return 0, io.EOF
	case !b.arm(time.Now().Add(b.timeout)):
		return 0, os.ErrClosed
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if b.left == 0 {
		b.watchLocked()
		return n, nil
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		b.gone()
	}
	return n, err
}

// arm sets the time until which the connection may be read; false after stop.
func (b *requestBody) arm(until time.Time) bool {
	_ = b.nc.SetReadDeadline(until)
	if b.stopped.Load() {
		_ = b.nc.SetReadDeadline(longAgo)
		return false
	}
	return true
}

var longAgo = time.Unix(0, 1)

// watch begins to look for the front's end, where there is no body.
func (b *requestBody) watch() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watchLocked()
}

// watchLocked starts the goroutine that waits for the front's end; stop ends it.
func (b *requestBody) watchLocked() {
	if !b.arm(time.Time{}) {
		return
	}
	b.watching = make(chan struct{})
	if b.r.Buffered() > 0 { // that is no request any more, and needs no watch
		b.extra = true
		close(b.watching)
		return
	}
	go func() {
		defer close(b.watching)
		_, err := b.r.ReadByte()
		switch {
		case err == nil:
			b.extra = true
		case !errors.Is(err, os.ErrDeadlineExceeded):
			b.gone()
		}
	}()
}

// Buffered implements what cgi.Incoming looks for: what came beyond the body.
func (b *requestBody) Buffered() int {
	select {
	case <-b.watching:
		if b.extra {
			return b.r.Buffered() + 1
		}
	default:
	}
	return 0
}

// stop makes a Read under way return, ends the watch, and reports whether the front
// may still be sending.
func (b *requestBody) stop() (unread bool) {
	b.stopped.Store(true)
	_ = b.nc.SetReadDeadline(longAgo)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.watching != nil {
		<-b.watching
	}
	return b.left > 0 || b.extra
}

// deadlineWriter gives the front time for each piece.
type deadlineWriter struct {
	nc      net.Conn
	timeout time.Duration
	armed   time.Time
}

func (w *deadlineWriter) Write(p []byte) (int, error) {
	if now := time.Now(); now.Sub(w.armed) > w.timeout/8 {
		w.armed = now
		_ = w.nc.SetWriteDeadline(now.Add(w.timeout))
	}
	return w.nc.Write(p)
}
