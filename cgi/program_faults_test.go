package cgi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/cgi"
	"gatehouse/process"
)

const (
	okHeader = `printf 'Content-Type: text/plain\n\n';`
	slow     = `sleep 0.1;` // into the second phase of output
)

// TestProgramFaults is the misbehaviour of programs, and the sentence for each. Each
// is asked twice, the second time as a program that lives on for longer than the
// first phase of waiting; and the spawner must be idle after each.
func TestProgramFaults(t *testing.T) { eachWay(t, testProgramFaults) }

func testProgramFaults(t *testing.T) {
	rows := []struct {
		name, script string
		set          func(p *cgi.Program)
		post         string // body of the request
		kind         cgi.Kind
		reason       []string
		stderr       string
	}{
		{name: "no output", script: `exit 0`, kind: cgi.NoOutput, reason: []string{"it printed nothing; exit status 0"}},
		{name: "exit status and stderr", script: `echo first >&2; echo why not >&2; exit 3`, kind: cgi.NoOutput,
			reason: []string{"it printed nothing; exit status 3: why not"}, stderr: "first\nwhy not"},
		{name: "half a header", script: `printf 'Content-Type: text/plain\n'`, kind: cgi.BadOutput,
			reason: []string{"its output ends inside the header block, before the empty line; exit status 0"}},
		{name: "no header block", script: `echo '<html>hello'`, kind: cgi.BadOutput,
			reason: []string{`no header block: a line without a colon ("<html>hello")`}},
		{name: "bad header line", script: `printf 'Content Type: text/plain\n\n'; exit 0`, kind: cgi.BadOutput,
			reason: []string{`bad header line: "Content Type" is not a field name`}},
		{name: "100 MiB without a line end", script: `head -c 104857600 /dev/zero`, kind: cgi.BadOutput,
			reason: []string{"a header line is longer than 64512 bytes"}},
		{name: "segmentation fault", script: `kill -SEGV $$`, kind: cgi.NoOutput,
			reason: []string{"it printed nothing; killed by signal 11 (segmentation fault)"}},
		{name: "killed", script: `kill -KILL $$`, kind: cgi.NoOutput, reason: []string{"killed by signal 9 (killed)"}},
		{name: "fault after a bad line", script: `echo oops; kill -SEGV $$`, kind: cgi.BadOutput,
			reason: []string{`no header block: a line without a colon ("oops")`}},
		{name: "command not found", script: `nosuchcommand-at-all`, kind: cgi.NoOutput,
			reason: []string{"exit status 127", "not found"}},
		{name: "header timeout", script: `sleep 60`, set: func(p *cgi.Program) { p.Times.Header = 200 * time.Millisecond },
			kind: cgi.Timeout, reason: []string{"it did not send a complete header within 200ms (header_timeout)"}},
		{name: "header timeout, deaf to TERM", script: `trap '' TERM; while :; do sleep 60; done`,
			set: func(p *cgi.Program) { p.Times.Header = 200 * time.Millisecond }, kind: cgi.Timeout, reason: []string{"(header_timeout)"}},
		{name: "header timeout at half a header", script: `printf 'A: b\n'; sleep 60`, set: func(p *cgi.Program) { p.Times.Header = 200 * time.Millisecond },
			kind: cgi.Timeout, reason: []string{"(header_timeout)"}},
		{name: "idle timeout", script: okHeader + `echo x; sleep 60`, set: func(p *cgi.Program) { p.Times.Idle = 200 * time.Millisecond },
			kind: cgi.Timeout, reason: []string{"it sent nothing more for 200ms (idle_timeout)"}},
		{name: "total timeout", script: okHeader + `while :; do echo x; sleep 0.02; done`, set: func(p *cgi.Program) { p.Times.Total = 400 * time.Millisecond },
			kind: cgi.Timeout, reason: []string{"it did not finish within 400ms (timeout)"}},
		{name: "dies in the body", script: okHeader + `echo part; kill -SEGV $$`, kind: cgi.Truncated, // A98
			reason: []string{"its output was cut short"}},
		{name: "killed in the body", script: okHeader + `echo part; kill -KILL $$`, kind: cgi.Truncated},
		{name: "broken pipe in the body", script: okHeader + `echo part; kill -PIPE $$`, kind: cgi.Truncated},
		{name: "less than declared", script: `printf 'Content-Type: text/plain\nContent-Length: 10\n\nfour'`, kind: cgi.Truncated, // A80
			reason: []string{"its output ends 6 bytes before the Content-Length that it declared"}},
		{name: "memory limit", script: `exec perl -e 'my $n = 2e8; my $x = "a" x $n; print "Content-Type: text/plain\n\n"'`, set: func(p *cgi.Program) { p.Limits.Memory = 64 << 20 },
			kind: cgi.NoOutput, reason: []string{"at its memory limit of 64 MiB"}},
		{name: "processor time", script: `while :; do :; done`, set: func(p *cgi.Program) { p.Limits.CPU = time.Second },
			kind: cgi.NoOutput, reason: []string{"its processor time limit of 1s was reached"}},
		{name: "body that ends early", script: `cat >/dev/null; ` + okHeader, post: "short", kind: cgi.BodyFailed, // A60
			reason: []string{"the request's body ended early: unexpected EOF"}},
	}
	for _, row := range rows {
		for _, phase := range []string{"", slow} {
			if phase != "" && strings.Contains(row.name, "processor") {
				continue
			}
			name := row.name
			if phase != "" {
				name += ", slow"
			}
			t.Run(name, func(t *testing.T) {
				p, _ := program(t, shell(t, phase+row.script))
				if row.set != nil {
					row.set(p)
				}
				req := request("GET", row.post)
				if row.post != "" {
					req.ContentLength += 100 // more than will come
				}
				_, _, err := answer(t, p, req)
				e := isError(t, err, row.kind, row.reason...)
				if !strings.HasSuffix(e.Stderr, row.stderr) {
					t.Errorf("stderr %q, want %q at its end", e.Stderr, row.stderr)
				}
				if row.kind == cgi.BadOutput && len(e.Output) == 0 {
					t.Errorf("the first bytes of the output are not told")
				}
				works(t)
			})
		}
	}
}

// works asks a good program.
func works(t *testing.T) {
	t.Helper()
	p, _ := program(t, shell(t, okHeader+`echo fine`))
	if _, body, err := answer(t, p, request("GET", "")); err != nil || body != "fine\n" {
		t.Errorf("the next request: %q, %v", body, err)
	}
}

// TestProgramSurvives is what programs do that is no fault of their response.
func TestProgramSurvives(t *testing.T) { eachWay(t, testProgramSurvives) }

func testProgramSurvives(t *testing.T) {
	mib := strings.Repeat("x", 1<<20)
	long := strings.Repeat("v", 60<<10)
	rows := []struct {
		name, script, post, want string
	}{
		{"60 KiB header line", `printf 'Content-Type: text/plain\nX-Long: '; head -c 61440 /dev/zero | tr '\0' v; printf '\n\nok'`, "", "ok"},
		{"1 MiB of stderr before the header", `head -c 1048576 /dev/zero >&2; ` + okHeader + `printf ok`, "", "ok"},                          // A100
		{"writes before it reads", okHeader + `head -c 1048576 /dev/zero | tr '\0' y; wc -c`, mib, strings.Repeat("y", 1<<20) + "1048576\n"}, // A58
		{"never reads its body", okHeader + `printf ok`, mib, "ok"},                                                                          // A59
		{"never reads and stays", okHeader + `sleep 0.2; printf ok`, mib, "ok"},
		{"closes stdin at once", `exec <&-; ` + okHeader + `printf ok`, mib, "ok"},
		{"closes stdin late", `exec <&-; sleep 0.1; ` + okHeader + `printf ok`, mib, "ok"},
		{"closes stdout and lives on", okHeader + `printf ok; exec >&-; sleep 60`, "", "ok"},
		{"closes stdout and floods stderr", okHeader + `printf ok; exec >&-; exec yes >&2`, "", "ok"},
		{"closes stderr", `exec 2>&-; ` + okHeader + `printf ok`, "", "ok"},
		{"child keeps stdout", okHeader + `printf ok; sleep 60 &`, "", "ok"}, // A99
		{"daemon keeps stdout", okHeader + `printf ok; setsid sleep 60 &`, "", "ok"},
		{"daemon keeps stderr", okHeader + `printf ok; setsid sleep 60 >/dev/null &`, "", "ok"},
		{"50 grandchildren", okHeader + `n=0; while [ $n -lt 50 ]; do (sleep 60 & sleep 60) & n=$((n+1)); done; printf ok`, "", "ok"},
		{"bad exit", okHeader + `printf ok; exit 7`, "", "ok"}, // A98
		{"dies after its Content-Length", `printf 'Content-Type: text/plain\nContent-Length: 2\n\nok'; kill -SEGV $$`, "", "ok"},
		{"more than its Content-Length", `printf 'Content-Type: text/plain\nContent-Length: 2\n\nok, and more'; head -c 1048576 /dev/zero`, "", "ok"}, // A80
	}
	for _, row := range rows {
		for _, phase := range []string{"", slow} {
			t.Run(row.name+" "+phase, func(t *testing.T) {
				p, _ := program(t, shell(t, phase+row.script))
				p.Times.Linger = 300 * time.Millisecond
				begun := time.Now()
				resp, body, err := answer(t, p, request("POST", row.post))
				if err != nil {
					t.Fatalf("%v (%q)", err, cgi.AsError(err).Stderr)
				}
				if body != row.want {
					t.Errorf("body of %d bytes, %.40q…, want %d, %.40q…", len(body), body, len(row.want), row.want)
				}
				if v := resp.Header.Get("X-Long"); v != "" && v != long {
					t.Errorf("a long field of %d bytes, want %d", len(v), len(long))
				}
				if took := time.Since(begun); took > 30*time.Second {
					t.Errorf("took %v", took)
				}
			})
		}
	}
}

// TestProgramFinishesAfterLength: a program whose response has a length may go on
// when it has given it, as one without a length may; its end is accounted for.
func TestProgramFinishesAfterLength(t *testing.T) { eachWay(t, testProgramFinishesAfterLength) }

func testProgramFinishesAfterLength(t *testing.T) {
	for _, phase := range []string{"", slow} {
		mark := filepath.Join(t.TempDir(), "mark")
		p, log := program(t, shell(t, phase+`printf 'Content-Type: text/plain\nContent-Length: 2\n\nok'; sleep 0.1; echo done >`+mark+`; exit 5`))
		req := request("GET", "")
		if _, body, err := answer(t, p, req); err != nil || body != "ok" {
			t.Fatalf("%q, %v", body, err)
		}
		if text, err := os.ReadFile(mark); err != nil || string(text) != "done\n" {
			t.Errorf("it was ended before it was done: %q, %v", text, err)
		}
		if a := req.Account; !a.HaveExit || a.Exit.Code != 5 || a.Failure != nil {
			t.Errorf("account: exit %v (known %v), failure %v; want exit status 5", a.Exit, a.HaveExit, a.Failure)
		}
		if !strings.Contains(log.String(), "script ended badly after its response") {
			t.Errorf("log without its exit status: %s", log)
		}
	}
}

// TestProgramClientGone (A102).
func TestProgramClientGone(t *testing.T) { eachWay(t, testProgramClientGone) }

func testProgramClientGone(t *testing.T) {
	rows := []struct {
		name   string
		anyway bool
		header bool // it has sent its header when the client goes
	}{
		{"before the header", false, false},
		{"in the body", false, true},
		{"before the header, finish anyway", true, false},
		{"in the body, finish anyway", true, true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			begun, mark := filepath.Join(dir, "begun"), filepath.Join(dir, "mark")
			first, then := "", okHeader
			if row.header {
				first, then = okHeader+`echo x; `, ""
			}
			// The second sleep is beyond the linger: only FinishAnyway bears with it.
			pause := map[bool]string{false: "60", true: "1.5"}[row.anyway]
			p, _ := program(t, shell(t, first+`echo >`+begun+`; sleep `+pause+`; `+then+`echo done >`+mark))
			p.Times.Linger = 300 * time.Millisecond
			p.FinishAnyway = row.anyway
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			gone := make(chan bool)
			go func() {
				defer close(gone)
				eventually(func() bool { _, err := os.Stat(begun); return err == nil })
				cancel()
			}()
			resp, err := p.Respond(ctx, request("GET", ""))
			<-gone
			if err == nil {
				if !row.anyway {
					_, err = io.ReadAll(resp.Body)
				}
				_ = resp.Close()
				within(t, resp.Gone, "the end of the process")
			}
			idle(t)
			_, missing := os.Stat(mark)
			if row.anyway && (err != nil || missing != nil) {
				t.Errorf("it did not finish: %v, %v", err, missing)
			}
			if !row.anyway {
				isError(t, err, cgi.ClientGone)
				if missing == nil {
					t.Errorf("it ran to its end")
				}
			}
		})
	}
}

// TestProgramGoesOn: a client that has all it will get may leave. The program goes on
// then, and ends by itself: it may have more to do than to answer.
func TestProgramGoesOn(t *testing.T) { eachWay(t, testProgramGoesOn) }

func testProgramGoesOn(t *testing.T) {
	for _, row := range []struct{ name, method, output string }{
		{"HEAD", "HEAD", `printf 'Content-Type: text/plain\n\nx'`},
		{"HEAD with a length", "HEAD", `printf 'Content-Type: text/plain\nContent-Length: 9\n\nx'`},
		{"304", "GET", `printf 'Status: 304\n\n'`},
		{"length", "GET", `printf 'Content-Type: text/plain\nContent-Length: 2\n\nok'`},
	} {
		t.Run(row.name, func(t *testing.T) {
			mark := filepath.Join(t.TempDir(), "mark")
			p, _ := program(t, shell(t, row.output+`; sleep 0.5; echo done >`+mark))
			p.Times.Linger = 100 * time.Millisecond
			s := httptest.NewServer(&cgi.Handler{Responder: cgi.ResponderFunc(func(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
				return p.Respond(ctx, req)
			})})
			defer s.Close()
			conn, err := net.Dial("tcp", s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "%s / HTTP/1.1\r\nHost: localhost\r\n\r\n", row.method)
			resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: row.method})
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.ReadAll(resp.Body)
			_ = conn.Close()
			if !eventually(func() bool { _, err := os.Stat(mark); return err == nil }) {
				t.Error("it did not run to its end")
			}
		})
	}
	idle(t)
}

// TestProgramStdinStall: what a program does not read is given up.
func TestProgramStdinStall(t *testing.T) { eachWay(t, testProgramStdinStall) }

func testProgramStdinStall(t *testing.T) {
	body := strings.Repeat("x", 512<<10)
	// It reads when this process has given the other end of the pipe up.
	p, _ := program(t, shell(t, `p=$(readlink /proc/self/fd/0); while ls -l /proc/$PPID/fd 2>/dev/null | grep -qF "$p"; do sleep 0.05; done; `+okHeader+`wc -c`))
	p.Times.Stdin = 200 * time.Millisecond
	_, got, err := answer(t, p, request("POST", body))
	if err != nil || strings.TrimSpace(got) == "524288" {
		t.Errorf("%q, %v: want fewer bytes than the body has", got, err)
	}
}

// TestProgramSlow is what takes some seconds, beside each other, because the limits are
// to be longer than the pauses of a busy machine.
func TestProgramSlow(t *testing.T) { eachWay(t, testProgramSlow) }

func testProgramSlow(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T) func(t *testing.T){
		"reads slowly": readsSlowly, "idle after exit": idleAfterExit, "lingers once": lingersOnce,
	} {
		run := prepare(t)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t)
		})
	}
}

// A program that reads slowly is none that does not read.
func readsSlowly(t *testing.T) func(t *testing.T) {
	body := strings.Repeat("x", 512<<10)
	// Each read makes room for one page; a piece of 64 KiB takes longer than the limit.
	p, _ := program(t, shell(t, okHeader+`n=0; while [ $n -lt 18 ]; do dd bs=4096 count=1 of=/dev/null 2>/dev/null; sleep 0.3; n=$((n+1)); done; wc -c`))
	p.Times.Stdin = 4500 * time.Millisecond
	return func(t *testing.T) {
		_, got, err := answer(t, p, request("POST", body))
		if err != nil || strings.TrimSpace(got) != "450560" {
			t.Errorf("%q, %v: want 450560 of 524288 bytes to be left", got, err)
		}
	}
}

// TestProgramBodyTimeout: the client's body that does not come in time has a status
// of its own.
func TestProgramBodyTimeout(t *testing.T) { eachWay(t, testProgramBodyTimeout) }

func testProgramBodyTimeout(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	_ = ours.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	p, _ := program(t, shell(t, `cat >/dev/null; `+okHeader))
	req := request("POST", "x")
	req.Body, req.ContentLength = ours, 10
	_, _, err := answer(t, p, req)
	if e := isError(t, err, cgi.BodyTimeout); e.StatusCode() != 408 {
		t.Errorf("status %d, want 408", e.StatusCode())
	}
}

// Once it has ended, silence is the end, not a time-out, even where idle_timeout is the
// shorter of the two.
func idleAfterExit(t *testing.T) func(t *testing.T) {
	p, _ := program(t, shell(t, okHeader+`printf ok; sleep 60 & sleep 0.1`))
	p.Times.Idle, p.Times.Linger = time.Second, 3*time.Second
	return func(t *testing.T) {
		_, body, err := answer(t, cgi.ResponderFunc(func(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
			resp, err := p.Respond(ctx, req)
			if err == nil && !eventually(func() bool { return hasEnded(req.Account.Pid) }) { // nobody reads until then
				t.Error("it has not ended")
			}
			return resp, err
		}), request("GET", ""))
		if err != nil || body != "ok" {
			t.Errorf("%q, %v", body, err)
		}
	}
}

// hasEnded reports whether there is no process of that number, or one that nobody has
// waited for.
func hasEnded(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// TestProgramReadLate: limits of silence are the program's. What it wrote in time is read,
// however late that is.
func TestProgramReadLate(t *testing.T) { eachWay(t, testProgramReadLate) }

func testProgramReadLate(t *testing.T) {
	const size = 60_000 // what a pipe takes
	for _, row := range []struct {
		name, then   string
		linger, idle time.Duration // over before any read begins
		timesOut     bool
	}{
		{"linger", "", 1, 0, false},
		{"linger with a child that holds it", "sleep 60 &", 1, 0, false},
		{"idle", "sleep 60", 0, 1, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			mark := filepath.Join(t.TempDir(), "mark")
			p, _ := program(t, shell(t, okHeader+fmt.Sprintf("head -c %d /dev/zero; echo >%s; %s", size, mark, row.then)))
			p.Times.Linger, p.Times.Idle = row.linger, row.idle
			resp, err := p.Respond(context.Background(), request("GET", ""))
			if err != nil {
				t.Fatal(err)
			}
			if !eventually(func() bool { _, err := os.Stat(mark); return err == nil }) {
				t.Error("it did not write everything")
			}
			time.Sleep(100 * time.Millisecond) // so that it has ended, most likely
			body, err := io.ReadAll(resp.Body)
			_ = resp.Close()
			if len(body) != size {
				t.Errorf("%d bytes of the body, want %d", len(body), size)
			}
			if row.timesOut {
				isError(t, err, cgi.Timeout)
			} else if err != nil {
				t.Error(err)
			}
			idle(t)
		})
	}
}

// A child that holds both outputs holds up the end of the response for one linger, not
// for one each (A99).
func lingersOnce(t *testing.T) func(t *testing.T) {
	p, _ := program(t, shell(t, okHeader+`printf ok; sleep 60 & sleep 0.1`))
	p.Times.Linger = 5 * time.Second
	return func(t *testing.T) {
		var took time.Duration
		_, body, err := answer(t, cgi.ResponderFunc(func(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
			resp, err := p.Respond(ctx, req)
			if err != nil || !eventually(func() bool { return hasEnded(req.Account.Pid) }) {
				return resp, err
			}
			begun := time.Now()
			text, err := io.ReadAll(resp.Body)
			took = time.Since(begun)
			resp.Body = struct {
				io.Reader
				io.Closer
			}{strings.NewReader(string(text)), resp.Body}
			return resp, err
		}), request("GET", ""))
		if err != nil || body != "ok" {
			t.Errorf("%q, %v", body, err)
		}
		if took > 2*p.Times.Linger {
			t.Errorf("it took %v, with a linger of %v", took, p.Times.Linger)
		}
	}
}

// TestProgramMemoryBound: endless output without a header costs little.
func TestProgramMemoryBound(t *testing.T) { eachWay(t, testProgramMemoryBound) }

func testProgramMemoryBound(t *testing.T) {
	p, _ := program(t, shell(t, `exec tr '\0' a </dev/zero`))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := answer(t, p, request("GET", ""))
	runtime.ReadMemStats(&after)
	isError(t, err, cgi.BadOutput)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
		t.Errorf("%d bytes were allocated", grown)
	}
}

// TestProgramServerStops: who is cut off by the server's end is not told that he
// went away himself.
func TestProgramServerStops(t *testing.T) {
	rows := []struct {
		name, script string
		kind         cgi.Kind
	}{
		{"before the header", `sleep 60`, cgi.Busy},
		{"in the body", okHeader + `echo x; sleep 60`, cgi.Truncated},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			p, _ := program(t, shell(t, row.script))
			started := make(chan *process.Process, 1)
			p.Spawner = &telling{Spawner: spawner, started: started}
			var stopped sync.WaitGroup
			defer stopped.Wait()
			stop := func() { (<-started).Stop("the server stops") }
			if row.kind == cgi.Busy {
				stopped.Go(stop)
			}
			_, _, err := answer(t, cgi.ResponderFunc(func(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
				resp, err := p.Respond(ctx, req)
				if err == nil {
					stopped.Go(stop)
				}
				return resp, err
			}), request("GET", ""))
			isError(t, err, row.kind, "the server stops")
		})
	}
}

// telling tells of each process that was started.
type telling struct {
	process.Spawner
	started chan<- *process.Process
}

func (s *telling) Spawn(ctx context.Context, c *process.Command) (*process.Process, error) {
	p, err := s.Spawner.Spawn(ctx, c)
	if err == nil {
		s.started <- p
	}
	return p, err
}
