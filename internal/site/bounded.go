package site

import (
	"net"
	"net/http"
	"sync"
)

// places bounds how many connections are open at a time, over all listeners (E32).
type places chan struct{}

// connState is for http.Server.ConnState: both states end a connection for it. One
// that was hijacked is about to be closed by the handler.
func (p places) connState(_ net.Conn, state http.ConnState) {
	if state == http.StateClosed || state == http.StateHijacked {
		<-p
	}
}

// bounded is a listener that hands out no connection while there is no place. One
// may have been accepted by then, further ones wait in the kernel's queue: a place
// taken before Accept would be lost to the other listeners.
type bounded struct {
	net.Listener
	places places
	counts bool // the connections give their places back themselves
	closed chan struct{}
	once   sync.Once
}

// bound is for a server that says by connState when a connection is over.
func (p places) bound(ln net.Listener) net.Listener {
	return &bounded{Listener: ln, places: p, closed: make(chan struct{})}
}

// counted is for a server that only closes its connections.
func (p places) counted(ln net.Listener) net.Listener {
	return &bounded{Listener: ln, places: p, counts: true, closed: make(chan struct{})}
}

func (b *bounded) Accept() (net.Conn, error) {
	conn, err := b.Listener.Accept()
	if err != nil {
		return nil, err
	}
	select {
	case b.places <- struct{}{}:
	case <-b.closed:
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	if !b.counts {
		return conn, nil
	}
	leave := sync.OnceFunc(func() { <-b.places })
	switch conn := conn.(type) { // embedded as they are, they keep their writev(2)
	case *net.TCPConn:
		return &tcpPlace{conn, leave}, nil
	case *net.UnixConn:
		return &unixPlace{conn, leave}, nil
	}
	return &anyPlace{conn, leave}, nil
}

func (b *bounded) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Listener.Close()
}

// The connections that hold a place until they are closed.
type (
	tcpPlace struct {
		*net.TCPConn
		leave func()
	}
	unixPlace struct {
		*net.UnixConn
		leave func()
	}
	anyPlace struct {
		net.Conn
		leave func()
	}
)

func (c *tcpPlace) Close() error {
	defer c.leave()
	return c.TCPConn.Close()
}

func (c *unixPlace) Close() error {
	defer c.leave()
	return c.UnixConn.Close()
}

func (c *anyPlace) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
