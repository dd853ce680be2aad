package environ_test

import (
	"strings"
	"testing"

	"gatehouse/environ"
)

// A05, A06, A13.
func TestSetScript(t *testing.T) {
	for _, test := range []struct {
		name   string
		script environ.Script
		want   string
	}{
		{"script and path", environ.Script{Name: "/a.cgi", Filename: "/srv/a.cgi", PathInfo: "/x", PathTranslated: "/srv/x", DocumentRoot: "/srv"},
			"X=1 SCRIPT_NAME=/a.cgi SCRIPT_FILENAME=/srv/a.cgi DOCUMENT_ROOT=/srv PATH_INFO=/x PATH_TRANSLATED=/srv/x"},
		{"no path", environ.Script{Name: "/a.cgi", Filename: "/srv/a.cgi", PathTranslated: "/srv", DocumentRoot: "/srv"},
			"X=1 SCRIPT_NAME=/a.cgi SCRIPT_FILENAME=/srv/a.cgi DOCUMENT_ROOT=/srv"},
		{"path that is no file", environ.Script{Name: "/a", PathInfo: "/x"},
			"X=1 SCRIPT_NAME=/a PATH_INFO=/x PATH_TRANSLATED="},
		{"at the root", environ.Script{PathInfo: "/"},
			"X=1 SCRIPT_NAME= PATH_INFO=/ PATH_TRANSLATED="},
	} {
		var e environ.Env
		e.Set("X", "1")
		e.SetScript(test.script)
		if got := strings.Join(e.Strings(), " "); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
		// Once more, over what another script has left.
		e.SetScript(environ.Script{Name: "/o", Filename: "/o", PathInfo: "/o", PathTranslated: "/o", DocumentRoot: "/o"})
		e.SetScript(test.script)
		if got, want := e.Len(), strings.Count(test.want, " ")+1; got != want {
			t.Errorf("%s: %d variables after a second time, want %d: %q", test.name, got, want, e.Strings())
		}
	}
}

// A91.
func TestRedirect(t *testing.T) {
	var e environ.Env
	for _, pair := range []string{
		"SERVER_NAME=h", "REQUEST_METHOD=POST", "REQUEST_URI=/old%20path?a=b", "QUERY_STRING=a=b",
		"CONTENT_TYPE=text/plain", "CONTENT_LENGTH=3", "HTTP_CONTENT_ENCODING=gzip", "HTTP_COOKIE=c", "HTTP_EXPECT=100-continue",
		"HTTP_HOST=h", "HTTP_IF_NONE_MATCH=x", "HTTP_IF_RANGE=x", "HTTP_RANGE=bytes=0-1", "HTTP_TRANSFER_ENCODING=x", "HTTP_IFFY=1",
		"REMOTE_USER=joe", "AUTH_TYPE=Basic", "SCRIPT_NAME=/old", "SCRIPT_FILENAME=/srv/old", "DOCUMENT_ROOT=/srv", "PATH_INFO=/x", "PATH_TRANSLATED=/srv/x",
	} {
		name, value, _ := strings.Cut(pair, "=")
		e.Set(name, value)
	}
	e.Redirect("/new/./x?c=d?e", "POST")
	want := "SERVER_NAME=h|REQUEST_METHOD=GET|REQUEST_URI=/new/./x?c=d?e|QUERY_STRING=c=d?e|HTTP_COOKIE=c|HTTP_HOST=h|HTTP_IFFY=1|" +
		"REDIRECT_URL=/old path|REDIRECT_QUERY_STRING=a=b"
	if got := strings.Join(e.Strings(), "|"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	e.Redirect("/third", "")
	want = "SERVER_NAME=h|REQUEST_METHOD=GET|REQUEST_URI=/third|QUERY_STRING=|HTTP_COOKIE=c|HTTP_HOST=h|HTTP_IFFY=1|" +
		"REDIRECT_URL=/new/x|REDIRECT_QUERY_STRING=c=d?e"
	if got := strings.Join(e.Strings(), "|"); got != want {
		t.Errorf("second redirect: got  %s\nwant %s", got, want)
	}
}

func TestRedirectMethod(t *testing.T) {
	for _, test := range []struct{ name, was, method, want string }{
		{"HEAD stays", "HEAD", "HEAD", "HEAD"},
		{"HEAD of the request", "HEAD", "", "HEAD"},
		{"HEAD turned into GET", "HEAD", "GET", "GET"},
		{"PUT", "PUT", "PUT", "GET"},
		{"methods are case-sensitive, A12", "head", "", "GET"},
	} {
		var e environ.Env
		e.Set("REQUEST_METHOD", test.was)
		e.Set("REQUEST_URI", "*?x") // not parsable, told as it was
		e.Redirect("/", test.method)
		if got := e.Get("REQUEST_METHOD"); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
		if got := e.Get("REDIRECT_URL"); got != "*" {
			t.Errorf("%s: REDIRECT_URL=%q", test.name, got)
		}
	}
}
