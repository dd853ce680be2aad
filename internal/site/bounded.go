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
	closed chan struct{}
	once   sync.Once
}

func (p places) bound(ln net.Listener) net.Listener {
	return &bounded{Listener: ln, places: p, closed: make(chan struct{})}
}

func (b *bounded) Accept() (net.Conn, error) {
	conn, err := b.Listener.Accept()
	if err != nil {
		return nil, err
	}
	select {
	case b.places <- struct{}{}:
		return conn, nil
	case <-b.closed:
		_ = conn.Close()
		return nil, net.ErrClosed
	}
}

func (b *bounded) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Listener.Close()
}
