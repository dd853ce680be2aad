package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"os/user"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"gatehouse/cgi"
	"gatehouse/internal/config"
	"gatehouse/internal/site"
	"gatehouse/process"
)

func requestFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "request", Category: "The request", Aliases: []string{"X"}, Usage: "the request's `METHOD`; with -d POST", DefaultText: "GET"},
		&cli.StringSliceFlag{Name: "header", Category: "The request", Aliases: []string{"H"}, Usage: "a header `FIELD`, as in 'NAME: VALUE'; may be repeated"},
		&cli.StringFlag{Name: "data", Category: "The request", Aliases: []string{"d"}, Usage: "the request's body is `DATA`; @FILE reads it from a file, @- from standard input"},
	}
}

func runCommand() *cli.Command {
	return &cli.Command{
		Name:        "run",
		Usage:       "make one request to a program and show everything that happened",
		ArgsUsage:   "SCRIPT | DIR [PATH?QUERY]",
		Description: "The response goes to standard output: status line, header fields, body. What the program wrote to its standard error, and\nwhat it took, goes to standard error. The exit status is 1 when there was no proper response.",
		Flags: append(requestFlags(),
			&cli.StringFlag{Name: "root", Category: "The request", Usage: "`DIR` is its DOCUMENT_ROOT"},
			&cli.BoolFlag{Name: "warm", Category: "Comparing", Usage: "run it several times as ever and as often by an interpreter that is there already, and compare output and time; the exit status is 0 if the output is equal"},
			&cli.IntFlag{Name: "runs", Category: "Comparing", Value: 10, Usage: "with --warm: the `NUMBER` of runs each way"}),
		Action: func(c *cli.Context) error {
			if c.NArg() < 1 || c.NArg() > 2 {
				return hinted{misused("run takes a program or a folder, and a path, not %s", count(c.NArg(), "argument")), "as in: gatehouse run ./script.cgi '/path?a=b'"}
			}
			if err := notEmpty(c, 0); err != nil {
				return err
			}
			t, err := trial(c, c.Args().Get(1))
			if err != nil {
				return err
			}
			if c.Bool("warm") {
				return compareWarm(c, c.Args().First(), t)
			}
			if c.IsSet("runs") {
				return misused("--runs goes with --warm")
			}
			return series(c, c.Args().First(), config.WarmOff, func(_ context.Context, h *site.Host) error { return runOnce(c, h, t) })
		},
	}
}

// withHost opens what is named on the command line, without listeners. A signal,
// or the end of whoever reads the output, ends what runs: programs are in sessions
// of their own, and would not notice.
func withHost(c *cli.Context, file, target string, do func(*served, *site.Host) error) error {
	return withPrepared(c, file, target, func(*served) {}, do)
}

// helperTime is how long the one request of a command waits for a warm interpreter: to
// be told that it ran cold is of no use to whoever compares the two.
const helperTime = 20 * time.Second

// withPrepared is withHost with something done to what is served before it is opened.
func withPrepared(c *cli.Context, file, target string, prepare func(*served), do func(*served, *site.Host) error) error {
	s, err := open(file, target, c.String("root"))
	if err != nil {
		return err
	}
	prepare(s)
	if c.Command.Name == "run" {
		s.once()
	}
	h, err := site.New(s.config, site.Options{Software: software(), Log: slog.New(slog.DiscardHandler), WarmPatience: helperTime, Trial: true})
	if err != nil {
		return errors.Join(err, s.close())
	}
	ctx, stop := signal.NotifyContext(c.Context, endings(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)...)
	defer stop()
	defer func(outer context.Context) { c.Context = outer }(c.Context)
	c.Context = ctx
	return errors.Join(do(s, h), h.Close(), s.close())
}

// trial reads the request from the flags.
func trial(c *cli.Context, target string) (*site.Trial, error) {
	t := &site.Trial{Method: c.String("request"), Target: target, Header: make(http.Header)}
	for _, h := range c.StringSlice("header") {
		name, value, ok := strings.Cut(h, ":")
		if !ok || name == "" {
			return nil, misused("-H %q: a header field is written 'NAME: VALUE'", h)
		}
		t.Header.Add(name, strings.TrimSpace(value))
	}
	data := c.String("data")
	name, isFile := strings.CutPrefix(data, "@")
	var err error
	switch {
	case !c.IsSet("data"):
	case isFile && name == "-":
		t.Body, err = io.ReadAll(c.App.Reader)
	case isFile:
		t.Body, err = os.ReadFile(name)
	default:
		t.Body = []byte(data)
	}
	if err != nil {
		return nil, fmt.Errorf("-d %s: %w", data, err)
	}
	return t, nil
}

func runOnce(c *cli.Context, h *site.Host, t *site.Trial) error {
	out, errw := c.App.Writer, c.App.ErrWriter
	lines := &prefixed{w: errw, prefix: "stderr: "}
	t.Stderr = lines
	var status int
	account, took, err := h.Try(c.Context, t, func(resp *cgi.Response) error {
		status = resp.Status
		if !resp.Raw {
			fmt.Fprintf(out, "HTTP/1.1 %d %s\n", resp.Status, reason(resp))
			for _, f := range resp.Header {
				fmt.Fprintf(out, "%s: %s\n", f.Name, f.Value)
			}
			if resp.ContentLength >= 0 {
				fmt.Fprintf(out, "Content-Length: %d\n", resp.ContentLength)
			}
			fmt.Fprintln(out)
		}
		body := out
		if t.Method == http.MethodHead && !resp.Raw { // A85
			body = io.Discard
		}
		n, err := io.Copy(body, resp.Body)
		resp.Sent = n
		return err
	})
	lines.flush()
	if account != nil && account.Pid != 0 {
		summary(errw, account, took)
	}
	if c.Context.Err() != nil {
		return errors.New("interrupted; the program was ended")
	}
	if e := refusal(err); e != nil {
		fmt.Fprintf(errw, "gatehouse: %d: %s\n", e.StatusCode(), e.Reason)
		if len(e.Output) > 0 {
			fmt.Fprintf(errw, "  it printed: %q\n", e.Output[:min(len(e.Output), 200)])
		}
		return errReported
	}
	if err == nil && status >= 500 {
		return errReported
	}
	return err
}

// refusal is err where it is why a request has no proper answer, else nil.
func refusal(err error) *cgi.Error {
	var e *cgi.Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

func reason(r *cgi.Response) string {
	if r.Reason != "" {
		return r.Reason
	}
	return http.StatusText(r.Status)
}

func summary(w io.Writer, a *cgi.Account, took time.Duration) {
	fmt.Fprintf(w, "gatehouse: %s, pid %d, %s: started in %s, first byte after %s, done after %s",
		cmp.Or(a.Script, a.Route), a.Pid, ending(a), round(a.Spawn), round(a.FirstByte), round(took))
	if a.HaveExit {
		fmt.Fprintf(w, "; %s of processor time", round(a.Exit.User+a.Exit.System))
		if a.Exit.MaxRSS > 0 {
			fmt.Fprintf(w, ", at most %.1f MiB resident", float64(a.Exit.MaxRSS)/(1<<20))
		}
	}
	fmt.Fprintln(w)
}

func ending(a *cgi.Account) string {
	if a.HaveExit {
		return a.Exit.String()
	}
	return "still running when its response was over"
}

func round(d time.Duration) string { return d.Round(10 * time.Microsecond).String() }

// prefixed writes whole lines with something in front of each. What a program leaves
// behind may still write while flush is called.
type prefixed struct {
	mu     sync.Mutex
	w      io.Writer
	prefix string
	part   []byte
}

func (p *prefixed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.part = append(p.part, b...)
	for {
		line, rest, ok := strings.Cut(string(p.part), "\n")
		if !ok && len(p.part) < 4096 {
			return len(b), nil
		}
		p.part = []byte(rest)
		fmt.Fprintf(p.w, "%s%s\n", p.prefix, line)
		if !ok {
			return len(b), nil
		}
	}
}

// flush writes what was left without an end of line.
func (p *prefixed) flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.part) > 0 {
		fmt.Fprintf(p.w, "%s%s\n", p.prefix, p.part)
		p.part = nil
	}
}

func explainCommand() *cli.Command {
	return &cli.Command{
		Name:        "explain",
		Usage:       "say what a request would run, with what environment, and what is wrong with it",
		ArgsUsage:   "URL [DIR | SCRIPT]",
		Description: "Nothing is started. Without -c and without a folder or program the demonstration site is meant.",
		Flags: append(requestFlags(),
			&cli.StringFlag{Name: "config", Category: "What is asked", Aliases: []string{"c"}, Usage: "the configuration `FILE`"},
			&cli.StringFlag{Name: "root", Category: "What is asked", Usage: "with SCRIPT: `DIR` is its DOCUMENT_ROOT"}),
		Action: func(c *cli.Context) error {
			if c.NArg() < 1 || c.NArg() > 2 {
				return hinted{misused("explain takes a URL, and a folder or program, not %s", count(c.NArg(), "argument")), "as in: gatehouse explain '/cgi-bin/form.py?a=b' ./public"}
			}
			if err := notEmpty(c, 1); err != nil {
				return err
			}
			t, err := trial(c, c.Args().First())
			if err != nil {
				return err
			}
			return withHost(c, c.String("config"), c.Args().Get(1), func(_ *served, h *site.Host) error {
				x, err := h.Explain(c.Context, t)
				if e := refusal(err); e != nil {
					x, err = &site.Explanation{Err: e}, nil
				}
				if err != nil {
					return err
				}
				return explain(c.App.Writer, x)
			})
		},
	}
}

func explain(w io.Writer, x *site.Explanation) error {
	line := func(key, format string, args ...any) { fmt.Fprintf(w, "%-12s %s\n", key, fmt.Sprintf(format, args...)) }
	var e *cgi.Error
	if errors.As(x.Err, &e) {
		line("answer", "%d %s", e.StatusCode(), http.StatusText(e.StatusCode()))
		line("because", "%s", e.Reason)
		terms(line, x)
		return errReported
	}
	f := x.Found
	line("site", "%s", f.Site)
	line("route", "%s", f.RouteName())
	if x.Authorizer != "" {
		line("authorize", "%s", x.Authorizer)
	}
	terms(line, x)
	switch {
	case f.Redirect != "":
		line("redirect", "%d to %s", f.Status, f.Redirect)
		return nil
	case !f.IsScript:
		what := "file"
		if st, err := os.Stat(f.File); err == nil && st.IsDir() {
			what = "listing"
		}
		line(what, "%s", f.File)
		return nil
	}
	if f.File != "" {
		line("script", "%s", f.File)
	}
	line("SCRIPT_NAME", "%q", f.Script.Name)
	line("PATH_INFO", "%q", f.Script.PathInfo)
	if x.Protocol != "" {
		line(x.Protocol, "%s", x.Application)
		line("limits", "%s, max_body %v", requestLimits(x.Limits), x.Limits.MaxBody)
		fmt.Fprintln(w, "parameters")
	} else {
		line("user", "%s", userName())
		if x.How != "" && x.Wrong == "" {
			line("start", "%s", x.How)
		}
		line("limits", "%s", limits(x.Limits))
		fmt.Fprintln(w, "environment")
	}
	for n, v := range x.Env.All() {
		fmt.Fprintf(w, "  %s=%s\n", n, process.Printable(v))
	}
	if x.Wrong != "" {
		line("wrong", "%s", x.Wrong)
		return errReported
	}
	return nil
}

// terms tells who gets an answer, and what is added to it.
func terms(line func(key, format string, args ...any), x *site.Explanation) {
	for _, t := range x.Terms {
		line(t.Key, "%s", t.Text)
	}
	if e := refusal(x.Refused); e != nil {
		line("refused", "%d %s: %s", e.StatusCode(), http.StatusText(e.StatusCode()), e.Reason)
	}
}

func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprint(os.Geteuid())
}

// requestLimits are those that hold for every kind of application.
func requestLimits(l *config.Limits) string {
	return fmt.Sprintf("queue %d, queue_timeout %v, timeout %v, header_timeout %v, idle_timeout %v, stdin_timeout %v",
		l.Queue, l.QueueTimeout, l.Timeout, l.HeaderTimeout, l.IdleTimeout, l.StdinTimeout)
}

func limits(l *config.Limits) string {
	s := fmt.Sprintf("processes %d, %s, kill_grace %v, linger %v, max_body %v",
		l.Processes, requestLimits(l), l.KillGrace, l.Linger, l.MaxBody)
	if l.Memory > 0 {
		s += fmt.Sprintf(", memory %v", l.Memory)
	}
	if l.CPU > 0 {
		s += fmt.Sprintf(", cpu %v", l.CPU)
	}
	return s
}
