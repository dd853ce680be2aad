package cgi_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse/cgi"
)

// variables serves one request over HTTP and returns what a Responder is given.
func variables(t *testing.T, header http.Header, body io.Reader, trailer http.Header) map[string]string {
	t.Helper()
	got := make(map[string]string)
	h := &cgi.Handler{Responder: cgi.ResponderFunc(func(_ context.Context, req *cgi.Request) (*cgi.Response, error) {
		if req.Body != nil {
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return nil, err
			}
		}
		for name, value := range req.Env.All() {
			got[name] = value
		}
		return &cgi.Response{Status: 204, ContentLength: -1, Body: http.NoBody}, nil
	})}
	s := httptest.NewServer(h)
	defer s.Close()
	r, err := http.NewRequest("POST", s.URL+"/a?b", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header, r.Trailer = header, trailer
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if resp.StatusCode != 204 {
		t.Fatalf("status %d", resp.StatusCode)
	}
	return got
}

// What a client sends behind its body is no variable (A63), and neither are the
// variables that only a server that has checked them may set (A01, A10, A11).
func TestWhatAClientCannotSet(t *testing.T) {
	got := variables(t,
		http.Header{"Remote-User": {"root"}, "Auth-Type": {"Basic"}, "Remote-Ident": {"root"}},
		struct{ io.Reader }{strings.NewReader("body")}, // of unknown length, as trailers need
		http.Header{"X-Late": {"1"}, "Remote-User": {"late"}})
	for name := range got {
		switch name {
		case "HTTP_X_LATE", "REMOTE_USER", "AUTH_TYPE", "REMOTE_IDENT":
			t.Errorf("%s=%q", name, got[name])
		}
	}
	if strings.Contains(got["HTTP_REMOTE_USER"], "late") {
		t.Errorf("HTTP_REMOTE_USER=%q: a trailer", got["HTTP_REMOTE_USER"])
	}
	if got["GATEWAY_INTERFACE"] != "CGI/1.1" { // A04
		t.Errorf("GATEWAY_INTERFACE=%q", got["GATEWAY_INTERFACE"])
	}
}

// Header fields become HTTP_ variables (A18).
func TestHeaderFieldsAreVariables(t *testing.T) {
	got := variables(t, http.Header{"X-Some-Thing": {"a", "b"}}, nil, nil)
	if want := "a, b"; got["HTTP_X_SOME_THING"] != want {
		t.Errorf("HTTP_X_SOME_THING=%q, want %q", got["HTTP_X_SOME_THING"], want)
	}
}

// A reason phrase that could end the line is replaced by the usual one (A76).
func TestReasonPhrase(t *testing.T) {
	for _, row := range []struct{ reason, want string }{
		{"", "Status: 404 Not Found\r\n"},
		{"Gone Fishing", "Status: 404 Gone Fishing\r\n"},
		{"caf\xe9", "Status: 404 caf\xe9\r\n"},
		{"a\r\nX: y", "Status: 404 Not Found\r\n"},
		{"a\x00b", "Status: 404 Not Found\r\n"},
	} {
		head := string(cgi.AppendHeader(nil, &cgi.Response{Status: 404, Reason: row.reason, ContentLength: -1}))
		if got, _, _ := strings.Cut(head, "\n"); got+"\n" != row.want {
			t.Errorf("%q: got %q, want %q", row.reason, got+"\n", row.want)
		}
	}
}
