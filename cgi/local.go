package cgi

import (
	"context"
	"fmt"
	"io"

	"gatehouse/environ"
)

// maxRedirects is how many local redirects may follow one another (A93).
const maxRedirects = 5

// FollowLocal returns a Responder that carries out local redirects: next, which
// does all routing and access control, is asked again for the path that the
// application named (RFC 3875 section 6.2.2, A89 to A93). The new request is a
// GET, or HEAD if the first was one, and has no body.
func FollowLocal(next Responder) Responder {
	return ResponderFunc(func(ctx context.Context, req *Request) (*Response, error) {
		for n := 0; ; n++ {
			resp, err := next.Respond(ctx, req)
			if err != nil {
				return nil, err
			}
			target := resp.LocalRedirect()
			if target == "" {
				return resp, nil
			}
			if bare, err := endsHere(resp); err != nil {
				_ = resp.Close()
				return nil, err
			} else if !bare {
				return resp, nil // the client's to follow, with its document (A90)
			}
			_ = resp.Close()
			if n == maxRedirects {
				return nil, &Error{Kind: Internal, Script: req.account().Script, Reason: fmt.Sprintf(
					"more than %d local redirects in a row, the last to %q", maxRedirects, shorten([]byte(target), 100))}
			}
			if req, err = redirected(req, target); err != nil {
				return nil, err
			}
		}
	})
}

// endsHere reports whether the response has no body (RFC 3875 section 6.2.2 allows
// none). It waits for its first byte or its end, and puts the byte back.
func endsHere(resp *Response) (bool, error) {
	var first [1]byte
	for {
		n, err := resp.Body.Read(first[:])
		switch {
		case n > 0:
			resp.Body = &restBody{rest: first[:n], r: resp.Body}
			return false, nil
		case err == io.EOF:
			return true, nil
		case err != nil:
			return false, err
		}
	}
}

// redirected is the request that a local redirect to target makes.
func redirected(req *Request, target string) (*Request, error) {
	path, _, err := environ.ParseTarget(target)
	if err != nil {
		return nil, &Error{Kind: BadOutput, Script: req.account().Script, Err: err,
			Reason: fmt.Sprintf("its Location %q is no path that can be asked for", shorten([]byte(target), 100))}
	}
	again := *req
	again.Env = req.Env.Clone()
	again.Env.Redirect(target, req.Method())
	again.Path = path
	again.Body, again.ContentLength = nil, 0
	return &again, nil
}
