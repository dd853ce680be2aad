package site

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gatehouse/cgi"
	"gatehouse/environ"
	"gatehouse/internal/config"
	"gatehouse/process"
)

// Trial is one request made from the command line.
type Trial struct {
	Method string // "" means GET, or POST where there is a body
	Target string // a URL, or its path and query
	Header http.Header
	Body   []byte    // nil: none
	Stderr io.Writer // gets what the program writes to its standard error
}

// request makes the request as a client on this machine would have sent it.
func (t *Trial) request(ctx context.Context, h *Host) (*cgi.Request, error) {
	target := t.Target
	if target == "" {
		target = "/"
	}
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	host := u.Host
	if host == "" {
		host = "localhost"
	}
	if rest, ok := strings.CutPrefix(target, u.Scheme+"://"+u.Host); ok && u.Host != "" {
		target = rest // origin-form, as a browser sends it
	}
	if !strings.HasPrefix(target, "/") {
		target = "/" + target
	}
	method := t.Method
	if method == "" {
		method = http.MethodGet
		if t.Body != nil {
			method = http.MethodPost
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+host+"/", nil)
	if err != nil {
		return nil, err
	}
	r.RequestURI, r.RemoteAddr, r.Header = target, "127.0.0.1:0", t.Header.Clone()
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	if v := r.Header.Get("Host"); v != "" {
		r.Host = v
		r.Header.Del("Host")
	}
	local := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(local)))
	req := &cgi.Request{ID: "trial", Account: new(cgi.Account), Stderr: t.Stderr}
	if len(t.Body) > 0 {
		r.ContentLength = int64(len(t.Body))
		req.Body, req.ContentLength = bytes.NewReader(t.Body), r.ContentLength
		if r.Header.Get("Content-Type") == "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
	}
	if req.Env, err = h.inForce().handler.Server.FromHTTP(r); err != nil {
		return nil, refused(err)
	}
	if req.Path, _, err = environ.ParseTarget(target); err != nil {
		return nil, refused(err)
	}
	return req, nil
}

// refused is the error of a request that a server would not pass on.
func refused(err error) error {
	e := &cgi.Error{Kind: cgi.BadRequest, Reason: err.Error(), Err: err}
	var ee *environ.Error
	if errors.As(err, &ee) {
		e.Status, e.Reason = ee.Status, ee.Reason
	}
	return e
}

// Try makes the request and hands the response to show before it is closed. The
// account tells what it took; the error is the cause, not a page.
func (h *Host) Try(ctx context.Context, t *Trial, show func(*cgi.Response) error) (*cgi.Account, time.Duration, error) {
	req, err := t.request(ctx, h)
	if err != nil {
		return nil, 0, err
	}
	begun := time.Now()
	resp, err := cgi.FollowLocal(&h.inForce().sites).Respond(ctx, req)
	if err != nil {
		return req.Account, time.Since(begun), err
	}
	err = show(resp)
	if cerr := resp.Close(); err == nil {
		err = cerr
	}
	if f := req.Account.Failure; f != nil {
		err = f
	}
	return req.Account, time.Since(begun), err
}

// Explanation is what a request would do.
type Explanation struct {
	Found  *Found
	Env    environ.Env    // as the program would get it, or what the application would be sent
	Limits *config.Limits // of the route; nil where no program runs

	// Application says what would be asked, and Protocol in what way, "fastcgi",
	// "scgi" or "wsgi"; both are "" where it is a file or a program of its own. Authorizer is
	// who would be asked before anything else; "" for nobody.
	Application, Protocol, Authorizer string

	// Terms are the lines of the configuration about who gets an answer and what is added
	// to it, and Refused why this request would get none; nil when it would.
	Terms   []Term
	Refused error

	How   string // a program would be started, "warm: " and by what, or "cold: " and why; "" where none is
	Err   error  // why there is nothing to run or send
	Wrong string // what would keep the program from being started
}

// Explain follows the request to what would answer it, and starts nothing.
func (h *Host) Explain(ctx context.Context, t *Trial) (*Explanation, error) {
	req, err := t.request(ctx, h)
	if err != nil {
		return nil, err
	}
	s := h.inForce().sites.find(req.Env.Get("SERVER_NAME"))
	if s == nil {
		return nil, noSite(req.Env.Get("SERVER_NAME"))
	}
	x := &Explanation{Env: req.Env}
	x.Found, x.Err = s.Find(req.Path, req.Env.Get("QUERY_STRING"))
	x.Terms = s.describeTerms(x.Found, req.Path)
	admitted, err := s.admit(ctx, req, x.Found)
	if x.Refused = err; err == nil {
		req, x.Env = admitted, admitted.Env
	}
	if r := s.guarded(x.Found, req.Path); r != nil {
		x.Authorizer = r.authorizer.describe()
	}
	if x.Err == nil {
		x.Err = x.Found.expand(req)
	}
	if x.Err != nil || !x.Found.IsScript {
		return x, nil
	}
	route := x.Found.Route
	x.Limits = &route.config.Limits
	x.Found.setScript(&req.Env)
	if route.backend != nil {
		h.inForce().explainBackend(x, route, req)
		return x, nil
	}
	x.Env = route.cgi.Environment(req)
	x.How = howStarted(route.cgi.Spawner, &process.Command{Path: x.Found.File, Args: []string{x.Found.File}, Env: x.Env.Strings()})
	if wrong := process.Check(x.Found.File); wrong != nil {
		x.Wrong = wrong.Reason
	}
	return x, nil
}

// explainBackend says what an application would be sent.
func (a *assembly) explainBackend(x *Explanation, r *route, req *cgi.Request) {
	x.Protocol = "fastcgi"
	switch {
	case r.config.SCGI != nil:
		x.Protocol = "scgi"
	case r.config.WSGI != nil:
		x.Protocol = "wsgi"
	}
	x.Application, x.Wrong = r.backend.describe(), r.backend.config.Missing
	if r.cgi != nil { // a process for each request
		x.Env = r.cgi.Environment(req)
		return
	}
	x.Env = req.Env.Clone()
	if !r.config.PassAuthorization {
		x.Env.DelAuthorization()
	}
	for name, value := range a.variables(r.config.Env).All() {
		if _, taken := x.Env.Lookup(name); !taken {
			x.Env.Set(name, value)
		}
	}
}
