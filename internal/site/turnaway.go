package site

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"gatehouse/cgi"
	"gatehouse/fastcgi"
)

// reserved is how many descriptors there are for connections that are turned away.
const reserved = 8

// turnAwayTime bounds how long a connection for which there is no descriptor may take to
// bring the beginning of its request; it is answered then in any case. No constant for the
// same reason as handshakeTime.
var turnAwayTime = time.Second

const (
	noRoom     = "no descriptor is left for this connection\n"
	noRoomHTTP = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n" +
		"Retry-After: 1\r\nConnection: close\r\n\r\n%s"
	noRoomCGI = "Status: 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 1\r\n\r\n" + noRoom
)

// turnAway is how a listener's protocol says that there is no room. It needs no descriptor.
func (f *fronts) turnAway(protocol string) func(net.Conn) {
	switch protocol {
	case "fastcgi":
		return turnAwayFastCGI
	case "scgi":
		return func(conn net.Conn) {
			var head [4 << 10]byte
			_ = conn.SetReadDeadline(time.Now().Add(turnAwayTime))
			_, _ = conn.Read(head[:])
			lastWord(conn, []byte(noRoomCGI))
		}
	case "https":
		return func(conn net.Conn) {
			a := f.host.inForce()
			if a.speaksFor(conn.RemoteAddr()) {
				conn = newProxied(conn)
			}
			_ = conn.SetDeadline(time.Now().Add(turnAwayTime))
			c := a.secure.config.Clone()
			c.NextProtos = []string{"http/1.1"}
			ctx, cancel := context.WithTimeout(context.Background(), turnAwayTime)
			defer cancel()
			if over := tls.Server(conn, c); over.HandshakeContext(ctx) == nil {
				turnAwayHTTP(over)
			}
		}
	}
	return func(conn net.Conn) {
		if f.host.inForce().speaksFor(conn.RemoteAddr()) {
			conn = newProxied(conn)
		}
		turnAwayHTTP(conn)
	}
}

// turnAwayHTTP reads the header first: there are clients to which an answer means nothing
// that comes before their request.
func turnAwayHTTP(conn net.Conn) {
	_ = conn.SetReadDeadline(time.Now().Add(turnAwayTime))
	var head [8 << 10]byte
	n := 0
	for n < len(head) && !bytes.Contains(head[:n], []byte("\r\n\r\n")) {
		k, err := conn.Read(head[n:])
		if n += k; err != nil {
			break
		}
	}
	text := noRoom
	if bytes.HasPrefix(head[:n], []byte("HEAD ")) {
		text = ""
	}
	lastWord(conn, fmt.Appendf(nil, noRoomHTTP, len(noRoom), text))
}

// turnAwayFastCGI ends the first request as one for which there is no room (section 5.5);
// a connection that begins with anything else is closed.
func turnAwayFastCGI(conn net.Conn) {
	var head [fastcgi.HeaderLen]byte
	_ = conn.SetReadDeadline(time.Now().Add(turnAwayTime))
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return
	}
	h, err := fastcgi.ParseHeader(head[:])
	if err != nil || h.Type != fastcgi.TypeBeginRequest {
		return
	}
	lastWord(conn, fastcgi.AppendEndRequest(nil, h.ID, 1, fastcgi.StatusOverloaded))
}

// lastWord writes, ends our side, and drops what the client still sends, within limits: a
// reset might destroy what it has not read (RFC 9112 section 9.6, E33).
func lastWord(conn net.Conn, text []byte) {
	_ = conn.SetDeadline(time.Now().Add(refuseTime))
	if _, err := conn.Write(text); err != nil {
		return
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.CopyN(io.Discard, conn, 64<<10)
	}
}

// scarce reports whether err is for want of a descriptor or of memory, so that it tells
// nothing of a file.
func scarce(err error) bool { return usedUp(err) || errors.Is(err, syscall.ENOMEM) }

// noRoomFor is the error of a request for a file that cannot be opened for that reason: to
// say that there is none would be wrong, and might be remembered.
func noRoomFor(name string, err error) error {
	return &cgi.Error{Kind: cgi.Busy, Reason: fmt.Sprintf("%q: %v", name, err), Err: err, RetryAfter: time.Second}
}
