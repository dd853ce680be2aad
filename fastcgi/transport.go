package fastcgi

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"gatehouse/cgi"
	"gatehouse/environ"
)

// Transport is the web server's end of FastCGI: the cgi.Responder that hands
// requests to applications over a pool of connections, one request at a time on
// each. The fields are not to be changed once it is in use; Close it after use.
//
// A kept connection is used again only after the application's END_REQUEST was read,
// all of STDIN was sent, and nothing is left over.
type Transport struct {
	// Addresses are where the application listens: "host:port", "unix:/path",
	// "dns:name:port" (one endpoint for each A and AAAA record) or
	// "srv:_service._tcp.name"; see CheckAddress. Several share the work: the
	// least busy is asked first, one that fails is left alone for a while.
	Addresses []string

	// Dial, in the place of Addresses, makes the connections. What it returns may
	// also have methods
	//
	//	Done() (again bool)            // called when an exchange ended well; false: do not use it again
	//	Release() error                // closes the connection, but keeps the worker behind it
	//	Pid() int                      // of the worker
	//	End(d time.Duration) string    // waits at most d for the worker's end and says how, "" if it lives
	//
	// An error of it with a method RetryAfter() time.Duration means Busy.
	Dial func(ctx context.Context) (net.Conn, error)

	Name string // of the application, in logs and errors; "" means its address
	Role Role   // zero means RoleResponder

	Connections  int           // to each endpoint at once; zero means 8 (B37: not more than it has children)
	Queue        int           // requests that may wait for one; zero means 1000, negative none
	QueueTimeout time.Duration // how long they may; zero means as long as the client waits

	// ConnectTimeout bounds the making of a connection to an address; zero means
	// 5 s. It holds for Dial only where it is not zero.
	ConnectTimeout time.Duration

	NoKeepAlive bool          // a connection for each request
	IdleTimeout time.Duration // how long an unused connection is kept; zero means 60 s
	MinIdle     int           // as many unused connections of an endpoint are kept longer
	MaxUses     int           // requests on one connection, give or take a tenth; zero means no limit

	// AbortGrace is how long output that nobody wants any more is read for, so that
	// the connection can be used again. After it the connection is closed, which is
	// how libfcgi and php understand an abort (B33). Zero means a second.
	AbortGrace time.Duration

	// Abort has an ABORT_REQUEST record sent at the beginning of that time (FastCGI 1.0
	// section 5.4), for applications that end the request on it; to libfcgi and php it
	// is a protocol error.
	Abort bool

	Times cgi.Times // Header, Idle, Total and Stdin, as for a Program, from the moment the request is sent
	Parse cgi.ParseLimits

	Interim           bool        // the application may send 1xx responses before its own (A86)
	Env               environ.Env // added after the request's variables; replaces nothing (A25)
	DropAuthorization bool        // do not send HTTP_AUTHORIZATION and HTTP_PROXY_AUTHORIZATION (A33)

	// CatchStderr are words that turn a response into a 502 when the application
	// writes one of them to FCGI_STDERR before the end of its header (B30).
	CatchStderr []string

	// Open opens the file that RoleFilter sends as DATA; nil means os.Open. It is
	// given PATH_TRANSLATED, or SCRIPT_FILENAME where that is not set.
	Open func(name string) (*os.File, error)

	Health Health

	Resolver     Resolver      // nil means net.DefaultResolver
	ResolveEvery time.Duration // how often names are looked up anew; zero means 30 s

	// Log gets the application's FCGI_STDERR and what went wrong; nil means
	// slog.Default.
	Log *slog.Logger

	once    sync.Once
	invalid *cgi.Error // the Transport cannot work as it is
	pool    pool
	stop    context.CancelFunc // ends what runs beside the requests
	running sync.WaitGroup     // that, and the exchanges that nobody waits for
}

func orElse[T int | time.Duration](v, def T) T {
	if v != 0 {
		return v
	}
	return def
}

func (t *Transport) role() Role                    { return Role(orElse(int(t.Role), int(RoleResponder))) }
func (t *Transport) connections() int              { return max(1, orElse(t.Connections, 8)) }
func (t *Transport) queue() int                    { return max(0, orElse(t.Queue, 1000)) }
func (t *Transport) connectTimeout() time.Duration { return orElse(t.ConnectTimeout, 5*time.Second) }
func (t *Transport) idleTimeout() time.Duration    { return orElse(t.IdleTimeout, time.Minute) }
func (t *Transport) abortGrace() time.Duration     { return orElse(t.AbortGrace, time.Second) }

func (t *Transport) log() *slog.Logger {
	if t.Log != nil {
		return t.Log
	}
	return slog.Default()
}

// name is what the application is called in logs and errors.
func (t *Transport) name() string {
	switch {
	case t.Name != "":
		return t.Name
	case len(t.Addresses) > 0:
		return t.Addresses[0]
	}
	return "the application"
}

// Start begins with what runs beside the requests: looking up names and checking
// the endpoints' health. The first request does it otherwise. It returns the error
// for which every request would fail.
func (t *Transport) Start() error {
	t.once.Do(t.start)
	if t.invalid != nil {
		return t.invalid
	}
	return nil
}

func (t *Transport) start() {
	ctx, cancel := context.WithCancel(context.Background())
	t.stop = cancel
	t.pool.t = t
	if (t.Dial != nil) == (len(t.Addresses) > 0) {
		t.invalid = &cgi.Error{Kind: cgi.Internal, Reason: "fastcgi: a Transport needs either Addresses or Dial"}
		return
	}
	var names []address
	if t.Dial != nil {
		t.pool.add(&endpoint{address: t.name(), dial: t.Dial})
	}
	for _, text := range t.Addresses {
		a, err := parseAddress(text)
		if err != nil {
			t.invalid = &cgi.Error{Kind: cgi.Internal, Reason: err.Error(), Err: err}
			return
		}
		if a.scheme == schemeDNS || a.scheme == schemeSRV {
			names = append(names, a)
			continue
		}
		t.pool.add(t.endpointAt(a.network, a.target))
	}
	if len(names) > 0 {
		t.resolveNames(ctx, names)
	}
	if t.Health.Interval > 0 {
		t.running.Go(func() { t.checkHealth(ctx) })
	}
}

// Respond sends the request and reads the header of the response. A body of unknown
// length is refused: put a cgi.Spool before the Transport.
func (t *Transport) Respond(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
	if t.once.Do(t.start); t.invalid != nil {
		return nil, t.invalid
	}
	if req.Body != nil && req.ContentLength < 0 {
		return nil, &cgi.Error{Kind: cgi.Internal, Status: 411, Reason: "the request's body has no known length"}
	}
	x := newExchange(t, ctx, req)
	resp, err := x.respond()
	if err != nil {
		return nil, x.fail(err)
	}
	return resp, nil
}

// Renew has every request that is begun after it sent on a new connection: the unused
// ones are closed now, the others when their exchange is over. It is for when whoever
// accepts the connections has been replaced.
func (t *Transport) Renew() {
	if t.Start() == nil {
		t.pool.renew()
	}
}

// Close ends the waiting, closes the unused connections, and waits for what runs
// beside the requests. Responses that are under way may be read to their end.
func (t *Transport) Close() error {
	_ = t.Start()
	t.stop()
	t.pool.close()
	t.running.Wait()
	return nil
}

// Status is a Transport at one moment.
type Status struct {
	Name      string
	Waiting   int // requests that wait for a connection
	Endpoints []EndpointStatus
}

// EndpointStatus is one endpoint at one moment.
type EndpointStatus struct {
	Address    string
	Busy, Idle int           // connections in use, and kept
	Served     uint64        // requests that were given a connection to it
	Failures   int           // in a row
	Ejected    time.Duration // for how long it will be left alone; 0: it is not
	Sick       string        // what the last health check found wrong; "" if nothing
}

// Status returns the state of the pool.
func (t *Transport) Status() Status {
	_ = t.Start()
	return t.pool.status()
}

// busy is the error for a request that finds no place.
func (t *Transport) busy(format string, args ...any) *cgi.Error {
	return &cgi.Error{Kind: cgi.Busy, Reason: t.name() + " is busy: " + fmt.Sprintf(format, args...), RetryAfter: time.Second}
}
