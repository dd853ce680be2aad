package fastcgi_test

import (
	"context"
	"strings"
	"testing"

	"gatehouse/cgi"
	"gatehouse/fastcgi"
)

// guarded is an Authorizer in front of a Responder that says what it was given.
func guarded(t *testing.T, serve func(p *peer)) (*fastcgi.Authorizer, *journal) {
	tr, log := transport(t, func(tr *fastcgi.Transport) { tr.Role = fastcgi.RoleAuthorizer }, application(t, serve).address)
	return &fastcgi.Authorizer{Authorizer: tr, Next: cgi.ResponderFunc(func(_ context.Context, req *cgi.Request) (*cgi.Response, error) {
		return nil, &cgi.Error{Kind: cgi.NotFound, Reason: "passed: " + strings.Join(req.Env.Strings(), " ")}
	})}, log
}

// B42: what an authorizer is asked.
func TestAuthorizerRequest(t *testing.T) {
	got := make(chan *asked, 1)
	g, _ := guarded(t, answering(func(p *peer, a *asked) string { got <- a; return stdout("Status: 200\n\n") + endOK }))
	req := ask("POST", "the body")
	req.Env.Set("PATH_INFO", "/p")
	req.Env.Set("PATH_TRANSLATED", "/srv/p")
	req.Env.Set("SCRIPT_NAME", "/x.fcgi")
	req.Env.Set("QUERY_STRING", "q=1")
	_, _, err := answer(t, g, req)
	e := wantError(t, err, cgi.NotFound, "passed:", "PATH_INFO=/p", "PATH_TRANSLATED=/srv/p", "SCRIPT_NAME=/x.fcgi", "CONTENT_LENGTH=8")
	a := <-got
	want := "REQUEST_METHOD=POST SCRIPT_FILENAME=/srv/x.fcgi QUERY_STRING=q=1 UNIQUE_ID=" + req.ID + " FCGI_ROLE=AUTHORIZER"
	if vars := strings.Join(a.vars, " "); vars != want || a.role != fastcgi.RoleAuthorizer || a.stdin != "" || a.order != "BPI" {
		t.Errorf("%v %q, STDIN %q, records %s; want %q", a.role, vars, a.stdin, a.order, want)
	}
	if strings.Contains(e.Reason, "FCGI_ROLE") {
		t.Errorf("%q passed on", e.Reason)
	}
	if n, _ := req.Body.Read(make([]byte, 100)); n != len("the body") {
		t.Errorf("%d bytes of the body are left for the responder", n)
	}
}

// B43 to B45: what its answers mean.
func TestAuthorizer(t *testing.T) {
	const plain = "Content-Type: text/plain\n\n"
	for _, c := range []struct {
		name, bytes string
		passed      string // what the responder sees beyond the request; "-": it is not asked
		status      int    // of the answer, when it is not asked
		body        string
		kind        cgi.Kind // of the error, where status is 0
	}{
		{"200 without anything", stdout("Status: 200 OK\n\n") + endOK, "", 0, "", 0},
		{"200 with other fields and a body", stdout("X-Y: z\n"+plain+"ignored") + endOK, "", 0, "", 0},
		{"no Status but a variable", stdout("Variable-REMOTE_USER: anna\n\n") + endOK, " REMOTE_USER=anna", 0, "", 0},
		{"variables, however written", stdout("Status: 200\nvariable-auth-method: SSO\nVARIABLE-App.Group: a b\n\n") + endOK, " AUTH_METHOD=SSO APP_GROUP=a b", 0, "", 0},
		{"variables of the server", stdout("Status: 200\nVariable-REMOTE_ADDR: 1.2.3.4\nVariable-HTTP_X: y\nVariable-SCRIPT_FILENAME: /etc/passwd\nVariable-A: 1\n\n") + endOK, " A=1", 0, "", 0},
		{"variables of programs", stdout("Status: 200\nVariable-LD_PRELOAD: x\nVariable-PATH: x\nVariable-IFS: x\nVariable-BASH_ENV: x\nVariable-PYTHONPATH: x\nVariable-PERL5OPT: x\nVariable-PHP_VALUE: x\nVariable-PHP_ADMIN_VALUE: x\n\n") + endOK, "", 0, "", 0},
		{"403", stdout("Status: 403 No\n"+plain+"go away") + endOK, "-", 403, "go away", 0},
		{"401 with its challenge", stdout("Status: 401\nWWW-Authenticate: Basic\nVariable-A: 1\n\n") + endOK, "-", 401, "", 0},
		{"204 is not 200", stdout("Status: 204\n\n") + endOK, "-", 204, "", 0},
		{"a Location", stdout("Location: http://sso.example.org/\n\n") + endOK, "-", 302, "", 0},
		{"a Location and a variable", stdout("Variable-A: 1\nLocation: /login\n\n") + endOK, "-", 302, "", 0},
		{"nothing", endOK, "-", 0, "", cgi.NoOutput},
		{"no header", stdout("yes\n") + endOK, "-", 0, "", cgi.BadOutput},
		{"a bad Status with a variable", stdout("Status: yes\nVariable-A: 1\n\n") + endOK, "-", 0, "", cgi.BadOutput},
		{"half a header", stdout("Variable-REMOTE_USER: anna\n") + endOK, "-", 0, "", cgi.BadOutput},
		{"an unknown role", unknown, "-", 0, "", cgi.Internal},
		{"overloaded", overloaded, "-", 0, "", cgi.Busy},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, log := guarded(t, stay(c.bytes))
			req := ask("GET", "")
			req.Env.Set("REMOTE_ADDR", "192.0.2.1")
			status, body, err := answer(t, g, req)
			switch {
			case c.passed != "-":
				e := wantError(t, err, cgi.NotFound)
				want := "passed: REQUEST_METHOD=GET SCRIPT_FILENAME=/srv/x.fcgi REMOTE_ADDR=192.0.2.1" + c.passed
				if e.Reason != want {
					t.Errorf("%q, want %q", e.Reason, want)
				}
			case c.status != 0:
				if err != nil || status != c.status || body != c.body {
					t.Errorf("status %d, %q, %v, want %d, %q", status, body, err, c.status, c.body)
				}
			default:
				wantError(t, err, c.kind)
			}
			if refused := strings.Contains(c.name, "variables of"); refused != strings.Contains(log.String(), "is not passed on") {
				t.Errorf("log %q", log)
			}
		})
	}
}

// B45, B46: one that dies, is too slow or is not there lets nothing pass, and what one
// client was told is not another's.
func TestAuthorizerFails(t *testing.T) {
	g, _ := guarded(t, func(*peer) {})
	_, _, err := answer(t, g, ask("GET", ""))
	wantError(t, err, cgi.NoOutput, "without an answer")

	n := 0
	g, _ = guarded(t, answering(func(p *peer, a *asked) string {
		if n++; n == 1 {
			return stdout("Variable-REMOTE_USER: anna\n\n") + endOK
		}
		return stdout("Status: 403\n\n") + endOK
	}))
	if _, _, err = answer(t, g, ask("GET", "")); err == nil || !strings.Contains(err.Error(), "REMOTE_USER=anna") {
		t.Errorf("first: %v", err)
	}
	if status, _, err := answer(t, g, ask("GET", "")); status != 403 || err != nil {
		t.Errorf("second: %d, %v", status, err)
	}

	bare := &fastcgi.Authorizer{Authorizer: &fastcgi.Transport{Addresses: []string{"unix:/x"}}, Next: g.Next}
	_, err = bare.Respond(context.Background(), ask("GET", ""))
	wantError(t, err, cgi.Internal, "RoleAuthorizer")

	// A chain: all must agree.
	yes, _ := guarded(t, stay(stdout("Variable-A: 1\n\n")+endOK))
	yes.Next = g
	if status, _, err := answer(t, yes, ask("GET", "")); status != 403 || err != nil {
		t.Errorf("chain: %d, %v", status, err)
	}
}
