package cgi

import (
	"context"
	"fmt"

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
			_ = resp.Close() // what it may have printed behind the header is no one's
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
