package site

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"gatehouse/cgi"
	"gatehouse/internal/config"
)

// terms are what holds for the answers of a route, or of a site where no route answers:
// who gets one, and what is added to it.
type terms struct {
	policy *config.Policy
	access *access    // nil: everybody
	auth   *basicAuth // nil: nobody is asked who they are
}

// newTerms makes the terms of a site or of one of its routes, and reports what is wrong
// with the files that they need.
func (a *assembly) newTerms(s *site, p *config.Policy, g *config.Guard) (terms, error) {
	t := terms{policy: p, access: a.accessOf(p.Access)}
	if g.BasicAuth == nil {
		return t, nil
	}
	var err error
	if t.auth, err = a.basicAuth(g.BasicAuth); err != nil {
		return t, err
	}
	real, err := filepath.EvalSymlinks(g.BasicAuth.File)
	if err == nil && !slices.Contains(s.unseen, real) { // where it lies among what is sent
		s.unseen = append(s.unseen, real)
	}
	return t, err
}

// accessOf makes one access of each, however many routes inherit it.
func (a *assembly) accessOf(c *config.Access) *access {
	if a.lists == nil {
		a.lists = make(map[*config.Access]*access)
	}
	made, ok := a.lists[c]
	if !ok {
		made = newAccess(c)
		a.lists[c] = made
	}
	return made
}

// termsOf are those of a path at which nothing was found: what there is not is for those
// to know who may have what there is.
func (s *site) termsOf(urlPath string) *terms {
	if r, _ := s.routes.find(urlPath); r != nil {
		return &r.terms
	}
	for segment := range strings.SplitSeq(urlPath, "/") {
		if r := s.routes.bySuffix(segment); r != nil {
			return &r.terms
		}
	}
	return &s.terms
}

// terms are those of what was found.
func (f *Found) terms() *terms {
	if f.Route != nil {
		return &f.Route.terms
	}
	return &f.site.terms
}

// allTerms are those that a request has to satisfy: of where it leads, and before them of
// the path that was asked for where the fallback answers for it.
func (s *site) allTerms(found *Found, urlPath string) []*terms {
	if found == nil {
		return []*terms{s.termsOf(urlPath)}
	}
	last := found.terms()
	if found.from != nil && found.from != last {
		return []*terms{found.from, last}
	}
	return []*terms{last}
}

// admit lets a request through that satisfies all terms. What follows gets to know
// who the client is, and not by which password (A01, A11, A33).
func (s *site) admit(ctx context.Context, req *cgi.Request, found *Found) (*cgi.Request, error) {
	all := s.allTerms(found, req.Path)
	scope := scopeOf(ctx)
	client := req.Env.Get("REMOTE_ADDR")
	for _, t := range all {
		scope.enter(s, t)
		if err := t.access.admit(client); err != nil {
			return nil, err
		}
	}
	var checked *basicAuth
	user := ""
	for _, t := range all {
		scope.enter(s, t)
		if t.auth == nil || t.auth == checked {
			continue
		}
		var err error
		if user, err = t.auth.check(ctx, req); err != nil {
			return nil, err
		}
		checked = t.auth
	}
	if checked == nil {
		return req, nil
	}
	if req.Account != nil {
		req.Account.User = user
	}
	again := *req
	again.Env = req.Env.Clone()
	again.Env.DelAuthorization()
	again.Env.Set("AUTH_TYPE", "Basic")
	again.Env.Set("REMOTE_USER", user)
	return &again, nil
}

// scope is where a request has got to: what is outside the sites learns from it whose
// answer it has.
type scope struct {
	site  *site // nil until one is found
	terms *terms
}

type scopeKey struct{}

// scopeOf is the scope of a request, nil where nobody asks.
func scopeOf(ctx context.Context) *scope {
	s, _ := ctx.Value(scopeKey{}).(*scope)
	return s
}

func (s *scope) enter(site *site, t *terms) {
	if s != nil {
		s.site, s.terms = site, t
	}
}

// finish is a Responder that gives every answer the header fields that its terms name,
// also to errors, redirects and files.
func (a *assembly) finish(next cgi.Responder) cgi.Responder {
	server := &terms{policy: &a.config.Policy}
	return cgi.ResponderFunc(func(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
		s := &scope{terms: server}
		resp, err := next.Respond(context.WithValue(ctx, scopeKey{}, s), req)
		if err == nil {
			addHeaders(resp, s.terms.policy.Headers)
		}
		return resp, err
	})
}

// addHeaders sets fields, or takes them away. A response that a program has written
// itself (A95) is passed on as it is.
func addHeaders(resp *cgi.Response, headers []config.Header) {
	if resp.Raw {
		return
	}
	for _, h := range headers {
		switch {
		case h.Value == "":
			resp.Header.Del(h.Name)
		case strings.EqualFold(h.Name, "Set-Cookie"), strings.EqualFold(h.Name, "Vary"), strings.EqualFold(h.Name, "Link"):
			resp.Header.Add(h.Name, h.Value) // each is a list, and the application's part of it still true
		default:
			resp.Header.Set(h.Name, h.Value)
		}
	}
}
