package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"gatehouse/cgi"
	"gatehouse/environ"
	"gatehouse/fastcgi"
	"gatehouse/internal/site"
	"gatehouse/process"
)

func callCommand() *cli.Command {
	return &cli.Command{
		Name:      "call",
		Usage:     "make one request to a FastCGI or SCGI responder and show everything that happened",
		ArgsUsage: "ADDRESS [PATH?QUERY]",
		Description: "ADDRESS is HOST:PORT, fcgi://HOST:PORT or unix:/PATH, with scgi: in front or as scgi://HOST:PORT for SCGI. The body of the response goes to\n" +
			"standard output; the parameters, the header, the application's errors, its statuses and the times go to standard error.\n" +
			"The exit status is 1 when there was no proper response or it was one of 500 and above; with --ping, of 400 and above.",
		Flags: append(requestFlags(),
			&cli.StringSliceFlag{Name: "param", Category: "The request", Aliases: []string{"p"}, Usage: "a parameter `NAME=VALUE`, in place of the usual one; may be repeated"},
			&cli.StringFlag{Name: "script", Category: "The request", Usage: "`FILE` is SCRIPT_FILENAME; without it that is the root and the path"},
			&cli.StringFlag{Name: "root", Category: "The request", Usage: "`DIR` is DOCUMENT_ROOT"},
			&cli.StringFlag{Name: "role", Category: "The request", Value: "responder", Usage: "what the application is to be, `ROLE`: responder, authorizer, or filter for the file of --script"},
			&cli.BoolFlag{Name: "scgi", Category: "The application", Usage: "speak SCGI"},
			&cli.BoolFlag{Name: "ping", Category: "The application", Usage: "only see whether it answers, with one line: to the request for PATH, or without PATH to FCGI_GET_VALUES"},
			&cli.DurationFlag{Name: "timeout", Category: "The application", Aliases: []string{"t"}, Usage: "how long it may take in all, `DURATION`", DefaultText: "60s, with --ping 2s"},
			&cli.BoolFlag{Name: "verbose", Category: "The application", Aliases: []string{"v"}, Usage: "show each record as it is sent and received"},
		),
		Action: func(c *cli.Context) error {
			call, err := newCall(c)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(c.Context, endings(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)...)
			defer stop()
			if c.Bool("ping") {
				return call.ping(ctx)
			}
			return call.show(ctx)
		},
	}
}

// call is one request to a responder.
type call struct {
	out, errw        io.Writer
	what             string // the address as it was written
	network, address string
	scgi             bool
	role             fastcgi.Role
	env              environ.Env // the parameters; none where nothing is requested
	body             []byte
	data             string // the file that a filter gets; "" for none
	limit            time.Duration
	verbose, quiet   bool // quiet: a ping shows one line only

	begun            time.Time
	connected, first time.Duration
	step             string // what is being done, for the message about the time limit
	appStderr        *prefixed
	appStatus        uint32
	protocolStatus   fastcgi.ProtocolStatus
	ended            bool // END_REQUEST has come
}

// newCall reads the command line.
func newCall(c *cli.Context) (*call, error) {
	if c.NArg() < 1 || c.NArg() > 2 {
		return nil, hinted{misused("call takes an address and a path, not %s", count(c.NArg(), "argument")), "as in: gatehouse call 127.0.0.1:9000 /index.php"}
	}
	k := &call{out: c.App.Writer, errw: &locked{w: c.App.ErrWriter}, what: c.Args().First(), limit: c.Duration("timeout"), verbose: c.Bool("verbose")}
	k.appStderr = &prefixed{w: k.errw, prefix: "stderr: "}
	if k.quiet = c.Bool("ping") && !k.verbose; k.quiet {
		k.appStderr.w = io.Discard
	}
	var err error
	if k.network, k.address, k.scgi, err = callAddress(k.what); err != nil {
		return nil, err
	}
	k.scgi = k.scgi || c.Bool("scgi")
	roles := map[string]fastcgi.Role{"responder": fastcgi.RoleResponder, "authorizer": fastcgi.RoleAuthorizer, "filter": fastcgi.RoleFilter}
	k.role = roles[c.String("role")]
	switch {
	case k.role == 0:
		return nil, hinted{misused("--role %q: there is no such role", c.String("role")), "expected responder, authorizer or filter"}
	case k.scgi && k.role != fastcgi.RoleResponder:
		return nil, misused("--role %s: SCGI has no roles", c.String("role"))
	case k.role == fastcgi.RoleFilter && c.String("script") == "":
		return nil, misused("--role filter: --script names the file to be filtered")
	case k.limit < 0:
		return nil, misused("-t %v: not a length of time", k.limit)
	case k.scgi && c.Bool("ping") && c.NArg() < 2:
		return nil, hinted{misused("--ping of an SCGI server makes a request: for which path?"), "gatehouse call --ping ADDRESS PATH"}
	}
	if k.limit == 0 {
		k.limit = time.Minute
		if c.Bool("ping") {
			k.limit = 2 * time.Second
		}
	}
	if c.Bool("ping") && c.NArg() < 2 {
		return k, nil
	}
	return k, k.request(c)
}

// callAddress reads where to connect to.
func callAddress(text string) (network, address string, scgi bool, err error) {
	rest := text
	for _, p := range []string{"fcgi:", "fastcgi:", "scgi:"} {
		if after, ok := strings.CutPrefix(text, p); ok {
			rest, scgi = strings.TrimPrefix(after, "//"), p == "scgi:"
		}
	}
	if path, ok := strings.CutPrefix(rest, "unix:"); ok {
		rest = path
		if !strings.HasPrefix(path, "/") {
			rest = "./" + path
		}
		if path == "" {
			rest = ""
		}
	}
	switch {
	case rest == "":
		return "", "", false, hinted{misused("the address %q names nothing", text), "expected HOST:PORT, fcgi://HOST:PORT or unix:/PATH"}
	case strings.HasPrefix(rest, "/") && rest != "/", strings.HasPrefix(rest, "./"):
		return "unix", rest, scgi, nil
	}
	rest = strings.TrimSuffix(rest, "/")
	if _, port, err := net.SplitHostPort(rest); err != nil || port == "" || strings.Contains(port, "/") {
		return "", "", false, hinted{misused("%q is no address", text), "expected HOST:PORT, fcgi://HOST:PORT or unix:/PATH; the path of the request is a second argument"}
	}
	return "tcp", rest, scgi, nil
}

// request makes the parameters and the body, as a web server on this machine would
// for a client on it.
func (k *call) request(c *cli.Context) error {
	if c.String("data") == "-" { // as well as @-
		_ = c.Set("data", "@-")
	}
	t, err := trial(c, c.Args().Get(1))
	if err != nil {
		return err
	}
	k.body = t.Body
	root, script, err := absolute(c.String("root"), c.String("script"))
	if err != nil {
		return err
	}
	if t.Target == "" && script != "" {
		t.Target = (&url.URL{Path: scriptName(root, script)}).EscapedPath()
	}
	path, err := k.variables(t)
	if err != nil {
		return err
	}
	k.env.SetScript(scriptOf(root, script, path))
	if err := k.forRole(script); err != nil {
		return err
	}
	for _, p := range c.StringSlice("param") {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" || strings.ContainsRune(p, 0) {
			return misused("-p %q: a parameter is written 'NAME=VALUE'", p)
		}
		k.env.Set(name, value)
	}
	return nil
}

// absolute makes paths absolute: another process is to understand them.
func absolute(root, script string) (string, string, error) {
	for _, p := range []*string{&root, &script} {
		if *p == "" {
			continue
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return "", "", err
		}
		*p = abs
	}
	return root, script, nil
}

// variables makes those that do not depend on the script, and returns the path.
func (k *call) variables(t *site.Trial) (path string, err error) {
	target := cmp.Or(t.Target, "/")
	if !strings.HasPrefix(target, "/") {
		target = "/" + target
	}
	method := t.Method
	if method == "" {
		method = http.MethodGet
		if t.Body != nil {
			method = http.MethodPost
		}
	}
	r, err := http.NewRequest(method, "http://localhost/", nil)
	if err != nil {
		return "", misused("-X %q: %v", method, err)
	}
	r.RequestURI, r.RemoteAddr, r.Header = target, "127.0.0.1:0", t.Header
	if host := t.Header.Get("Host"); host != "" {
		r.Host = host
		t.Header.Del("Host")
	}
	if len(t.Body) > 0 {
		r.ContentLength = int64(len(t.Body))
		if t.Header.Get("Content-Type") == "" {
			t.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
	}
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80})))
	if k.env, err = (&environ.Server{Software: software()}).FromHTTP(r); err == nil {
		path, _, err = environ.ParseTarget(target)
	}
	if err != nil {
		return "", misuse{err}
	}
	return path, nil
}

// scriptName is the URL path of a script: where it lies beneath the root.
func scriptName(root, script string) string {
	if rel, err := filepath.Rel(root, script); root != "" && err == nil && filepath.IsLocal(rel) {
		return "/" + rel
	}
	return "/" + filepath.Base(script)
}

// scriptOf says which script is asked for. Without --script it is the path itself,
// beneath the root if there is one: what php-fpm takes for its status and ping.
func scriptOf(root, script, path string) environ.Script {
	s := environ.Script{Name: path, Filename: root + path, DocumentRoot: root}
	if script != "" {
		s.Name, s.Filename = scriptName(root, script), script
		if rest, ok := strings.CutPrefix(path, s.Name); ok && strings.HasPrefix(rest, "/") {
			s.PathInfo, s.PathTranslated = rest, root+rest
		}
	}
	return s
}

// forRole changes the parameters for the two other roles (FastCGI 1.0 6.3, 6.4).
func (k *call) forRole(script string) error {
	switch k.role {
	case fastcgi.RoleAuthorizer: // B42
		k.env.Del("CONTENT_LENGTH", "PATH_INFO", "PATH_TRANSLATED", "SCRIPT_NAME")
		k.env.Set("FCGI_ROLE", k.role.String())
		k.body = nil
	case fastcgi.RoleFilter: // B47
		st, err := os.Stat(script)
		if err != nil {
			return fmt.Errorf("--script: %w", err)
		}
		k.data = script
		k.env.Set("FCGI_ROLE", k.role.String())
		k.env.Set("FCGI_DATA_LENGTH", fmt.Sprint(st.Size()))
		k.env.Set("FCGI_DATA_LAST_MOD", fmt.Sprint(st.ModTime().Unix()))
	}
	return nil
}

// show makes the request and tells of everything.
func (k *call) show(ctx context.Context) error {
	for name, value := range k.env.All() {
		fmt.Fprintf(k.errw, "> %s=%s\n", name, process.Printable(value))
	}
	var status int
	err := k.make(ctx, func(resp *cgi.Response) error {
		status = resp.Status
		fmt.Fprintf(k.errw, "< %d %s\n", resp.Status, reason(resp))
		for _, f := range resp.Header {
			fmt.Fprintf(k.errw, "< %s: %s\n", f.Name, process.Printable(f.Value))
		}
		if resp.ContentLength >= 0 {
			fmt.Fprintf(k.errw, "< Content-Length: %d\n", resp.ContentLength)
		}
		_, err := io.Copy(k.out, resp.Body)
		return err
	})
	k.appStderr.flush()
	k.summary()
	if err = k.explain(ctx, err); err == nil && status >= 500 {
		return errReported
	}
	return err
}

// summary tells how it ended, and when.
func (k *call) summary() {
	if k.connected == 0 {
		return
	}
	how := "no END_REQUEST"
	switch {
	case k.scgi:
		how = "the connection was closed"
	case k.ended:
		how = fmt.Sprintf("END_REQUEST with application status %d, %v", k.appStatus, k.protocolStatus)
	}
	fmt.Fprintf(k.errw, "gatehouse: %s: %s: connected after %s", k.what, how, round(k.connected))
	if k.first > 0 {
		fmt.Fprintf(k.errw, ", first byte after %s", round(k.first))
	}
	fmt.Fprintf(k.errw, ", over after %s\n", round(time.Since(k.begun)))
}

// explain makes of an error what the user is to read.
func (k *call) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: interrupted while %s", k.what, k.step)
	}
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return fmt.Errorf("%s: the time limit of %v (-t) was reached while %s", k.what, k.limit, k.step)
	}
	e := refusal(err)
	switch {
	case e == nil:
		return fmt.Errorf("%s: %w", k.what, err)
	case len(e.Output) > 0:
		return hinted{fmt.Errorf("%s: no CGI response: %s", k.what, e.Reason), fmt.Sprintf("it sent: %q", e.Output[:min(len(e.Output), 200)])}
	}
	return fmt.Errorf("%s: %s", k.what, e.Reason)
}

// locked lets several goroutines write whole lines.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
