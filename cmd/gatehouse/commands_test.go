package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience is how long a command waits for what must happen.
const patience = time.Minute

// server is a gatehouse that runs in the background of a script.
type server struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // of Wait; read it after done

	text *os.File // its standard error, and that of the process that takes over from it
}

func (s *server) stderr() string {
	st, err := s.text.Stat()
	if err != nil {
		return err.Error()
	}
	b := make([]byte, st.Size())
	n, _ := s.text.ReadAt(b, 0)
	return string(b[:n])
}

// await waits until its standard error has pattern in it.
func (s *server) await(ts *testscript.TestScript, pattern string) {
	re := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		if re.MatchString(s.stderr()) {
			return
		}
		select {
		case <-s.done:
			if !re.MatchString(s.stderr()) {
				ts.Fatalf("ended (%v) without %q on its standard error:\n%s", s.err, pattern, s.stderr())
			}
			return
		default:
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no %q on its standard error:\n%s", pattern, s.stderr())
		}
	}
}

var (
	serversMu sync.Mutex
	servers   = map[*testscript.TestScript]map[string]*server{}
)

func named(ts *testscript.TestScript, name string) *server {
	serversMu.Lock()
	defer serversMu.Unlock()
	s := servers[ts][name]
	if s == nil {
		ts.Fatalf("no server %q was started", name)
	}
	return s
}

// startServer is "start NAME ARG...": gatehouse with these arguments, in the
// background. $URL, $URL2 ... are what it listens on.
func startServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start NAME ARG...")
	}
	s := launch(ts, args)
	s.await(ts, "Ctrl-C stops it\n")
	for n, m := range regexp.MustCompile(`on (https?://[^ \n]+)/\n`).FindAllStringSubmatch(s.stderr(), -1) {
		name := "URL"
		if n > 0 {
			name += strconv.Itoa(n + 1)
		}
		ts.Setenv(name, m[1])
	}
	fmt.Fprint(ts.Stderr(), s.stderr())
}

// awaitServer is "await NAME PATTERN": the server has said that.
func awaitServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await NAME PATTERN")
	}
	named(ts, args[0]).await(ts, "(?m)"+args[1])
}

// startRun is "startrun NAME ARG...": as start, for a program that says "runs" on
// its standard error.
func startRun(ts *testscript.TestScript, neg bool, args []string) {
	launch(ts, args).await(ts, "stderr: runs\n")
}

func launch(ts *testscript.TestScript, args []string) *server {
	f, err := os.CreateTemp("", "stderr-*")
	ts.Check(err)
	ts.Check(os.Remove(f.Name()))
	s := &server{done: make(chan struct{}), text: f}
	s.cmd = exec.Command(program(ts), args[1:]...)
	s.cmd.Dir, s.cmd.Stderr = ts.MkAbs("."), f
	s.cmd.Env = environment(ts)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // that of its successors too
	ts.Check(s.cmd.Start())
	go func() { s.err = s.cmd.Wait(); close(s.done) }()
	serversMu.Lock()
	if servers[ts] == nil {
		servers[ts] = map[string]*server{}
	}
	servers[ts][args[0]] = s
	serversMu.Unlock()
	ts.Defer(func() {
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		<-s.done
		ts.Logf("[standard error of %s]\n%s", args[0], s.stderr())
		_ = f.Close()
	})
	return s
}

// signalServer is "signal NAME INT|TERM|HUP|USR1|USR2 PATTERN": it sends the signal, then waits
// for PATTERN on the standard error.
func signalServer(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2}
	if neg || len(args) < 2 || len(args) > 3 || signals[args[1]] == 0 {
		ts.Fatalf("usage: signal NAME INT|TERM|HUP|USR1|USR2 [PATTERN]")
	}
	s := named(ts, args[0])
	ts.Check(s.cmd.Process.Signal(signals[args[1]]))
	if len(args) == 3 {
		s.await(ts, args[2])
	}
}

// endedServer is "[!] ended NAME": it waits for the end, which is to be with exit
// status 0, or with "!" with another. Its standard error is then that of the command.
func endedServer(ts *testscript.TestScript, neg bool, args []string) {
	s := named(ts, args[0])
	select {
	case <-s.done:
	case <-time.After(patience):
		ts.Fatalf("%s has not ended", args[0])
	}
	fmt.Fprint(ts.Stderr(), s.stderr())
	if (s.err != nil) != neg {
		ts.Fatalf("%s: %v", args[0], s.err)
	}
}

// fetch makes one request on a connection of its own and writes status line, some
// fields and body to w.
func fetch(w io.Writer, url, socket string) error {
	tr := &http.Transport{DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	if socket != "" {
		tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}
	}
	c := &http.Client{Transport: tr, Timeout: 2 * patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	fmt.Fprintf(w, "%s\n", resp.Status)
	for _, name := range []string{"Content-Type", "Location", "Server"} {
		if v := resp.Header.Get(name); v != "" {
			fmt.Fprintf(w, "%s: %s\n", name, v)
		}
	}
	fmt.Fprintln(w)
	_, err = io.Copy(w, resp.Body)
	return err
}

// get is "get URL [SOCKET]".
func get(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: get URL [SOCKET]")
	}
	socket := ""
	if len(args) == 2 {
		socket = ts.MkAbs(args[1])
	}
	if err := fetch(ts.Stdout(), args[0], socket); (err != nil) != neg {
		ts.Fatalf("get %s: %v", args[0], err)
	}
}

// getUntil is "until NAME PATTERN URL": it makes requests until the server has said that.
func getUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: until NAME PATTERN URL")
	}
	s, re := named(ts, args[0]), regexp.MustCompile(args[1])
	for deadline := time.Now().Add(patience); !re.MatchString(s.stderr()); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("no %q on its standard error:\n%s", args[1], s.stderr())
		}
		ts.Check(fetch(io.Discard, args[2], ""))
	}
}

// refused is "refused URL": it waits until nobody listens there.
func refused(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: refused URL")
	}
	addr := strings.TrimPrefix(args[0], "http://")
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return
		}
		if err == nil {
			_ = conn.Close()
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s is not refused: %v", addr, err)
		}
	}
}

// background is a request whose answer has begun.
type background struct {
	text  bytes.Buffer
	begun chan struct{}
	done  chan struct{}
	err   error
}

// Write waits for the body's first byte: what comes before is written at once.
func (b *background) Write(p []byte) (int, error) {
	n, err := b.text.Write(p)
	if b.begun != nil && bytes.Contains(b.text.Bytes(), []byte("begin")) {
		close(b.begun)
		b.begun = nil
	}
	return n, err
}

var pending sync.Map // *testscript.TestScript -> *background

// getInBackground is "getbg URL": it returns when "begin" has come.
func getInBackground(ts *testscript.TestScript, neg bool, args []string) {
	b := &background{begun: make(chan struct{}), done: make(chan struct{})}
	begun := b.begun
	pending.Store(ts, b)
	go func() { b.err = fetch(b, args[0], ""); close(b.done) }()
	ts.Defer(func() { <-b.done })
	select {
	case <-begun:
	case <-b.done:
		ts.Fatalf("get %s ended too early: %v\n%s", args[0], b.err, b.text.String())
	case <-time.After(patience):
		ts.Fatalf("get %s: nothing came", args[0])
	}
}

// gotInBackground is "[!] got": what the request got, which with "!" was cut short.
func gotInBackground(ts *testscript.TestScript, neg bool, _ []string) {
	v, ok := pending.Load(ts)
	if !ok {
		ts.Fatalf("no getbg before")
	}
	b := v.(*background)
	select {
	case <-b.done:
	case <-time.After(patience):
		ts.Fatalf("the answer has not ended")
	}
	_, _ = ts.Stdout().Write(b.text.Bytes())
	if (b.err != nil) != neg {
		ts.Fatalf("got: %v", b.err)
	}
}

// goneProcess is "gone FILE": the process whose number is in the file ends.
func goneProcess(ts *testscript.TestScript, neg bool, args []string) {
	pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(args[0])))
	ts.Check(err)
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if errors.Is(err, fs.ErrNotExist) || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("process %d is still there: %s", pid, stat)
		}
	}
}

// emptyFolder is "empty DIR".
func emptyFolder(ts *testscript.TestScript, neg bool, args []string) {
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	for _, e := range entries {
		ts.Fatalf("%s holds %s", args[0], e.Name())
	}
}

// exits is "exits STATUS ARG...": gatehouse with these arguments ends with that
// status.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: exits STATUS ARG...")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(ts), args[1:]...)
	cmd.Dir, cmd.Env = ts.MkAbs("."), environment(ts)
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	_ = cmd.Run()
	if got := strconv.Itoa(cmd.ProcessState.ExitCode()); got != args[0] {
		ts.Fatalf("gatehouse %q: exit status %s, want %s", args[1:], got, args[0])
	}
}

// prints is "prints PATTERN ARG...": gatehouse with these arguments prints what matches, by
// and by: it is for a command that waits for its answer a moment only.
func prints(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: prints PATTERN ARG...")
	}
	re := regexp.MustCompile("(?m)" + args[0])
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		cmd := exec.Command(program(ts), args[1:]...)
		cmd.Dir, cmd.Env = ts.MkAbs("."), environment(ts)
		out, err := cmd.Output()
		if err == nil && re.Match(out) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("gatehouse %q: %v, no %q in\n%s", args[1:], err, args[0], out)
		}
	}
}

// program is the path of the command under test.
func program(ts *testscript.TestScript) string {
	for dir := range strings.SplitSeq(ts.Getenv("PATH"), ":") {
		if st, err := os.Stat(dir + "/gatehouse"); err == nil && st.Mode().IsRegular() {
			return dir + "/gatehouse"
		}
	}
	ts.Fatalf("no gatehouse in %s", ts.Getenv("PATH"))
	return ""
}

func environment(ts *testscript.TestScript) (env []string) {
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "GREETING"} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	return append(env, "GORACE="+noSleep)
}

// executable is "executable FILE...": they may be executed from now on. The files that
// testscript has written may be open for writing in a child that another script has just
// started, so copies take their places.
func executable(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		name = ts.MkAbs(name)
		text, err := os.ReadFile(name)
		ts.Check(err)
		ts.Check(writeUnheld(name+"~", text, 0o755))
		ts.Check(os.Rename(name+"~", name))
	}
}

// writeUnheld writes a file that no child has open afterwards: nobody could execute what
// somebody has open for writing (ETXTBSY).
func writeUnheld(name string, text []byte, mode fs.FileMode) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(name, text, mode)
}
