package site_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/cgi"
	"gatehouse/internal/site"
)

const trialConfig = `
env = { CONFIGURED = "yes" }
[[site]]
hosts = ["localhost"]
root = "DIR/htdocs"

  [[site.route]]
  path = "/cgi-bin/"
  cgi = "DIR/cgi-bin/"
  timeout = "77s"

  [[site.route]]
  path = "/old"
  redirect = "/new"
`

// host is a Host that does not serve.
func host(t *testing.T) (*site.Host, string) {
	t.Helper()
	dir := tree(t, files{
		"htdocs/hello.txt": "hello",
		"cgi-bin/env":      envScript,
		"cgi-bin/ran":      script("touch ../ran", okHeader),
		"cgi-bin/echo":     script(okHeader, "cat", "echo oops >&2", "exit 3"),
		"cgi-bin/local":    script(`printf 'Location: /cgi-bin/env/again?x=y\n\n'`),
		"cgi-bin/bad":      script("echo no header"),
		"cgi-bin/missing":  "#!/no/such/interpreter\n",
		"cgi-bin/sleeps":   script("exec sleep 60"),
		"cgi-bin/noexec":   "text",
	})
	h, err := site.New(parse(t, dir, trialConfig), site.Options{Software: "gatehouse/test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return h, dir
}

func TestTry(t *testing.T) {
	h, _ := host(t)
	for _, tt := range []struct {
		name   string
		trial  site.Trial
		status int
		want   []string // in the body
		kind   cgi.Kind // of the error; used where status is 0
	}{
		{"nothing named", site.Trial{}, 0, nil, cgi.Forbidden},
		{"path", site.Trial{Target: "/cgi-bin/env/a%20b?c=%20"}, 200, []string{
			"REQUEST_METHOD=GET", "PATH_INFO=/a b", "QUERY_STRING=c=%20", "SERVER_NAME=localhost", "SERVER_PORT=8080",
			"REMOTE_ADDR=127.0.0.1", "CONFIGURED=yes", "SERVER_SOFTWARE=gatehouse/test", "REQUEST_URI=/cgi-bin/env/a%20b?c=%20"}, 0},
		{"path without its slash", site.Trial{Target: "cgi-bin/env"}, 200, []string{"SCRIPT_NAME=/cgi-bin/env"}, 0},
		{"URL", site.Trial{Target: "http://localhost:99/cgi-bin/env?q"}, 200, []string{"REQUEST_URI=/cgi-bin/env?q", "HTTP_HOST=localhost:99"}, 0},
		{"Host field", site.Trial{Target: "/cgi-bin/env", Header: http.Header{"Host": {"LOCALHOST."}}}, 200, []string{"SERVER_NAME=localhost"}, 0},
		{"field", site.Trial{Target: "/cgi-bin/env", Header: http.Header{"X-A": {"b"}, "Proxy": {"evil"}}}, 200, []string{"HTTP_X_A=b"}, 0},
		{"method", site.Trial{Target: "/cgi-bin/env", Method: "DELETE"}, 200, []string{"REQUEST_METHOD=DELETE"}, 0},
		{"body", site.Trial{Target: "/cgi-bin/echo", Body: []byte("a=b")}, 200, []string{"a=b"}, 0},
		{"file", site.Trial{Target: "/hello.txt"}, 200, []string{"hello"}, 0},
		{"local redirect (A89)", site.Trial{Target: "/cgi-bin/local"}, 200, []string{"PATH_INFO=/again", "REDIRECT_URL=/cgi-bin/local"}, 0},
		{"bad output", site.Trial{Target: "/cgi-bin/bad"}, 0, nil, cgi.BadOutput},
		{"missing", site.Trial{Target: "/cgi-bin/none"}, 0, nil, cgi.NotFound},
		{"refused", site.Trial{Target: "/%00"}, 0, nil, cgi.BadRequest},
		{"other host", site.Trial{Target: "http://example.org/"}, 0, nil, cgi.NotFound},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var body []byte
			var status int
			account, _, err := h.Try(t.Context(), &tt.trial, func(resp *cgi.Response) (err error) {
				status = resp.Status
				body, err = io.ReadAll(resp.Body)
				return err
			})
			var e *cgi.Error
			switch {
			case tt.status == 0 && (!errors.As(err, &e) || e.Kind != tt.kind):
				t.Fatalf("error %v, want kind %v", err, tt.kind)
			case tt.status != 0 && (err != nil || status != tt.status):
				t.Fatalf("%d, error %v; want %d", status, err, tt.status)
			case tt.status != 0 && account == nil:
				t.Fatal("no account")
			}
			for _, want := range tt.want {
				if !strings.Contains(string(body), want) {
					t.Errorf("no %q in %s", want, body)
				}
			}
			if strings.Contains(string(body), "evil") { // E24
				t.Errorf("Proxy is in %s", body)
			}
		})
	}
}

// The caller's own errors and header are left as they are.
func TestTryDetails(t *testing.T) {
	h, dir := host(t)
	var stderr strings.Builder
	header := http.Header{"Host": {"localhost"}}
	account, took, err := h.Try(t.Context(), &site.Trial{Target: "/cgi-bin/echo", Body: []byte("x"), Header: header, Stderr: &stderr},
		func(resp *cgi.Response) error { _, err := io.Copy(io.Discard, resp.Body); return err })
	if err != nil || stderr.String() != "oops\n" || took <= 0 {
		t.Errorf("error %v, stderr %q, took %v", err, &stderr, took)
	}
	if !account.HaveExit || account.Exit.Code != 3 || account.Pid == 0 || account.Script != filepath.Join(dir, "cgi-bin/echo") || account.Route != "/cgi-bin/" {
		t.Errorf("account %+v", account)
	}
	if header.Get("Host") != "localhost" || len(header) != 1 {
		t.Errorf("the caller's header is now %v", header)
	}
	mine := errors.New("mine")
	if _, _, err := h.Try(t.Context(), &site.Trial{Target: "/hello.txt"}, func(*cgi.Response) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("error %v, want the one of show", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := h.Try(ctx, &site.Trial{Target: "/cgi-bin/sleeps"}, func(*cgi.Response) error { return nil }); err == nil || cgi.AsError(err).Kind != cgi.ClientGone {
		t.Errorf("a cancelled trial: %v", err)
	}
	for _, target := range []string{"/%zz", "/a\nb", "/%00", "http://a b/"} {
		if _, _, err := h.Try(t.Context(), &site.Trial{Target: target}, func(*cgi.Response) error { return nil }); err == nil {
			t.Errorf("%q: no error", target)
		}
	}
}

func TestExplain(t *testing.T) {
	h, dir := host(t)
	explain := func(target string) *site.Explanation {
		t.Helper()
		x, err := h.Explain(t.Context(), &site.Trial{Target: target, Header: http.Header{"Authorization": {"Basic x"}}})
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	x := explain("/cgi-bin/ran/info?q")
	if x.Err != nil || !x.Found.IsScript || x.Found.RouteName() != "/cgi-bin/" || x.Found.Site != "localhost" || x.Found.File != filepath.Join(dir, "cgi-bin/ran") || x.Wrong != "" {
		t.Errorf("explanation %+v, found %+v", x, x.Found)
	}
	for name, want := range map[string]string{"PATH_INFO": "/info", "CONFIGURED": "yes", "QUERY_STRING": "q", "HTTP_AUTHORIZATION": ""} { // A33
		if got := x.Env.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if x.Limits == nil || x.Limits.Timeout.String() != "1m17s" {
		t.Errorf("limits %+v", x.Limits)
	}
	if exists(filepath.Join(dir, "ran")) {
		t.Error("the program was started")
	}
	for target, want := range map[string]string{"/cgi-bin/missing": "/no/such/interpreter", "/cgi-bin/noexec": "execut"} {
		if x := explain(target); x.Err != nil || !strings.Contains(x.Wrong, want) {
			t.Errorf("%s: %q (%v), want %q in it", target, x.Wrong, x.Err, want)
		}
	}
	if x := explain("/old"); x.Err != nil || x.Found.Redirect != "/new" || x.Found.Status != 302 {
		t.Errorf("redirect: %+v", x.Found)
	}
	if x := explain("/hello.txt"); x.Err != nil || x.Found.IsScript || x.Found.RouteName() != "(files)" || x.Limits != nil {
		t.Errorf("file: %+v", x.Found)
	}
	if x := explain("/nothing"); x.Err == nil {
		t.Error("no error for what is missing")
	}
	if _, err := h.Explain(t.Context(), &site.Trial{Target: "http://example.org/"}); err == nil || !strings.Contains(err.Error(), `"example.org"`) {
		t.Errorf("unknown host: %v", err)
	}
}
