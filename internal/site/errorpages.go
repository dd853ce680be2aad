package site

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"gatehouse/cgi"
	"gatehouse/internal/config"
)

// pageFor is the path of the page for a status, "" where it is our own. A page for the
// status itself goes before one for the hundred.
func pageFor(pages []config.ErrorPage, status int) string {
	code := strconv.Itoa(status)
	for _, want := range []string{code, code[:1] + "xx"} {
		for _, p := range pages {
			if p.Status == want {
				return p.Path
			}
		}
	}
	return ""
}

// sitePage asks the site for its page of an error, as the client would, who so has to be
// let in to see it (A49). It returns nil where there is none, and where that fails in its
// turn.
func sitePage(ctx context.Context, req *cgi.Request, e *cgi.Error) *cgi.Response {
	s := scopeOf(ctx)
	if s == nil || s.site == nil || e.Kind == cgi.ClientGone || ctx.Err() != nil {
		return nil
	}
	path := pageFor(s.terms.policy.ErrorPages, e.StatusCode())
	if path == "" {
		return nil
	}
	asked := pageRequest(req, path, e.StatusCode())
	resp, err := cgi.FollowLocal(s.site).Respond(context.WithValue(ctx, scopeKey{}, new(scope)), asked)
	if err != nil {
		return nil
	}
	if resp.Raw || resp.Status >= 300 && resp.Status < 400 {
		_ = resp.Close()
		return nil
	}
	resp.Status, resp.Reason = e.StatusCode(), ""
	for _, name := range []string{"Etag", "Last-Modified", "Accept-Ranges", "Content-Range", "Expires"} {
		resp.Header.Del(name) // they are the page's, and not those of what was asked for
	}
	if resp.Header.Get("Cache-Control") == "" {
		resp.Header.Add("Cache-Control", "no-store")
	}
	return resp
}

// pageRequest is the request for a page. A script that makes it gets to know what was
// asked for, as Apache's ErrorDocument has it: the REQUEST_URI stays, REDIRECT_STATUS is
// the error's, REDIRECT_URL, REDIRECT_QUERY_STRING and REDIRECT_REQUEST_METHOD are those
// of the request.
func pageRequest(req *cgi.Request, path string, status int) *cgi.Request {
	asked := *req
	asked.Env = req.Env.Clone()
	asked.Env.Redirect(escapePath(path), req.Method())
	asked.Env.Set("REQUEST_URI", req.Env.Get("REQUEST_URI"))
	asked.Env.Set("REDIRECT_STATUS", strconv.Itoa(status))
	asked.Env.Set("REDIRECT_REQUEST_METHOD", req.Method())
	asked.Path = path
	asked.Body, asked.ContentLength, asked.Interim = nil, 0, nil
	asked.Account = &cgi.Account{Progress: req.Progress()} // what it takes is not what failed
	return &asked
}

// checkPages reports pages that a site names itself and that lead to nothing. A site may
// lack those that the server names.
func (a *assembly) checkPages(s *site) {
	check := func(r *config.Route, p *config.Policy, places config.Places) {
		for _, page := range p.ErrorPages {
			key := "error_pages." + page.Status
			if _, written := places.Of(key); !written || page.Path == "" {
				continue
			}
			if f, err := s.Find(page.Path, ""); err != nil || f.Redirect != "" {
				a.report(s.config, r, &lack{key: key, reason: fmt.Sprintf("nothing is found at %q", page.Path),
					hint: "expected the URL path of a file or script of the site"})
			}
		}
	}
	check(nil, &s.config.Policy, s.config.Places)
	for n := range s.config.Routes {
		r := &s.config.Routes[n]
		check(r, &r.Policy, r.Places)
	}
}

// methodNotAllowed is the error of a request for a file by another method than GET.
func methodNotAllowed(method string) error {
	return &refusal{
		cause:  &cgi.Error{Kind: cgi.BadRequest, Status: http.StatusMethodNotAllowed, Reason: fmt.Sprintf("method %s for a file", method)},
		header: cgi.Header{{Name: "Allow", Value: "GET, HEAD"}},
	}
}
