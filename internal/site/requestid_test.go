package site_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gatehouse/internal/site"
)

// The ID is one and the same in the response, in both variables of the program and in the
// log, and never a client's own.
func TestRequestID(t *testing.T) {
	const trusting = "trusted_proxies = ['127.0.0.1']\n"
	ours := regexp.MustCompile("^" + anyID + "$")
	long := strings.Repeat("x", 128)
	for _, tt := range []struct {
		name, keys, field, given, want string // want "": one of ours
	}{
		{"of a client", "", "X-Request-Id", "mine", ""},
		{"of a proxy", trusting, "X-Request-Id", "aB3._-", "aB3._-"},
		{"of a proxy, as long as may be", trusting, "X-Request-Id", long, long},
		{"of a proxy, too long", trusting, "X-Request-Id", long + "x", ""},
		{"of a proxy, with other characters", trusting, "X-Request-Id", "a b", ""},
		{"empty", trusting, "X-Request-Id", "", ""},
		{"none", trusting, "X-Other", "x", ""},
		{"another field", trusting + "request_id_header = 'X-Trace'\n", "X-Trace", "abc", "abc"},
		{"another field of a client", "request_id_header = 'X-Trace'\n", "X-Trace", "abc", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			header := "X-Request-Id"
			if strings.Contains(tt.keys, "X-Trace") {
				header = "X-Trace"
			}
			variable := "HTTP_" + strings.ToUpper(strings.ReplaceAll(header, "-", "_"))
			dir := tree(t, files{"htdocs/": "", "cgi-bin/id": script(`printf 'Content-Type: text/plain\n`+header+`: of the program\n\n'`, `echo "$`+variable+` $UNIQUE_ID"`)})
			s := start(t, dir, tt.keys+logConfig)
			got := s.get(t, "/cgi-bin/id", tt.field+": "+tt.given)
			id := got.Header.Get(header)
			if tt.want != "" && id != tt.want || tt.want == "" && !ours.MatchString(id) {
				t.Errorf("the response has %q", id)
			}
			if n := len(got.Header.Values(header)); n != 1 {
				t.Errorf("%d fields %s", n, header)
			}
			if got.body != id+" "+id+"\n" {
				t.Errorf("the program has %q, the response %q", got.body, id)
			}
			if logged, _ := keyOf(s.lastAccess(t, 1), "request"); logged != id {
				t.Errorf("the log has %q, the response %q", logged, id)
			}
		})
	}
}

// Every response has it: files, errors, what is refused; without a field none has.
func TestRequestIDOnAll(t *testing.T) {
	for _, name := range []string{"X-Request-Id", ""} {
		dir := tree(t, files{"htdocs/hello.txt": "hello", "cgi-bin/env": script(okHeader, "env")})
		s := start(t, dir, "request_id_header = '"+name+"'\n"+logConfig)
		for _, target := range []string{"/hello.txt", "/none", "/%00", "/cgi-bin/env"} {
			got := s.get(t, target, "X-Request-Id: client")
			if (got.Header.Get("X-Request-Id") != "") != (name != "") {
				t.Errorf("request_id_header %q, %s: %v", name, target, got.Header)
			}
			if target == "/cgi-bin/env" && name == "" && !strings.Contains(got.body, "HTTP_X_REQUEST_ID=client\n") {
				t.Errorf("without a field of ours the client's is one as any other:\n%s", got.body)
			}
		}
	}
}

// Two requests that run have two IDs, whatever a proxy calls them: what a program leaves
// behind is known by it. The second one's begins with what the proxy said.
func TestRequestIDTwice(t *testing.T) {
	dir := tree(t, files{"htdocs/": "", "cgi-bin/held": script("touch ../runs-$QUERY_STRING", "while [ ! -e ../gate ]; do sleep 0.01; done", okHeader, "echo $UNIQUE_ID"),
		"cgi-bin/id": script(okHeader, "echo $UNIQUE_ID")})
	s := start(t, dir, "trusted_proxies = ['127.0.0.1']\n"+strings.Replace(logConfig, "processes = 1", "processes = 3", 1), func(*site.Options) {})
	open := gate(t, filepath.Join(dir, "gate"))
	bodies := make(chan string)
	go func() { bodies <- s.get(t, "/cgi-bin/held?1", "X-Request-Id: same").body }()
	eventually(t, "it runs", func() bool { return exists(filepath.Join(dir, "runs-1")) })
	second := s.get(t, "/cgi-bin/id", "X-Request-Id: same")
	if second.body == "same\n" || !strings.HasPrefix(second.body, "same.") || second.Header.Get("X-Request-Id")+"\n" != second.body {
		t.Errorf("the second is %q, %q", second.body, second.Header.Get("X-Request-Id"))
	}
	open()
	if first := <-bodies; first != "same\n" {
		t.Errorf("the first is %q", first)
	}
	s.lastAccess(t, 2)
	if third := s.get(t, "/cgi-bin/id", "X-Request-Id: same"); third.body != "same\n" {
		t.Errorf("afterwards: %q", third.body)
	}
}
