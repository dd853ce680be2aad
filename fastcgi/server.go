package fastcgi

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/cgi"
)

// ErrServerClosed is what Serve returns after Shutdown or Close.
var ErrServerClosed = errors.New("fastcgi: server closed")

// Server is a FastCGI responder: it stands behind web servers and answers the requests
// that they hand over. Connections are kept where the front asks for that, and carry
// any number of requests at once up to the limits (section 3.5). For a limit that is
// zero the default holds. Do not change the fields once Serve was called.
//
// An AUTHORIZER's request is served as any other, with FCGI_ROLE among its variables and
// no body (section 6.3): the program that answers for its path decides. A FILTER is refused.
//
// A front that closes a connection, or its direction of it, cancels all requests on it.
// A request whose STDIN the application does not read makes the front wait where it is
// alone on its connection; where others share that, its STDIN goes to the file, and when that
// is full the request ends with OVERLOADED.
//
// A connection without a request holds no buffer, about 4 KiB in all with its goroutine.
// A request holds its variables (MaxParams, and twice that while they are parsed),
// its unread STDIN (MaxStdin in memory, MaxSpool in a file without a name), and 32 KiB
// of output while there is output that was not sent.
type Server struct {
	// Gateway answers the requests; see cgi.Gateway.
	Gateway interface {
		Serve(ctx context.Context, in *cgi.Incoming) (status int, whole bool)
	}
	Log *slog.Logger // nil means slog.Default

	MaxConns    int   // connections at once (1024); at the limit the one idle longest makes room, or the new one is closed
	MaxReqs     int   // requests at once over all connections (1024); beyond that OVERLOADED
	MaxRequests int   // requests at once on one connection (128); beyond that OVERLOADED
	MaxParams   int   // bytes of one request's variables as sent (1 MiB); beyond that 431 and OVERLOADED
	MaxStdin    int   // bytes of one request's unread STDIN in memory, in steps of 16 KiB (256 KiB)
	MaxSpool    int64 // bytes of it beyond that in a file (64 MiB), and 16 times that in the files of all requests; negative means none
	MaxMemory   int64 // bytes of variables and STDIN in memory over all requests (256 MiB); beyond that OVERLOADED

	IdleTimeout  time.Duration // of a kept connection without a request (2 min): longer than the front's, so that it is the front that closes
	ReadTimeout  time.Duration // between two records of a request that is not complete (1 min)
	WriteTimeout time.Duration // until the front takes what is sent, up to 64 KiB (1 min); enforced within half as much again

	// Stderr sends what applications write to their standard error to the front as
	// well, as STDERR records, which web servers put into their error logs.
	Stderr bool

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*serverConn]struct{}
	drained   chan struct{} // closed when no connection is left, after Shutdown
	refusals  int           // connections refused since refusedAt
	refusedAt time.Time

	draining atomic.Bool
	closed   atomic.Bool
	requests atomic.Int64
	memory   atomic.Int64
	spooled  atomic.Int64
}

func (s *Server) maxConns() int               { return orElse(s.MaxConns, 1024) }
func (s *Server) maxReqs() int                { return orElse(s.MaxReqs, 1024) }
func (s *Server) maxRequests() int            { return orElse(s.MaxRequests, 128) }
func (s *Server) maxParams() int              { return orElse(s.MaxParams, 1<<20) }
func (s *Server) maxStdin() int               { return orElse(s.MaxStdin, 256<<10) }
func (s *Server) idleTimeout() time.Duration  { return orElse(s.IdleTimeout, 2*time.Minute) }
func (s *Server) readTimeout() time.Duration  { return orElse(s.ReadTimeout, time.Minute) }
func (s *Server) writeTimeout() time.Duration { return orElse(s.WriteTimeout, time.Minute) }
func (s *Server) maxSpool() int64             { return orElse64(s.MaxSpool, 64<<20) }
func (s *Server) maxMemory() int64            { return orElse64(s.MaxMemory, 256<<20) }
func (s *Server) full(n int64) (refused bool) { return s.memory.Add(n) > s.maxMemory() }
func (s *Server) closing() bool               { return s.closed.Load() || s.draining.Load() }

func orElse64(v, def int64) int64 {
	if v == 0 {
		return def
	}
	return max(0, v)
}

func (s *Server) log() *slog.Logger {
	if s.Log != nil {
		return s.Log
	}
	return slog.Default()
}

// Serve accepts connections until Shutdown or Close, and then returns ErrServerClosed, or
// until accepting fails for good. It closes ln. Several may run at once. Connections
// that are of type *net.TCPConn or *net.UnixConn, or embed one, hold less memory while
// they are idle, and that the front has closed one is noticed at all times
// (on TCP, once the bytes sent before were taken from it).
func (s *Server) Serve(ln net.Listener) error {
	defer ln.Close()
	if !s.track(ln) {
		return ErrServerClosed
	}
	defer func() {
		s.mu.Lock()
		delete(s.listeners, ln)
		s.mu.Unlock()
	}()
	var pause time.Duration
	for {
		conn, err := ln.Accept()
		switch {
		case s.closing():
			if err == nil {
				_ = conn.Close()
			}
			return ErrServerClosed
		case err != nil:
			var te interface{ Temporary() bool }
			if !errors.As(err, &te) || !te.Temporary() { // no descriptors, or the peer has gone
				return err
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.log().Warn("fastcgi: accept failed", "err", err, "again_in", pause)
			time.Sleep(pause) // no peer can make it longer; Shutdown waits for it at most that long
		default:
			pause = 0
			s.start(conn)
		}
	}
}

func (s *Server) track(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing() {
		return false
	}
	if s.listeners == nil {
		s.listeners = make(map[net.Listener]struct{})
		s.conns = make(map[*serverConn]struct{})
	}
	s.listeners[ln] = struct{}{}
	return true
}

// start serves one connection, if there is room for it or room can be made.
func (s *Server) start(conn net.Conn) {
	c := newServerConn(s, conn)
	s.mu.Lock()
	room := !s.closing() && (len(s.conns) < s.maxConns() || s.evictLocked())
	if room {
		s.conns[c] = struct{}{}
	} else {
		s.refusals++
	}
	var report int
	if s.refusals > 0 && time.Since(s.refusedAt) > time.Second {
		report, s.refusals, s.refusedAt = s.refusals, 0, time.Now()
	}
	s.mu.Unlock()
	if report > 0 {
		s.log().Warn("fastcgi: too many connections", "refused", report, "max", s.maxConns())
	}
	if !room {
		_ = conn.Close()
		return
	}
	go c.serve() // ends when the connection does
}

// evictLocked closes the connection that has been idle longest, if any is.
func (s *Server) evictLocked() bool {
	var oldest *serverConn
	var since time.Time
	for c := range s.conns {
		if at, idle := c.idle(); idle && (oldest == nil || at.Before(since)) {
			oldest, since = c, at
		}
	}
	if oldest == nil || !oldest.closeIdle() {
		return false
	}
	delete(s.conns, oldest)
	return true
}

// forget is called when a connection has ended.
func (s *Server) forget(c *serverConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.settleLocked()
}

func (s *Server) settleLocked() {
	if s.drained != nil && len(s.conns) == 0 {
		close(s.drained)
		s.drained = nil
	}
}

// CloseIdle closes the connections that have been idle for at least so long since their
// last request. For before Shutdown, which closes all that are idle: a front that uses its
// connections without a pause may have a request on its way on one, and has surely on one
// that is new.
func (s *Server) CloseIdle(least time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if since, idle := c.idle(); idle && !c.isFresh() && time.Since(since) >= least {
			c.closeIdle()
		}
	}
}

// lateRequest is how long, during Shutdown, a connection may take that was accepted and
// has brought no request yet.
const lateRequest = 500 * time.Millisecond

// Shutdown closes the listeners and the idle connections, lets requests end that have
// begun, and returns when no connection is left, or the error of ctx when that is done
// first; Close then ends the rest.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	s.mu.Lock()
	s.closeListenersLocked()
	for c := range s.conns {
		c.drain()
	}
	if s.drained == nil {
		s.drained = make(chan struct{})
	}
	drained := s.drained
	s.settleLocked()
	s.mu.Unlock()
	select {
	case <-drained:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close closes the listeners and all connections, which cancels their requests. It does
// not wait for them.
func (s *Server) Close() error {
	s.closed.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeListenersLocked()
	for c := range s.conns {
		_ = c.conn.Close() // the reader does the rest
	}
	return nil
}

func (s *Server) closeListenersLocked() {
	for ln := range s.listeners {
		_ = ln.Close()
	}
}
