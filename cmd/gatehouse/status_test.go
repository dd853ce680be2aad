package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"gatehouse/internal/admin"
)

// shownStatus is "shown SOCKET PATTERN": gatehouse status shows it by and by.
func shownStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: shown SOCKET PATTERN")
	}
	re := regexp.MustCompile("(?m)" + args[1])
	var out bytes.Buffer
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		out.Reset()
		code := run(context.Background(), []string{"gatehouse", "status", "--control", ts.MkAbs(args[0])}, nil, &out, &out)
		if code == 0 && re.Match(out.Bytes()) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no %q in the status:\n%s", args[1], out.String())
		}
	}
}

// endFirst is "endfirst SOCKET": it ends the request that has run longest by its ID.
func endFirst(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: endfirst SOCKET")
	}
	var out, errs bytes.Buffer
	if code := run(context.Background(), []string{"gatehouse", "status", "--json", "--timeout", patience.String(), "--control", ts.MkAbs(args[0])}, nil, &out, &errs); code != 0 {
		ts.Fatalf("status: %s", errs.String())
	}
	var s admin.Status
	ts.Check(json.Unmarshal(out.Bytes(), &s))
	if len(s.Running) == 0 {
		ts.Fatalf("nothing runs")
	}
	if code := run(context.Background(), []string{"gatehouse", "end", "--timeout", patience.String(), "--control", ts.MkAbs(args[0]), s.Running[0].ID}, nil, &out, &errs); code != 0 {
		ts.Fatalf("end: %s", errs.String())
	}
}

// terminalPair opens a terminal of a size: keys are written to and the screen read from
// the first file, the second is the program's.
func terminalPair(t *testing.T, width, height uint16) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("SKIPPED: there are no pseudo-terminals: %v", err)
	}
	t.Cleanup(func() { _ = ours.Close() })
	var number int
	var name error
	raw, err := ours.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			name = errors.Join(unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0),
				unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: height, Col: width}))
			if name == nil {
				number, name = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
			}
		})
	}
	if err := errors.Join(err, name); err != nil {
		t.Fatal(err)
	}
	theirs, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = theirs.Close() })
	return ours, theirs
}

// statusSocket serves a status that tells how often it was asked for, and returns the
// socket's path.
func statusSocket(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		s := sampleStatus()
		s.Listeners = []string{fmt.Sprintf("asked %d times", asked)}
		_ = json.NewEncoder(w).Encode(s)
	})}
	done := make(chan struct{})
	go func() { _ = srv.Serve(ln); close(done) }()
	t.Cleanup(func() { _ = srv.Close(); <-done })
	return path
}

// watched runs gatehouse status --watch on a terminal. What it draws comes in pieces.
func watched(t *testing.T, path string) (ours *os.File, screen func(until string), ended <-chan error) {
	t.Helper()
	ours, theirs := terminalPair(t, 60, 20)
	exe, err := exec.LookPath("gatehouse") // testscript has put it there
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "status", "--watch", "--control", path)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, theirs
	cmd.Env = append(os.Environ(), "GORACE="+noSleep, "NO_COLOR=")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := make(chan error, 1)
	go func() { end <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	var seen strings.Builder
	return ours, func(until string) {
		t.Helper()
		_ = ours.SetReadDeadline(time.Now().Add(patience))
		for buf := make([]byte, 4096); !strings.Contains(seen.String(), until); {
			n, err := ours.Read(buf)
			seen.Write(buf[:n])
			if err != nil {
				t.Fatalf("%v before %q; there was %q", err, until, seen.String())
			}
		}
		seen.Reset()
	}, end
}

func TestWatch(t *testing.T) {
	for _, tt := range []struct{ name, key string }{{"q", "q"}, {"Ctrl-C", "\x03"}} {
		t.Run(tt.name, func(t *testing.T) {
			ours, screen, ended := watched(t, statusSocket(t))
			screen("\x1b[?1049h\x1b[?25l\x1b[H\x1b[32mready")
			screen("asked 3 times")
			screen("… ") // there is more than fits
			if _, err := io.WriteString(ours, "x"+tt.key); err != nil {
				t.Fatal(err)
			}
			screen("\x1b[?25h\x1b[?1049l")
			select {
			case err := <-ended:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(patience):
				t.Error("it does not end")
			}
		})
	}
}

// A server that has gone is asked again.
func TestWatchWithoutServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ours, screen, ended := watched(t, path)
	screen("no gatehouse at")
	if _, err := io.WriteString(ours, "q"); err != nil {
		t.Fatal(err)
	}
	screen("\x1b[?1049l")
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
