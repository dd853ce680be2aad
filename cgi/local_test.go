package cgi_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/cgi"
)

// TestFollowLocal (A89 to A93): texts are what the paths print.
func TestFollowLocal(t *testing.T) {
	texts := map[string]string{
		"/end":    ct + "\nthe end",
		"/one":    "Location: /end?x=y\n\n",
		"/two":    "Location: /one\n\n",
		"/dots":   "Location: /a/../end\n\n",
		"/body":   "Location: /end\n\nbody", // A90: a document makes it the client's
		"/status": "Status: 302\nLocation: /end\n\n",
		"/field":  "Location: /end\nX: y\n\n",
		"/other":  "Location: //host/end\n\n",
		"/loop":   "Location: /loop\n\n",
		"/out":    "Location: /../etc\n\n",
		"/five":   "Location: /four\n\n", "/four": "Location: /three\n\n", "/three": "Location: /two\n\n",
		"/six": "Location: /five\n\n",
	}
	rows := []struct {
		path, want string
		kind       cgi.Kind
		reason     string
	}{
		{"/end", "200 the end", 0, ""},
		{"/one", "200 the end", 0, ""},
		{"/two", "200 the end", 0, ""},
		{"/dots", "200 the end", 0, ""},
		{"/five", "200 the end", 0, ""}, // five in a row
		{"/six", "", cgi.Internal, `more than 5 local redirects in a row, the last to "/end?x=y"`},
		{"/loop", "", cgi.Internal, `more than 5 local redirects in a row, the last to "/loop"`},
		{"/out", "", cgi.BadOutput, `its Location "/../etc" is no path that can be asked for`},
		{"/body", "302 body", 0, ""},
		{"/status", "302 ", 0, ""},
		{"/field", "302 ", 0, ""},
		{"/other", "302 ", 0, ""},
	}
	for _, row := range rows {
		t.Run(row.path, func(t *testing.T) {
			open := 0
			r := cgi.FollowLocal(cgi.ResponderFunc(func(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
				resp, err := printing(texts[req.Path])(ctx, req)
				if err == nil {
					open++
					resp.OnClose(func() { open-- })
				}
				return resp, err
			}))
			req := request("GET", "")
			req.Path = row.path
			req.Env.Set("REQUEST_URI", row.path)
			resp, err := r.Respond(t.Context(), req)
			if row.reason != "" {
				isError(t, err, row.kind, row.reason)
			} else if err != nil {
				t.Fatal(err)
			} else {
				body, _ := io.ReadAll(resp.Body)
				if got := fmt.Sprint(resp.Status, " ", string(body)); got != row.want {
					t.Errorf("%q, want %q", got, row.want)
				}
				_ = resp.Close()
			}
			if open != 0 {
				t.Errorf("%d responses were not closed", open)
			}
		})
	}
}

// TestFollowLocalRequest is the request that is made, and what it does not take
// along (A91).
func TestFollowLocalRequest(t *testing.T) {
	for method, want := range map[string]string{"GET": "GET", "HEAD": "HEAD", "POST": "GET"} {
		n := 0
		var second *cgi.Request
		r := cgi.FollowLocal(cgi.ResponderFunc(func(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
			if n++; n == 1 {
				return printing("Location: /b?new\n\n")(ctx, req)
			}
			second = req
			return printing(ct+"\n")(ctx, req)
		}))
		req := request(method, "body")
		req.Env.Set("REQUEST_URI", "/a?old")
		req.Env.Set("QUERY_STRING", "old")
		req.Env.Set("HTTP_COOKIE", "c=d")
		req.Env.Set("REMOTE_USER", "u")
		if _, err := r.Respond(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		if second.Method() != want || second.Body != nil || second.ContentLength != 0 || second.Path != "/b" || second.ID != req.ID {
			t.Errorf("%s: %+v", method, second)
		}
		for name, want := range map[string]string{
			"REQUEST_URI": "/b?new", "QUERY_STRING": "new", "REDIRECT_URL": "/a", "REDIRECT_QUERY_STRING": "old",
			"HTTP_COOKIE": "c=d", "CONTENT_LENGTH": "", "REMOTE_USER": "",
		} {
			if got := second.Env.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", method, name, got, want)
			}
		}
		if req.Method() != method || req.Env.Get("REQUEST_URI") != "/a?old" {
			t.Errorf("%s: the first request was changed: %+v", method, req)
		}
	}
}

// TestFollowLocalFinishes: the program that redirects is not ended for that.
func TestFollowLocalFinishes(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	p, _ := program(t, shell(t, `[ -e `+mark+` ] && { `+okHeader+`printf ok; exit; }; printf 'Location: /x\n\n'; sleep 0.2; echo done >`+mark))
	req := request("GET", "")
	req.Env.Set("REQUEST_URI", "/")
	_, body, err := answer(t, cgi.FollowLocal(p), req)
	if err != nil || body != "ok" {
		t.Errorf("%q, %v", body, err)
	}
	if text, _ := os.ReadFile(mark); strings.TrimSpace(string(text)) != "done" {
		t.Errorf("it was ended before it was done")
	}
}
