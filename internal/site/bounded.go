package site

import (
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// places bounds how many connections are open at a time, over all listeners (E32).
type places struct {
	mu    sync.Mutex
	most  int
	used  int
	freed chan struct{} // closed when there may be a place; nil while nobody waits
}

func newPlaces(most int) *places { return &places{most: most} }

// most is how many connections there may be: no more than half of the descriptors that
// this process may have open. The other half is for what requests need, for logs, and for
// whoever wants to find out what is wrong.
func (h *Host) most(connections int) int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur/2 >= uint64(connections) {
		return connections
	}
	most := max(1, int(limit.Cur/2))
	h.log.Warn("connections is more than the limit of open files allows", "connections", connections, "in_force", most, "open_files", limit.Cur)
	return most
}

// take takes a place, or returns what is closed when it is worth another try.
func (p *places) take() (wait <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used < p.most {
		p.used++
		return nil
	}
	if p.freed == nil {
		p.freed = make(chan struct{})
	}
	return p.freed
}

// exceed takes a place that there may not be.
func (p *places) exceed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used++
}

func (p *places) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used--
	p.tellLocked()
}

// resize changes how many there are. Connections that are open stay so.
func (p *places) resize(most int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.most = most
	p.tellLocked()
}

func (p *places) tellLocked() {
	if p.freed != nil && p.used < p.most {
		close(p.freed)
		p.freed = nil
	}
}

// size is how many there are, and taken how many of them are.
func (p *places) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.most
}

func (p *places) taken() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used
}

// connState is for http.Server.ConnState: both states end a connection for it. One
// that was hijacked is about to be closed by the handler.
func (p *places) connState(_ net.Conn, state http.ConnState) {
	if state == http.StateClosed || state == http.StateHijacked {
		p.leave()
	}
}

// bounded is a listener that hands out no connection while there is no place. One
// may have been accepted by then, further ones wait in the kernel's queue: a place
// taken before Accept would be lost to the other listeners. When the listener is
// closed, one that was accepted is handed out in any case: its client may have sent
// a request, and the kernel has no queue any more that another could take it from.
type bounded struct {
	net.Listener
	places *places
	counts bool         // the connections give their places back themselves
	open   atomic.Int64 // connections, where it counts
	closed chan struct{}
	once   sync.Once
}

// bound is for a server that says by connState when a connection is over.
func (p *places) bound(ln net.Listener) *bounded {
	return &bounded{Listener: ln, places: p, closed: make(chan struct{})}
}

// counted is for a server that only closes its connections.
func (p *places) counted(ln net.Listener) *bounded {
	return &bounded{Listener: ln, places: p, counts: true, closed: make(chan struct{})}
}

func (b *bounded) Accept() (net.Conn, error) {
	conn, err := b.Listener.Accept()
	if err != nil {
		return nil, err
	}
	for wait := b.places.take(); wait != nil; wait = b.places.take() {
		select {
		case <-wait:
			continue
		case <-b.closed:
			b.places.exceed()
		}
		break
	}
	if !b.counts {
		return conn, nil
	}
	b.open.Add(1)
	leave := sync.OnceFunc(func() {
		b.open.Add(-1)
		b.places.leave()
	})
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
