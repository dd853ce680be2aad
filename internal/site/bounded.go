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

// bounded is a listener that accepts no connection while there is no place; further
// ones wait in the kernel's queue.
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
	select {
	case b.places <- struct{}{}:
	case <-b.closed:
		return nil, net.ErrClosed
	}
	conn, err := b.Listener.Accept()
	if err != nil {
		<-b.places
	}
	return conn, err
}

func (b *bounded) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Listener.Close()
}
