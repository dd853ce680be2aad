package fastcgi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"gatehouse/cgi"
	"gatehouse/environ"
)

// Health is how a Transport checks its endpoints beside the requests. An endpoint that
// fails a check gets no request until it passes one, unless all have failed.
type Health struct {
	Interval time.Duration // between two checks of an endpoint; zero means none
	Timeout  time.Duration // of one check, with its connection; zero means 2 s

	// Path is a path and query that is asked for as SCRIPT_NAME and SCRIPT_FILENAME
	// (what php-fpm calls ping.path): a status below 400 is well. "" asks
	// GET_VALUES instead, on a connection that is used for nothing else (B34): not
	// for libfcgi, which gives no answer (seen with 2.4.2) and serves nobody meanwhile.
	Path string

	Env environ.Env // added to the variables of a check; replaces them
}

func (h *Health) timeout() time.Duration { return orElse(h.Timeout, 2*time.Second) }

// checkHealth checks all endpoints again and again until ctx is done.
func (t *Transport) checkHealth(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		var all sync.WaitGroup
		for _, ep := range t.pool.all() {
			all.Go(func() {
				if checked, err := t.check(ctx, ep); checked && ctx.Err() == nil {
					t.noteHealth(ep, err)
				}
			})
		}
		all.Wait()
		timer.Reset(t.Health.Interval)
	}
}

func (p *pool) all() []*endpoint {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*endpoint(nil), p.endpoints...)
}

// noteHealth notes the result of a check, and logs it if it is news.
func (t *Transport) noteHealth(ep *endpoint, err error) {
	sick := ""
	if err != nil {
		sick = strings.TrimPrefix(err.Error(), "fastcgi: ")
	}
	p := &t.pool
	p.mu.Lock()
	was := ep.sick
	ep.sick = sick
	if sick == "" {
		ep.wellAgain()
		p.grant(time.Now())
	}
	p.mu.Unlock()
	switch {
	case sick != "" && was == "":
		t.log().Error("health check failed", "application", t.name(), "address", ep.address, "reason", sick)
	case sick == "" && was != "":
		t.log().Info("health check passed again", "application", t.name(), "address", ep.address)
	}
}

// check asks an endpoint once, as far as a connection can be had without taking the
// place of a request: while all are in use, the requests show how it is.
func (t *Transport) check(ctx context.Context, ep *endpoint) (checked bool, err error) {
	p := &t.pool
	p.mu.Lock()
	if ep.busy >= t.connections() {
		p.mu.Unlock()
		return false, nil
	}
	ep.busy++
	var c *poolConn
	if t.Health.Path != "" { // an application of one process serves nobody else meanwhile
		c = ep.pop()
	}
	p.mu.Unlock()
	defer p.free(ep)
	limit := t.Health.timeout()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if c != nil {
		if err := t.Health.ask(ctx, c); err == nil {
			c.closeWhole()
			return true, nil
		}
		_ = c.Close() // it may have been dead
	}
	conn, err := ep.dial(ctx)
	if err != nil {
		return true, dialError(context.Background(), ep, err)
	}
	if err = t.Health.ask(ctx, conn); err == nil {
		p.newPoolConn(ep, conn, 0).closeWhole()
		return true, nil
	}
	_ = conn.Close()
	if ctx.Err() == context.DeadlineExceeded {
		err = fmt.Errorf("fastcgi: no answer within %v (health_timeout)", limit)
	}
	return true, err
}

// ask makes the check on a connection, which is used for nothing after it.
func (h *Health) ask(ctx context.Context, conn net.Conn) error {
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(0, 1)) })()
	_ = conn.SetDeadline(time.Time{})
	if h.Path == "" {
		return checkValues(conn)
	}
	return h.checkPath(conn)
}

// checkValues is content with any answer to GET_VALUES, UNKNOWN_TYPE included.
func checkValues(conn net.Conn) error {
	if _, err := conn.Write(AppendGetValues(nil, MaxConns, MaxReqs, MpxsConns)); err != nil {
		return err
	}
	h, err := NewReader(conn).Next()
	switch {
	case err == io.EOF:
		return fmt.Errorf("fastcgi: the connection was closed without an answer to GET_VALUES")
	case err != nil:
		return err
	case h.Type != TypeGetValuesResult && h.Type != TypeUnknownType:
		return fmt.Errorf("fastcgi: GET_VALUES was answered by %v", h.Type)
	}
	return nil
}

// checkPath makes a request.
func (h *Health) checkPath(conn net.Conn) error {
	b := AppendBeginRequest(nil, requestID, RoleResponder, false)
	b = AppendParams(b, requestID, h.variables())
	b = AppendStreamEnd(b, TypeStdin, requestID)
	if _, err := conn.Write(b); err != nil {
		return err
	}
	const most = 1 << 20 // of its answer
	out, err := readOutput(NewReader(conn), most)
	if err != nil {
		return err
	}
	resp, err := cgi.ReadResponse(bytes.NewReader(out), cgi.ParseLimits{}, nil)
	if err != nil {
		return fmt.Errorf("fastcgi: %q was not answered well: %s", h.Path, cgi.AsError(err).Reason)
	}
	if resp.Status >= 400 {
		return fmt.Errorf("fastcgi: %q was answered with status %d", h.Path, resp.Status)
	}
	return nil
}

func (h *Health) variables() []string {
	path, query, _ := strings.Cut(h.Path, "?")
	var env environ.Env
	for _, v := range [...][2]string{
		{"GATEWAY_INTERFACE", "CGI/1.1"}, {"SERVER_PROTOCOL", "HTTP/1.1"}, {"SERVER_SOFTWARE", "gatehouse"},
		{"SERVER_NAME", "localhost"}, {"SERVER_PORT", "80"}, {"REMOTE_ADDR", "127.0.0.1"},
		{"REQUEST_METHOD", "GET"}, {"REQUEST_URI", h.Path}, {"QUERY_STRING", query},
		{"SCRIPT_NAME", path}, {"SCRIPT_FILENAME", path}, {"REDIRECT_STATUS", "200"},
	} {
		env.Set(v[0], v[1])
	}
	for name, value := range h.Env.All() {
		env.Set(name, value)
	}
	return env.Strings()
}

// readOutput reads the STDOUT of one request to its end, at most that much.
func readOutput(r *Reader, most int) ([]byte, error) {
	var out bytes.Buffer
	for {
		head, err := r.Next()
		switch {
		case err == io.EOF && out.Len() > 0: // not KEEP_CONN: its end will do (B28)
			return out.Bytes(), nil
		case err == io.EOF:
			return nil, fmt.Errorf("fastcgi: the connection was closed without an answer")
		case err != nil:
			return nil, err
		case head.Type == TypeEndRequest && head.ID == requestID:
			var content [8]byte
			_, err := io.ReadFull(r, content[:])
			_, status, parseErr := ParseEndRequest(content[:])
			switch {
			case err != nil:
				return nil, err
			case parseErr != nil:
				return nil, parseErr
			case status != StatusRequestComplete:
				return nil, fmt.Errorf("fastcgi: the request was refused (%v)", status)
			}
			return out.Bytes(), nil
		case head.Type == TypeStdout && head.ID == requestID:
			if _, err := io.Copy(&out, io.LimitReader(r, int64(most-out.Len()))); err != nil {
				return nil, err
			}
		}
	}
}
