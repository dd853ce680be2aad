package cgi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gatehouse/environ"
	"gatehouse/process"
)

// Program is the Responder that starts a process for each request and speaks CGI
// with it (RFC 3875). The fields are not to be changed once it is in use.
type Program struct {
	// Path is the program to run, absolute; "" means the request's
	// SCRIPT_FILENAME.
	Path string

	// Spawner starts the processes.
	Spawner process.Spawner

	// Base is the environment of every process, before the request's variables
	// (A26). Env is added after them, and replaces nothing (A25).
	Base environ.Env
	Env  environ.Env

	// PassAuthorization hands HTTP_AUTHORIZATION to the program (A33).
	PassAuthorization bool

	// NPH lets a program whose name begins with "nph-" write the whole HTTP
	// response itself (RFC 3875 section 5, A95).
	NPH bool

	// Interim lets the program send 1xx responses before its own (A86).
	Interim bool

	// FinishAnyway lets the program run on when the client has gone (A102).
	FinishAnyway bool

	// KeepChildren lets background processes of the program live on (F39).
	KeepChildren bool

	Times  Times
	Parse  ParseLimits
	Limits process.Limits

	// Log gets the lines of the program's standard error and how it ended if
	// not well; nil means slog.Default.
	Log *slog.Logger
}

// Times are the time limits of one process (A101). Zero means no limit, except
// where another default is named. Header and Idle do not run while the process is
// being fed its input: a client may be slow without the program's fault.
type Times struct {
	Header time.Duration // from the start, or the last input, to the end of the header
	Idle   time.Duration // between two pieces of output
	Total  time.Duration // from the start to the end
	Stdin  time.Duration // a write to its standard input that makes no progress

	// Linger is how long the response may stay silent once the process has
	// ended and others hold its standard output open (A99), and how long a
	// process may stay that has closed its standard output. Zero means a
	// second.
	Linger time.Duration

	Grace time.Duration // between SIGTERM and SIGKILL; zero means 3 s
}

func (t *Times) linger() time.Duration {
	if t.Linger > 0 {
		return t.Linger
	}
	return time.Second
}

func (p *Program) log() *slog.Logger {
	if p.Log != nil {
		return p.Log
	}
	return slog.Default()
}

// Respond starts the program and reads the header of its response. The body of a
// request whose length is not known is refused: put a Spool before the Program.
func (p *Program) Respond(ctx context.Context, req *Request) (*Response, error) {
	script := p.Path
	if script == "" {
		script = req.Env.Get("SCRIPT_FILENAME")
	}
	if !filepath.IsAbs(script) {
		return nil, &Error{Kind: Internal, Reason: fmt.Sprintf("the program's path %q is not absolute", script)}
	}
	if req.Body != nil && req.ContentLength < 0 {
		return nil, &Error{Kind: Internal, Status: 411, Reason: "the request's body has no known length"}
	}
	r := &run{p: p, req: req, script: script, account: req.account()}
	r.account.Script = script
	if err := r.start(ctx); err != nil {
		return nil, err
	}
	resp, err := r.response(ctx)
	if err != nil {
		return nil, r.fail(err)
	}
	return resp, nil
}

// Environment is what the process that answers req gets.
func (p *Program) Environment(req *Request) environ.Env {
	env := req.Env.Over(p.Base)
	if !p.PassAuthorization {
		env.DelAuthorization()
	}
	for name, value := range p.Env.All() {
		if _, taken := env.Lookup(name); !taken {
			env.Set(name, value)
		}
	}
	if req.ID != "" {
		env.Set("UNIQUE_ID", req.ID)
	}
	return env
}

// run is one process that answers one request.
type run struct {
	p       *Program
	req     *Request
	script  string
	account *Account

	proc   *process.Process
	out    *output
	errs   process.Stderr
	feed   *feeder     // nil where there is nothing to feed
	detach func() bool // undoes the watch over ctx
}

// start starts the process with its three standard files. Whatever it opened is
// closed again when it fails.
func (r *run) start(ctx context.Context) error {
	var opened []process.Pipe
	open := func(childWrites bool) (p process.Pipe, err error) {
		if p, err = process.NewPipe(childWrites); err == nil {
			opened = append(opened, p)
		}
		return p, err
	}
	giveUp := func(err error) error {
		for _, p := range opened {
			p.Close()
		}
		return startFailure(r.script, err)
	}
	stdout, err := open(true)
	stderr, err2 := open(true)
	stdin, feed, err3 := r.stdin(open)
	if err := errors.Join(err, err2, err3); err != nil {
		return giveUp(err)
	}
	r.req.Progress().Now(Starting)
	r.proc, err = r.p.Spawner.Spawn(ctx, &process.Command{
		Path: r.script, Args: []string{r.script}, // no indexed query, ever (A50)
		Env: r.p.Environment(r.req).Strings(), Dir: filepath.Dir(r.script), // A96
		Stdin: stdin, Stdout: stdout.Theirs, Stderr: stderr.Theirs,
		Limits: r.p.Limits, Grace: r.p.Times.Grace, KeepChildren: r.p.KeepChildren,
	})
	if err != nil {
		err = giveUp(err)
		if ctx.Err() == nil {
			r.p.log().Error("cannot start script", "script", r.script, "request", r.req.ID, "reason", AsError(err).Reason)
		}
		return err
	}
	for _, p := range opened {
		_ = p.Theirs.Close()
	}
	r.account.Pid, r.account.Spawn, r.account.How = r.proc.Pid, r.proc.Took, r.proc.How
	r.req.Progress().Has(r.proc.Pid)
	r.follow(ctx, stdout.Ours, stderr.Ours, feed)
	return nil
}

// stdin chooses the child's standard input: none, the file that holds the body,
// or a pipe; then feed is our end of it, otherwise -1.
func (r *run) stdin(open func(childWrites bool) (process.Pipe, error)) (child *os.File, feed int, err error) {
	if r.req.Body == nil || r.req.ContentLength == 0 {
		return nil, -1, nil
	}
	if f, ok := r.req.Body.(*os.File); ok && isRegular(f) {
		return f, -1, nil
	}
	p, err := open(false)
	return p.Theirs, p.Ours, err
}

func isRegular(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && st.Mode().IsRegular()
}

// follow sets everything to work that goes on beside the process. feed is our end
// of its standard input, or -1.
func (r *run) follow(ctx context.Context, stdout, stderr, feed int) {
	r.errs.Line = func(line string) {
		r.p.log().Warn("stderr", "script", r.script, "pid", r.proc.Pid, "request", r.req.ID, "line", line)
	}
	var sink io.Writer = &r.errs
	if r.req.Stderr != nil {
		sink = io.MultiWriter(&r.errs, r.req.Stderr)
	}
	r.req.Progress().Says(&r.errs)
	r.out = newOutput(stdout, stderr, sink, r.proc, &r.p.Times)
	if feed >= 0 {
		r.feed = startFeeder(process.File(feed), r.req.Body, r.req.ContentLength, r.p.Times.Stdin, r.out.feeding, r.bodyFailed)
	}
	r.detach = context.AfterFunc(ctx, func() {
		gone := &Error{Kind: ClientGone, Reason: clientGone}
		if errors.Is(context.Cause(ctx), ErrEnded) {
			gone = &Error{Kind: Ended, Reason: ErrEnded.Error()}
		} else if r.p.FinishAnyway {
			return
		}
		r.proc.Stop(gone.Reason)
		if _, ended := r.proc.Exit(); ended {
			r.out.abort(gone)
		}
	})
}

// clientGone is why a process is stopped when its request's context is done.
const clientGone = "the client has gone away"

// bodyFailed is told by the feeder that the client's body ended early (A60).
func (r *run) bodyFailed(err error) {
	r.out.fail(bodyError(err))
	r.proc.Stop("the request's body ended early")
}

// response reads the header, or hands on a whole response.
func (r *run) response(ctx context.Context) (*Response, error) {
	var resp *Response
	if r.p.NPH && strings.HasPrefix(filepath.Base(r.script), "nph-") {
		resp = &Response{Raw: true, ContentLength: -1, Body: r.out}
	} else {
		interim := r.req.Interim
		if !r.p.Interim {
			interim = nil
		} else if interim == nil {
			interim = func(int, Header) {} // the client takes none: leave them out
		}
		var err error
		if resp, err = ReadResponse(r.out, r.p.Parse, interim); err != nil {
			return nil, err
		}
	}
	r.out.headerDone()
	r.out.close = r.close
	r.out.freed = func() { r.detach() }
	resp.satisfied = func() {
		r.out.whole = true
		r.detach()
	}
	resp.Gone = r.proc.Gone()
	return resp, nil
}

// fail ends a run that has no response and says why, in the order of what is most
// likely the cause of the rest.
func (r *run) fail(err error) *Error {
	if !r.out.ended() { // else it ends by itself
		r.proc.Stop("its answer is no CGI response")
		r.out.awaitExit(r.p.Times.linger())
	}
	e := AsError(err)
	r.end()
	e = r.report(e)
	r.account.Failure = e
	if !e.byClient() {
		r.p.log().Error("script failed", append(e.attrs(), "request", r.req.ID)...)
	}
	return e
}

// close ends a run that had a response; it is the close of the Response's body.
func (r *run) close() error {
	if r.out.whole && !r.out.ended() {
		r.out.discard(r.p.Times.linger())
	}
	if (r.p.FinishAnyway || r.out.whole) && !r.out.ended() && r.out.failure() == nil {
		r.finishAlone()
		return nil
	}
	r.end()
	failure := r.out.failure()
	exit, known := r.proc.Exit()
	switch {
	case failure != nil && !r.out.whole:
		e := r.report(AsError(failure))
		r.account.Failure = e
		if !e.byClient() {
			r.p.log().Error("response cut short", append(e.attrs(), "request", r.req.ID)...)
		}
	case known && !exit.Success() && r.proc.Cause() == "": // the response stands (A98)
		r.p.log().Warn("script ended badly after its response", "script", r.script, "pid", r.proc.Pid,
			"request", r.req.ID, "exit", exit.String(), "stderr", lastLine(r.errs.Tail()))
	}
	return nil
}

// finishAlone lets the process run on although nobody wants its output (A102). The
// goroutine ends with the process, which its time limits bound, as does its place
// in a limiter.
func (r *run) finishAlone() {
	r.account = new(Account) // the request's is read by others from now on
	go func() {
		_, _ = io.Copy(io.Discard, r.out)
		_ = r.close()
	}()
}

// end lets go of everything. It does not wait for the process.
func (r *run) end() {
	r.detach()
	exit, known := r.proc.Exit()
	if known {
		r.account.Exit, r.account.HaveExit = exit, true
	}
	r.account.FirstByte = r.out.firstByte()
	r.proc.End()
	r.out.release()
	if r.feed != nil {
		r.feed.stop()
	}
	_ = r.errs.Close()
}

// report completes an error with what is known of the process, and finds the
// cause that explains it best.
func (r *run) report(e *Error) *Error {
	full := *e
	full.Script, full.Pid, full.Stderr = r.script, r.proc.Pid, r.errs.Tail()
	full.Gone = r.proc.Gone()
	exit, known := r.proc.Exit()
	if known && !r.byUs(exit) {
		full.Exit = &exit
	}
	why := r.explain(&full, exit, known)
	if why != "" {
		full.Reason += "; " + why
	}
	return &full
}

// explain says what the end of the process adds to a failure.
func (r *run) explain(e *Error, exit process.Exit, known bool) string {
	limits := &r.p.Limits
	switch {
	case e.Kind == Timeout || e.Kind == ClientGone || e.Kind == Ended || e.Kind == BodyFailed || e.Kind == BodyTimeout:
		return ""
	case !known:
		return "it has not ended"
	case exit.Signal == cpuSignal && limits.CPU > 0:
		return fmt.Sprintf("its processor time limit of %v was reached", limits.CPU)
	case limits.Memory > 0 && !exit.Success() && outOfMemory(e.Stderr, exit):
		return fmt.Sprintf("%v, at its memory limit of %s", exit, bytesOf(limits.Memory))
	case r.byUs(exit):
		return ""
	case exit.Success():
		return "exit status 0"
	}
	why := exit.String()
	if c := process.Check(r.script); c != nil && (exit.Code == 126 || exit.Code == 127) {
		why += ": " + c.Reason
	} else if line := lastLine(e.Stderr); line != "" {
		why += ": " + line
	}
	return why
}

// byUs reports whether a signal of ours has ended the process, which explains nothing.
func (r *run) byUs(exit process.Exit) bool {
	return r.proc.Cause() != "" && (exit.Signal == termSignal || exit.Signal == killSignal)
}

// byClient reports whether the client, or the administrator, was the cause: the access log tells of that, and
// clients cannot fill the error log.
func (e *Error) byClient() bool {
	return e.Kind == ClientGone || e.Kind == Ended || e.Kind == BodyFailed || e.Kind == BodyTimeout
}

// outOfMemory guesses from what programs say, and how they die, when they get no
// more memory.
func outOfMemory(stderr string, exit process.Exit) bool {
	for _, words := range []string{"MemoryError", "ut of memory", "annot allocate memory", "bad_alloc", "emory exhausted", "emory allocation"} {
		if strings.Contains(stderr, words) {
			return true
		}
	}
	return exit.Signal == killSignal
}

func lastLine(s string) string {
	s = strings.TrimRight(s, "\n")
	return s[strings.LastIndexByte(s, '\n')+1:]
}

func bytesOf(n int64) string {
	if n >= 1<<20 && n%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}

// attrs are the error's log fields.
func (e *Error) attrs() []any {
	attrs := []any{"kind", e.Kind.String(), "reason", e.Reason, "script", e.Script, "pid", e.Pid}
	if e.Exit != nil {
		attrs = append(attrs, "exit", e.Exit.String())
	}
	if len(e.Output) > 0 {
		attrs = append(attrs, "output", shorten(bytes.TrimSpace(e.Output), 80))
	}
	if e.Stderr != "" {
		attrs = append(attrs, "stderr", lastLine(e.Stderr))
	}
	return attrs
}
