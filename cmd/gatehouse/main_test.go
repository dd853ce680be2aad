package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	testscript.Main(careful{m}, map[string]func(){"gatehouse": main})
}

// careful runs the tests, then looks for what they have left behind.
type careful struct{ *testing.M }

func (c careful) Run() int {
	// As in the background of a shell, or by nohup; the programs that are tested are to get them.
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	before := descriptors()
	code := c.M.Run()
	if code != 0 {
		return code
	}
	var left []string
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		left = nil
		reapOrphans()
		if err := goleak.Find(); err != nil {
			left = append(left, err.Error())
		}
		if n := children(); n != "" {
			left = append(left, "child processes "+n)
		}
		// epoll and its wake-up descriptor are opened with the first pipe or socket.
		if n := descriptors(); n > before+2 {
			left = append(left, fmt.Sprintf("%d open files, %d before", n, before))
		}
		if left == nil {
			return 0
		}
		if time.Now().After(deadline) {
			fmt.Fprintln(os.Stderr, "left behind:", strings.Join(left, "; "))
			return 1
		}
	}
}

// reapOrphans lets go of processes that have ended and whose parents had: a host makes
// the process that it runs in, of a test as well, the one that gets them, such as the
// successor of a program that was upgraded. Those that run stay, and are found.
func reapOrphans() {
	for {
		if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
			return
		}
	}
}

func descriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

func children() (pids string) {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return ""
	}
	for _, task := range tasks {
		b, err := os.ReadFile("/proc/self/task/" + task.Name() + "/children")
		if err == nil {
			pids += string(b)
		}
	}
	return pids
}

// ownLoopback is an address of this machine on which no other process listens, so that
// a port of it that is free stays free.
func ownLoopback() string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.9", 64+pid>>8&127, pid&255)
}

// noSleep keeps programs built with -race from waiting a second as they end.
const noSleep = "atexit_sleep_ms=0"

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("GORACE", noSleep)
			exe, err := exec.LookPath("gatehouse")
			e.Setenv("OWN", ownLoopback())
			e.Setenv("ONLY", filepath.Dir(exe)) // a PATH with nothing else on it
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"startrun":   startRun,
			"start":      startServer,
			"await":      awaitServer,
			"signal":     signalServer,
			"ended":      endedServer,
			"exits":      exits,
			"prints":     prints,
			"executable": executable,
			"get":        get,
			"until":      getUntil,
			"refused":    refused,
			"getbg":      getInBackground,
			"got":        gotInBackground,
			"gone":       goneProcess,
			"empty":      emptyFolder,
			"shown":      shownStatus,
			"endfirst":   endFirst,
		},
	})
}
