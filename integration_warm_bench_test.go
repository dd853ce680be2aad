package gatehouse_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gatehouse/cgi"
	"gatehouse/environ"
	"gatehouse/process"
	"gatehouse/scripts"
)

// A warmBench runs trials, cold and warm.
type warmBench struct {
	dir  string // of the scripts
	out  string // holds a folder for each run
	cold *process.Exec
	warm *process.Warm
	runs atomic.Int64
}

func newWarmBench(t *testing.T) *warmBench {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	b := &warmBench{dir: filepath.Join(t.TempDir(), "warm"), out: t.TempDir(), cold: &process.Exec{Tag: "UNIQUE_ID", Log: quiet}}
	b.warm = &process.Warm{
		Cold: b.cold, MaxHelpers: 100, Patience: patience, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Servers: map[string][]byte{"python": scripts.WarmPython(), "perl": scripts.WarmPerl()},
	}
	t.Cleanup(func() {
		if err := errors.Join(b.warm.Close(), b.cold.Close()); err != nil {
			t.Error(err)
		}
		// Other tests leave it to the system to reap what they orphan.
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0); err != nil {
			t.Error(err)
		}
	})
	return b
}

// An outcome is all that can be told of a run from outside, masked.
type outcome struct {
	text   string
	stdout string
	how    string // cgi.Account.How
}

// run runs the script once and gathers what it did.
func (b *warmBench) run(t *testing.T, s process.Spawner, tr *warmTrial) outcome {
	id := fmt.Sprintf("trial-%08d", b.runs.Add(1)) // of one length, so that nothing moves
	out := filepath.Join(b.out, id)
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(out)
	script := tr.script
	if tr.own {
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		script = filepath.Join(out, filepath.Base(script))
		write(t, script, string(text), 0o755)
	}
	p := &cgi.Program{
		Path: script, Spawner: s, NPH: true, Base: environ.ProcessEnv("", "", "", ""),
		Times:  cgi.Times{Header: patience, Idle: patience, Total: 2 * patience},
		Limits: process.Limits{Memory: tr.memory, CPU: tr.cpu}, Log: slog.New(slog.DiscardHandler),
	}
	var said, errs lockedBuffer
	account, cut := b.ask(t, p, tr.request(t, id, script, out), &said, &errs)
	how := "did not end"
	if account.HaveExit {
		how = account.Exit.String()
	}
	text := fmt.Sprintf("%s, cut short: %v\n--- stdout\n%s\n--- stderr\n%s\n--- files\n%s", how, cut, said.String(), errs.String(), listing(t, out))
	hide := strings.NewReplacer(out, "<out>", id, "<id>")
	return outcome{tr.mask(hide.Replace(text)), said.String(), account.How}
}

// ask has the program answer, to the end of everything that it has started.
func (b *warmBench) ask(t *testing.T, p *cgi.Program, req *cgi.Request, out, errs io.Writer) (a *cgi.Account, cut bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	req.Stderr = errs
	resp, err := p.Respond(ctx, req)
	if f, ok := req.Body.(*os.File); ok {
		_ = f.Close()
	}
	if err != nil {
		fmt.Fprintf(out, "no response: %v", err)
		return req.Account, true
	}
	_, err = io.Copy(out, resp.Body)
	if cerr := resp.Close(); err == nil {
		err = cerr
	}
	select {
	case <-resp.Gone:
	case <-time.After(2 * patience):
		t.Errorf("%s: its processes do not go away", p.Path)
	}
	return req.Account, err != nil
}

// request is what the script is asked.
func (tr *warmTrial) request(t *testing.T, id, script, out string) *cgi.Request {
	req := &cgi.Request{ID: id, Path: "/trial", Account: new(cgi.Account)}
	method := "GET"
	if tr.body != "" {
		method = "POST"
		req.Env.Set("CONTENT_LENGTH", fmt.Sprint(len(tr.body)))
		req.ContentLength, req.Body = int64(len(tr.body)), strings.NewReader(tr.body)
	}
	if tr.asFile {
		req.Body = spooled(t, tr.body)
	}
	if tr.contentType != "" {
		req.Env.Set("CONTENT_TYPE", tr.contentType)
	}
	for _, v := range []string{
		"GATEWAY_INTERFACE=CGI/1.1", "QUERY_STRING=" + tr.query, "REMOTE_ADDR=192.0.2.1", "REQUEST_METHOD=" + method,
		"SCRIPT_FILENAME=" + script, "SCRIPT_NAME=/trial", "SERVER_NAME=localhost", "SERVER_PORT=80", "SERVER_PROTOCOL=HTTP/1.1",
		"SERVER_SOFTWARE=trial", "OUT=" + out,
	} {
		name, value, _ := strings.Cut(v, "=")
		req.Env.Set(name, value)
	}
	for _, v := range tr.env {
		name, value, _ := strings.Cut(v, "=")
		req.Env.Set(name, value)
	}
	return req
}

// spooled is a file without a name that holds text.
func spooled(t *testing.T, text string) *os.File {
	f, err := os.CreateTemp("", "trial-body-")
	if err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(f.Name())
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	return f
}

// listing is everything below a folder, with what is in it.
func listing(t *testing.T, dir string) string {
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		content := ""
		switch {
		case d.Type().IsRegular():
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content = fmt.Sprintf("%q", text)
		case d.Type()&fs.ModeSymlink != 0:
			content, _ = os.Readlink(path)
		}
		fmt.Fprintf(&b, "%s %v %s\n", name, info.Mode(), content)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return b.String()
}

// lockedBuffer is written to by one goroutine and read by another.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// firstDifference shows where two texts begin to differ, with the line before.
func firstDifference(cold, warm string) string {
	a, b := strings.Split(cold, "\n"), strings.Split(warm, "\n")
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	show := func(lines []string) string {
		return fmt.Sprintf("%.600q", strings.Join(lines[min(max(n-1, 0), len(lines)):min(n+4, len(lines))], "\n"))
	}
	return fmt.Sprintf("from line %d on\ncold %s\nwarm %s", n+1, show(a), show(b))
}
