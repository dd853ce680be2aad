package site

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
)

// handshakeTime bounds a TLS handshake, and what stands before it; refuseTime the answer
// to a client that speaks no TLS. They are no constants: tests are to have more than they need.
var (
	handshakeTime = 10 * time.Second
	refuseTime    = 500 * time.Millisecond
)

// closingTime is how long those that go on when their listener is closed may still take: as
// long as net/http waits for the first request on a connection.
const closingTime = 5 * time.Second

// tlsListener hands out connections of the listener below it once their handshake is
// complete: net/http has to know whether it is to speak HTTP/2, and the strict
// listener in between what it is to check. Each handshake has a goroutine, as many as
// there are places. Once it is closed it still hands out those that were accepted: their
// clients know of no other listener.
type tlsListener struct {
	net.Listener // its connections have a place
	places       *places
	config       func() *tls.Config
	log          *slog.Logger

	once   sync.Once
	ready  chan accepted   // closed when nothing more comes
	ctx    context.Context // of the handshakes
	cancel context.CancelFunc
	going  sync.WaitGroup // handshakes
}

type accepted struct {
	conn net.Conn
	err  error
}

func newTLSListener(ln net.Listener, p *places, config func() *tls.Config, log *slog.Logger) *tlsListener {
	l := &tlsListener{Listener: ln, places: p, config: config, log: log, ready: make(chan accepted)}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// Accept returns a *tls.Conn. Like that of the listener below it may fail for a while.
func (l *tlsListener) Accept() (net.Conn, error) {
	l.once.Do(func() { go l.accept() })
	a, ok := <-l.ready
	if !ok {
		return nil, net.ErrClosed
	}
	return a.conn, a.err
}

// Close takes no more connections. It waits for nothing; Accept tells when all is over.
func (l *tlsListener) Close() error {
	err := l.Listener.Close()
	l.once.Do(func() { close(l.ready) })
	time.AfterFunc(closingTime, l.cancel)
	return err
}

// accept ends when the listener is closed and the handshakes are over.
func (l *tlsListener) accept() {
	defer close(l.ready)
	defer l.cancel()
	defer l.going.Wait()
	for {
		conn, err := l.Listener.Accept()
		if err == nil {
			l.going.Go(func() { l.handshake(conn) })
			continue
		}
		if errors.Is(err, net.ErrClosed) || !l.give(accepted{err: err}) {
			return
		}
	}
}

func (l *tlsListener) give(a accepted) bool {
	select {
	case l.ready <- a:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// handshake gives the connection out, or closes it and gives its place back.
func (l *tlsListener) handshake(conn net.Conn) {
	ctx, cancel := context.WithTimeout(l.ctx, handshakeTime)
	defer cancel()
	c := tls.Server(conn, l.config())
	err := c.HandshakeContext(ctx)                                              // which closes the connection when ctx is done
	if err == nil && c.ConnectionState().NegotiatedProtocol == acme.ALPNProto { // RFC 8737 section 3: nothing follows
		_ = c.Close()
	} else if err == nil && l.give(accepted{conn: c}) {
		return
	} else if err != nil {
		l.refuse(conn, err)
	}
	_ = conn.Close()
	l.places.leave()
}

// refuse tells a client that speaks HTTP without TLS what it should have done.
func (l *tlsListener) refuse(conn net.Conn, err error) {
	l.log.Debug("a TLS handshake has failed", "client", conn.RemoteAddr().String(), "error", err)
	var re tls.RecordHeaderError
	if !errors.As(err, &re) || re.Conn == nil {
		return
	}
	switch string(re.RecordHeader[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		_ = conn.SetDeadline(time.Now().Add(refuseTime))
		_, _ = io.WriteString(conn, plainRefusal)
		if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil { // E33
			_, _ = io.CopyN(io.Discard, conn, 64<<10)
		}
	}
}

const plainRefusal = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 53\r\nConnection: close\r\n\r\n" +
	"Bad Request: this port speaks HTTPS, not plain HTTP.\n"
