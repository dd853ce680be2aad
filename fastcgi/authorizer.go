package fastcgi

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"

	"gatehouse/cgi"
	"gatehouse/environ"
)

// Authorizer is a Responder that asks a FastCGI authorizer (section 6.3) whether a
// request may go to Next. Status 200 lets it pass, with the variables that the
// authorizer gave; anything else is the answer that the client gets. An authorizer
// that fails lets nothing pass (B45). Several are a chain of Authorizers: all must
// agree.
type Authorizer struct {
	Authorizer *Transport // with RoleAuthorizer
	Next       cgi.Responder
}

// Respond fails as the authorizer does, or as Next does.
func (a *Authorizer) Respond(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
	if a.Authorizer == nil || a.Authorizer.Role != RoleAuthorizer {
		return nil, &cgi.Error{Kind: cgi.Internal, Reason: "fastcgi: an Authorizer needs a Transport with RoleAuthorizer"}
	}
	ask := *req
	ask.Env = req.Env.Clone()
	// It has no body and no path below the script (section 6.3, B42).
	ask.Env.Del("CONTENT_LENGTH", "PATH_INFO", "PATH_TRANSLATED", "SCRIPT_NAME")
	ask.Body, ask.ContentLength = nil, 0
	ask.Interim = nil
	ask.Account = &cgi.Account{Progress: req.Progress()}
	resp, err := a.Authorizer.Respond(ctx, &ask)
	if err != nil {
		a.keepAccount(req, ask.Account)
		return nil, err
	}
	if resp.Status != 200 { // B43
		if req.Account != nil {
			resp.OnClose(func() { a.keepAccount(req, ask.Account) })
		}
		return resp, nil
	}
	allowed := *req
	allowed.Env = req.Env.Clone()
	a.addVariables(&allowed.Env, resp.Header, req.ID)
	if err := resp.Close(); err != nil {
		return nil, err
	}
	return a.Next.Respond(ctx, &allowed)
}

// keepAccount tells whoever asks that it was the authorizer that answered.
func (a *Authorizer) keepAccount(req *cgi.Request, of *cgi.Account) {
	if to := req.Account; to != nil {
		of.Site, of.Route = to.Site, to.Route
		*to = *of
	}
}

// addVariables takes over the fields named Variable-NAME (B43, B44).
func (a *Authorizer) addVariables(env *environ.Env, header cgi.Header, request string) {
	for _, f := range header {
		const prefix = "Variable-"
		if len(f.Name) <= len(prefix) || !strings.EqualFold(f.Name[:len(prefix)], prefix) {
			continue
		}
		name := variableName(f.Name[len(prefix):])
		if why := addAuthorized(env, name, f.Value); why != "" {
			a.Authorizer.log().Warn("authorizer's variable is not passed on", "application", a.Authorizer.name(),
				"variable", name, "reason", why, "request", request)
		}
	}
}

// variableName writes a name as a variable's: in capitals, with "_" for what is
// neither a letter nor a digit.
func variableName(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		}
		return '_'
	}, s)
}

// addAuthorized sets one variable, or says why not. An authorizer knows better than
// the server who the client is, and nothing else better.
func addAuthorized(env *environ.Env, name, value string) string {
	if changesPrograms(name) {
		return "it would change how programs work"
	}
	if name == "AUTH_TYPE" || name == "REMOTE_USER" {
		env.Del(name)
	}
	if err := env.AddConfigured(name, value); err != nil {
		return err.Error()
	}
	return ""
}

// changesPrograms names variables that shells, interpreters and php take orders from.
func changesPrograms(name string) bool {
	switch name {
	case "PATH", "IFS", "ENV", "PHP_VALUE", "PHP_ADMIN_VALUE":
		return true
	}
	for _, prefix := range [...]string{"LD_", "BASH_", "PYTHON", "PERL5"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// readAuthorizer is cgi.ReadResponse for an authorizer, whose header may consist of
// Variable fields alone: without a Status it is 200 (B43).
func readAuthorizer(x *exchange, limits cgi.ParseLimits) (*cgi.Response, error) {
	r := &recorder{x: x, on: true}
	resp, err := cgi.ReadResponse(r, limits, nil)
	var e *cgi.Error
	if errors.As(err, &e) && e.Kind == cgi.BadOutput && hasVariables(r.seen) {
		r.replay = append([]byte("Status: 200\n"), r.seen...)
		r.on = false
		if again, err := cgi.ReadResponse(r, limits, nil); err == nil {
			return again, nil
		}
	}
	r.on, r.seen = false, nil
	return resp, err
}

// recorder keeps what is read through it while it is on; what it is to replay it gives
// out first.
type recorder struct {
	x      *exchange
	on     bool
	seen   []byte
	replay []byte
}

func (r *recorder) Read(p []byte) (int, error) { return r.ReadWithin(p, -1) }

func (r *recorder) ReadWithin(p []byte, d time.Duration) (int, error) {
	if len(r.replay) > 0 {
		n := copy(p, r.replay)
		r.replay = r.replay[n:]
		return n, nil
	}
	n, err := r.x.read(p, d)
	if r.on {
		r.seen = append(r.seen, p[:n]...)
	}
	return n, err
}

// hasVariables reports whether a header block has a Variable field and no Status.
func hasVariables(block []byte) bool {
	found := false
	for line := range bytes.Lines(block) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, _, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("Status")) {
			return false
		}
		found = found || len(name) > 9 && bytes.EqualFold(name[:9], []byte("Variable-"))
	}
	return found
}
