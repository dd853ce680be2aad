package site

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"time"

	"gatehouse/cgi"
	"gatehouse/internal/config"
)

// basicAuth asks clients for a name and a password (RFC 7617).
type basicAuth struct {
	challenge string
	passwords *passwords
}

// The most that a client may say: nobody's password is longer, and some of the hashes
// take the longer the more they are given.
const maxUser, maxPassword = 255, 1024

// basicAuth makes one of each that is configured, and one of each file.
func (a *assembly) basicAuth(c *config.BasicAuth) (*basicAuth, error) {
	if a.auths == nil {
		a.auths, a.passwords = make(map[config.BasicAuth]*basicAuth), make(map[string]*passwords)
	}
	if b := a.auths[*c]; b != nil {
		return b, nil
	}
	p := a.passwords[c.File]
	if p == nil {
		if err := fileLack("basic_auth.file", c.File); err != nil {
			return nil, err
		}
		p = newPasswords(c.File, a.log, a.checks)
		if _, err := p.current(); err != nil {
			return nil, &lack{key: "basic_auth.file", reason: fmt.Sprintf("file %q: %v", c.File, cause(err)), cause: err}
		}
		a.passwords[c.File] = p
	}
	b := &basicAuth{passwords: p, challenge: `Basic realm="` + quotedPair.Replace(c.Realm) + `", charset="UTF-8"`}
	a.auths[*c] = b
	return b, nil
}

// quotedPair is for what stands in a quoted-string (RFC 9110 section 5.6.4).
var quotedPair = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// check returns who the client is, or an error that has it asked again.
func (b *basicAuth) check(ctx context.Context, req *cgi.Request) (user string, err error) {
	user, password, ok := credentials(req.Env.Get("HTTP_AUTHORIZATION"))
	if !ok {
		return "", b.refuse("no name and password came with the request")
	}
	switch ok, err := b.passwords.match(ctx, user, password, req.Progress()); {
	case err != nil:
		return "", err
	case !ok:
		return "", b.refuse(fmt.Sprintf("the password of %q is not right, or there is no such user", user))
	}
	return user, nil
}

func (b *basicAuth) refuse(reason string) error {
	return &refusal{
		cause:  &cgi.Error{Kind: cgi.Forbidden, Status: http.StatusUnauthorized, Reason: reason},
		header: cgi.Header{{Name: "WWW-Authenticate", Value: b.challenge}},
	}
}

// credentials reads an Authorization field. A name cannot have a colon or a control
// character in it (RFC 7617 section 2).
func credentials(field string) (user, password string, ok bool) {
	scheme, text, found := strings.Cut(field, " ")
	if !found || !strings.EqualFold(scheme, "Basic") {
		return "", "", false
	}
	b, err := base64.StdEncoding.DecodeString(strings.TrimLeft(text, " "))
	if err != nil {
		return "", "", false
	}
	user, password, found = strings.Cut(string(b), ":")
	isControl := func(r rune) bool { return r < ' ' || r == 0x7f }
	if !found || user == "" || len(user) > maxUser || len(password) > maxPassword ||
		strings.ContainsFunc(user, isControl) || strings.ContainsFunc(password, isControl) {
		return "", "", false
	}
	return user, password, true
}

// newChecks bounds how many passwords are checked at a time, over all sites: a bcrypt
// keeps a processor busy for a good part of a second, and half of them are for others.
func newChecks() *limiter {
	const queue, patience = 256, 10 * time.Second
	return newLimiter(nil, "basic_auth", "checks of passwords", newTurns(max(1, runtime.NumCPU()/2), queue, patience))
}

// refusal is an error whose answer has further header fields.
type refusal struct {
	cause  *cgi.Error
	header cgi.Header
}

func (r *refusal) Error() string { return r.cause.Error() }
func (r *refusal) Unwrap() error { return r.cause }

// fieldsOf are the further header fields of an error's answer.
func fieldsOf(err error) cgi.Header {
	var r *refusal
	if errors.As(err, &r) {
		return r.header
	}
	return nil
}
