package scgi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"gatehouse/cgi"
	"gatehouse/environ"
)

// Transport is a cgi.Responder that asks an SCGI application, on a connection of its
// own for each request (D07). The fields are not to be changed once it is in use.
type Transport struct {
	// Addresses are where the application listens, "host:port" or "unix:/path".
	// The one with the fewest requests is asked first; one that does not take
	// connections is left alone for a while. Dial is used in their place: one
	// endpoint, such as the workers of a process.Workers.
	Addresses []string
	Dial      func(ctx context.Context) (net.Conn, error)

	Name string // in logs and errors; "" means the address

	// Connections are at most open at once; zero means 128. Queue requests wait
	// for one, at most QueueTimeout; zero means 256 and 10 s. Others fail with
	// Kind Busy at once.
	Connections, Queue int
	QueueTimeout       time.Duration

	ConnectTimeout time.Duration // to one address; zero means 5 s

	// Times are as for cgi.Program; Linger and Grace do not apply.
	Times cgi.Times
	Parse cgi.ParseLimits

	// Env is added after the request's variables, and replaces none of them.
	Env               environ.Env
	DropAuthorization bool // HTTP_AUTHORIZATION is not passed on (A33)

	Log *slog.Logger // nil means slog.Default

	once      sync.Once
	endpoints endpoints
	places    chan struct{} // one for each connection
	mu        sync.Mutex
	queued    int
}

func (t *Transport) init() {
	t.once.Do(func() {
		t.places = make(chan struct{}, orDefault(t.Connections, 128))
		for _, a := range t.Addresses {
			t.endpoints.all = append(t.endpoints.all, &endpoint{address: a})
		}
		if t.Dial != nil {
			t.endpoints.all = []*endpoint{{dial: t.Dial}}
		}
	})
}

func (t *Transport) log() *slog.Logger {
	if t.Log != nil {
		return t.Log
	}
	return slog.Default()
}

// Respond sends the request and reads the header of the response. The body of a
// request whose length is not known is refused (D09): put a cgi.Spool before the
// Transport.
func (t *Transport) Respond(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
	t.init()
	if req.Body != nil && req.ContentLength < 0 {
		return nil, &cgi.Error{Kind: cgi.Internal, Status: 411, Reason: "the request's body has no known length"}
	}
	head, err := AppendRequest(nil, t.environment(req).Strings(), max(req.ContentLength, 0))
	if err != nil {
		return nil, &cgi.Error{Kind: cgi.Internal, Reason: err.Error(), Err: err}
	}
	x := &exchange{t: t, req: req, account: req.Account, head: head}
	if x.account == nil {
		x.account = new(cgi.Account)
	}
	if err := t.acquire(ctx, x.account); err != nil {
		return nil, x.failed(err)
	}
	if err := x.connect(ctx); err != nil {
		t.release()
		return nil, x.failed(err)
	}
	return x.respond(ctx)
}

// environment is what the application gets.
func (t *Transport) environment(req *cgi.Request) environ.Env {
	env := req.Env.Clone()
	if t.DropAuthorization {
		env.DelAuthorization()
	}
	for name, value := range t.Env.All() {
		if _, taken := env.Lookup(name); !taken {
			env.Set(name, value)
		}
	}
	if req.ID != "" {
		env.Set("UNIQUE_ID", req.ID)
	}
	return env
}

// acquire waits for a place for one more connection.
func (t *Transport) acquire(ctx context.Context, account *cgi.Account) error {
	select {
	case t.places <- struct{}{}:
		return nil
	default:
	}
	limit := orDefault(t.Queue, 256)
	if !t.enqueue(limit) {
		return &cgi.Error{Kind: cgi.Busy, RetryAfter: time.Second,
			Reason: fmt.Sprintf("all %d connections are in use and %d requests wait", cap(t.places), limit)}
	}
	defer t.dequeue()
	account.Progress.Now(cgi.Queued)
	begun := time.Now()
	defer func() { account.Queued += time.Since(begun) }()
	patience := orDefault(t.QueueTimeout, 10*time.Second)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case t.places <- struct{}{}:
		return nil
	case <-timer.C:
		return &cgi.Error{Kind: cgi.Busy, RetryAfter: time.Second,
			Reason: fmt.Sprintf("no connection became free within %v", patience)}
	case <-ctx.Done():
		return gone(ctx)
	}
}

func (t *Transport) enqueue(limit int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.queued >= limit {
		return false
	}
	t.queued++
	return true
}

func (t *Transport) dequeue() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queued--
}

func (t *Transport) release() { <-t.places }

func gone(ctx context.Context) error {
	return &cgi.Error{Kind: cgi.ClientGone, Reason: "the client has gone away", Err: context.Cause(ctx)}
}

// endpoint is where an application listens.
type endpoint struct {
	address string
	dial    func(context.Context) (net.Conn, error) // nil: by address

	// Guarded by the mutex of endpoints.
	busy     int           // requests
	failures int           // to connect, in a row
	until    time.Time     // left alone
	pause    time.Duration // how long, the last time
}

// endpoints are those of one Transport.
type endpoints struct {
	mu  sync.Mutex
	all []*endpoint
}

// take returns the endpoint to ask next, of those not tried yet: of those that take
// connections the least busy, else the one whose pause ends first. nil: there is
// none.
func (es *endpoints) take(tried map[*endpoint]bool) *endpoint {
	es.mu.Lock()
	defer es.mu.Unlock()
	now := time.Now()
	var best *endpoint
	better := func(e *endpoint) bool {
		rests, bestRests := e.until.After(now), best.until.After(now)
		switch {
		case rests != bestRests:
			return bestRests
		case rests:
			return e.until.Before(best.until)
		}
		return e.busy < best.busy
	}
	for _, e := range es.all {
		if !tried[e] && (best == nil || better(e)) {
			best = e
		}
	}
	if best != nil {
		best.busy++
	}
	return best
}

// connected notes how a try to connect ended; after a failure the endpoint is not
// busy any more, and rests: longer each time, up to half a minute.
func (es *endpoints) connected(e *endpoint, ok bool) {
	es.mu.Lock()
	defer es.mu.Unlock()
	if ok {
		e.failures, e.pause = 0, 0
		return
	}
	e.busy--
	e.failures++
	e.pause = min(max(2*e.pause, time.Second), 30*time.Second)
	e.until = time.Now().Add(e.pause)
}

// giveBack ends a try that says nothing of the endpoint, or a request.
func (es *endpoints) giveBack(e *endpoint) {
	es.mu.Lock()
	defer es.mu.Unlock()
	e.busy--
}

// connect opens a connection to the first endpoint that takes one.
func (t *Transport) connect(ctx context.Context) (net.Conn, *endpoint, error) {
	tried := make(map[*endpoint]bool, len(t.endpoints.all))
	var errs []string
	var last error
	for e := t.endpoints.take(tried); e != nil; e = t.endpoints.take(tried) {
		tried[e] = true
		nc, err := t.dial(ctx, e)
		if err == nil {
			t.endpoints.connected(e, true)
			return nc, e, nil
		}
		var later interface{ RetryAfter() time.Duration }
		switch {
		case ctx.Err() != nil:
			t.endpoints.giveBack(e)
			return nil, nil, gone(ctx)
		case errors.As(err, &later):
			t.endpoints.giveBack(e)
			return nil, nil, &cgi.Error{Kind: cgi.Busy, Reason: err.Error(), Err: err, RetryAfter: later.RetryAfter()}
		}
		t.endpoints.connected(e, false)
		t.log().Warn("cannot connect", "application", t.name(e), "error", err)
		errs, last = append(errs, err.Error()), err
	}
	switch len(errs) {
	case 0:
		return nil, nil, &cgi.Error{Kind: cgi.Internal, Reason: "no address of the application is configured"}
	case 1: // A97
		return nil, nil, &cgi.Error{Kind: cgi.StartFailed, Status: 502, Reason: "cannot connect to the application: " + errs[0], Err: last}
	}
	return nil, nil, &cgi.Error{Kind: cgi.Busy, RetryAfter: time.Second, Err: last,
		Reason: "cannot connect to any address of the application: " + strings.Join(errs, "; ")}
}

func (t *Transport) dial(ctx context.Context, e *endpoint) (net.Conn, error) {
	if e.dial != nil {
		return e.dial(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, orDefault(t.ConnectTimeout, 5*time.Second))
	defer cancel()
	network, address := "tcp", e.address
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

// name is what the application is called in logs and errors.
func (t *Transport) name(e *endpoint) string {
	if t.Name != "" || e == nil {
		return t.Name
	}
	return e.address
}
