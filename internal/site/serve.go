package site

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"gatehouse/cgi"
	"gatehouse/internal/config"
)

// Serve opens the listeners, calls ready with what they listen on, and serves
// until ctx is done. Then it takes no more connections, waits for the requests
// that run, at most as long as the configuration says or until hurry is done, and
// ends what is left. Close has still to be called.
func (h *Host) Serve(ctx, hurry context.Context, ready func([]net.Addr)) error {
	listeners, err := h.listen()
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	server := h.server(&running)
	places := make(places, h.config.Connections)
	server.ConnState = places.connState
	base, cut := context.WithCancel(context.Background()) // for what the server cannot close: hijacked connections
	defer cut()
	server.BaseContext = func(net.Listener) context.Context { return base }
	failed := make(chan error, len(listeners))
	var wg sync.WaitGroup
	var addrs []net.Addr
	for _, ln := range listeners {
		addrs = append(addrs, ln.Addr())
		strict := cgi.StrictListener(places.bound(ln), cgi.StrictLimits{Refused: h.access.refused})
		wg.Go(func() { failed <- server.Serve(strict) })
	}
	if ready != nil {
		ready(addrs)
	}
	var failure error
	select {
	case <-ctx.Done():
	case failure = <-failed:
	}
	err = h.shutdown(server, &running, hurry)
	wg.Wait()
	return errors.Join(failure, err)
}

// server is the HTTP server in front (E30, E31). Its requests are counted in running.
func (h *Host) server(running *sync.WaitGroup) *http.Server {
	counted := func(w http.ResponseWriter, r *http.Request) {
		running.Add(1)
		defer running.Done()
		h.ServeHTTP(w, r)
	}
	return &http.Server{
		Handler:           http.HandlerFunc(counted),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    48 << 10, // the strict listener's limits are tighter
		ErrorLog:          slog.NewLogLogger(h.log.Handler(), slog.LevelWarn),
	}
}

// shutdown drains the server, then cuts what has not ended.
func (h *Host) shutdown(server *http.Server, running *sync.WaitGroup, hurry context.Context) error {
	ctx, cancel := context.WithTimeout(hurry, time.Duration(h.config.ShutdownTimeout))
	defer cancel()
	err := server.Shutdown(ctx)
	if err == nil { // it does not wait for connections that were hijacked (A95)
		err = waitFor(ctx, running)
	}
	if err == nil {
		return nil
	}
	h.log.Warn("not all requests have ended in time", "processes", h.spawner.Live())
	if hurry.Err() != nil {
		h.spawner.Kill()
	}
	return server.Close()
}

// waitFor waits until nothing runs any more, or ctx is done.
func waitFor(ctx context.Context, running *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() { // ends when the last request does, which Host.Close sees to
		running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// listen opens every address of the configuration, or none.
func (h *Host) listen() (opened []net.Listener, err error) {
	for _, l := range h.config.Listen {
		ln, err := listen(l)
		if err != nil {
			for _, ln := range opened {
				_ = ln.Close()
			}
			return nil, fmt.Errorf("cannot listen on %s: %w", l, err)
		}
		opened = append(opened, ln)
	}
	return opened, nil
}

func listen(l config.Listen) (net.Listener, error) {
	if l.Network != "unix" {
		return net.Listen(l.Network, l.Address)
	}
	ln, err := net.Listen("unix", l.Address)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return ln, err
	}
	// A socket that nobody listens on is left over from a server that died. A file
	// that is no socket refuses connections as well.
	if st, err2 := os.Lstat(l.Address); err2 != nil || st.Mode().Type() != os.ModeSocket {
		return nil, err
	}
	if conn, err2 := net.Dial("unix", l.Address); err2 == nil {
		_ = conn.Close()
		return nil, err
	} else if !errors.Is(err2, syscall.ECONNREFUSED) {
		return nil, err
	}
	if err := os.Remove(l.Address); err != nil {
		return nil, err
	}
	return net.Listen("unix", l.Address)
}
