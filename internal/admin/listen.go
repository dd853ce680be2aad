package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"gatehouse/internal/config"
	"gatehouse/internal/site"
)

// maxConns is how many connections an admin listener has at a time. They have places of
// their own: none of the host's.
const maxConns = 64

// reserved is how many descriptors the status page, and the control socket, each have for
// connections when no other is left.
const reserved = 4

// sockets are the listeners of the status page.
type sockets struct {
	server *http.Server
	serves sync.WaitGroup
	places chan struct{}

	mu      sync.Mutex
	all     []*socket
	past    bool          // closed
	reserve *site.Reserve // nil until there is one to listen on
}

type socket struct {
	config.Listen
	ln net.Listener
}

func (ss *sockets) init(s *Server) {
	ss.places = make(chan struct{}, maxConns)
	ss.server = &http.Server{
		Handler:           hostChecked(s.routes),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       20 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          nil,
	}
}

// Listen has it listen on the addresses of a configuration and on no other. open opens
// one. When one cannot be opened nothing has changed. The warnings are about addresses
// that others than this machine's users may reach.
func (s *Server) Listen(list []config.Listen, open func(config.Listen) (net.Listener, error)) error {
	swap, undo, err := s.Prepare(list, open)
	if err != nil {
		undo()
		return err
	}
	swap()
	return nil
}

// Prepare is the first half of Listen: it opens what is not open yet. One of swap, which
// does the rest, and undo has to be called; undo also beside an error.
func (s *Server) Prepare(list []config.Listen, open func(config.Listen) (net.Listener, error)) (swap, undo func(), err error) {
	var opened, kept []*socket
	undo = func() {
		for _, o := range opened {
			_ = o.ln.Close()
		}
	}
	for _, l := range list {
		if old := s.sockets.find(l, kept); old != nil {
			kept = append(kept, old)
			continue
		}
		ln, err := open(l)
		if err != nil {
			return nil, undo, fmt.Errorf("cannot listen on %s (admin): %w", l, err)
		}
		opened = append(opened, &socket{l, ln})
	}
	return func() {
		for _, o := range opened {
			if exposed(o.ln.Addr()) {
				s.log.Warn("the status page can be reached from elsewhere: whoever does sees what runs, and can end it", "admin", o.Listen.String())
			}
		}
		s.sockets.use(kept, opened)
	}, undo, nil
}

// find returns the listener of an address that is not among those taken.
func (ss *sockets) find(l config.Listen, taken []*socket) *socket {
	ss.mu.Lock()
	defer ss.mu.Unlock()
search:
	for _, o := range ss.all {
		if o.Network != l.Network || o.Address != l.Address {
			continue
		}
		for _, t := range taken {
			if t == o {
				continue search
			}
		}
		return o
	}
	return nil
}

func (ss *sockets) use(kept, opened []*socket) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	stays := make(map[*socket]bool)
	for _, o := range kept {
		stays[o] = true
	}
	for _, o := range ss.all {
		if !stays[o] {
			_ = o.ln.Close()
		}
	}
	ss.all = append(kept, opened...)
	for _, o := range opened {
		if ss.past {
			_ = o.ln.Close()
			continue
		}
		if ss.reserve == nil {
			ss.reserve = site.NewReserve(reserved)
		}
		ln := &limited{Listener: ss.reserve.Listener(o.ln), places: ss.places}
		ss.serves.Go(func() { _ = ss.server.Serve(ln) }) // until the listener is closed
	}
}

// Close closes the listeners and waits for the answers that are being written, until
// ctx is done; those that are left are then cut.
func (s *Server) Close(ctx context.Context) error {
	s.sockets.mu.Lock()
	s.sockets.past, s.sockets.all = true, nil
	s.sockets.mu.Unlock()
	err := s.sockets.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.sockets.server.Close())
	}
	s.sockets.serves.Wait()
	s.sockets.mu.Lock()
	defer s.sockets.mu.Unlock()
	if r := s.sockets.reserve; r != nil {
		r.Close()
		s.sockets.reserve = nil
	}
	return err
}

// limited closes connections beyond maxConns: whoever holds all of them waits for none
// here, and IdleTimeout ends those.
type limited struct {
	net.Listener
	places chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.places <- struct{}{}:
			return &counted{Conn: conn, leave: sync.OnceFunc(func() { <-l.places })}, nil
		default:
			_ = conn.Close()
		}
	}
}

type counted struct {
	net.Conn
	leave func()
}

func (c *counted) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// exposed reports whether others than this machine's users may reach an address.
func exposed(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	return ok && !t.IP.IsLoopback()
}

// hostChecked refuses requests for names that this server cannot have: a page elsewhere
// could have its own name lead here (DNS rebinding), and then read and do what it likes.
// Addresses cannot be rebound. Those who only ask for health tell and change nothing.
func hostChecked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		overUnix := local != nil && local.Network() == "unix"
		if !overUnix && !ownHost(r.Host) && r.URL.Path != "/livez" && r.URL.Path != "/readyz" {
			answer(w, http.StatusMisdirectedRequest, "ask for it by an address, by localhost, or by the name of this machine\n")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func ownHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.ToLower(strings.Trim(name, "[]")), ".")
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	own, err := os.Hostname()
	return name == "localhost" || err == nil && name == strings.ToLower(own)
}
