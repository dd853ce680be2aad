package process_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gatehouse/process"
)

// findFDs sets $open to the descriptors of a shell, listFDs prints them; the folder
// that it reads is closed again when it looks which of them there are.
const (
	findFDs = `open=; for f in /proc/$$/fd/*; do if [ -e $f ] || [ -L $f ]; then open="$open ${f##*/}"; fi; done`
	listFDs = findFDs + `; echo $open`
)

// host runs a fake in our session, which is an Exec's user of its own.
func host(t *testing.T, files []*os.File, name string, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	c := exec.Cmd{
		Path: self(), Args: append([]string{"fake:" + name}, args...), Env: os.Environ(),
		Stdout: &out, Stderr: &errs, ExtraFiles: files,
	}
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || errs.Len() > 0 {
		t.Fatalf("%s %q: %v, %s", name, args, err, errs.Bytes())
	}
	return out.String()
}

// F32: descriptors 0, 1 and 2, while others come and go in this process.
func TestDescriptorsParallel(t *testing.T) { eachWay(t, "", testDescriptorsParallel) }

func testDescriptorsParallel(t *testing.T, w way) {
	script := w.sh(t, listFDs)
	var wg, noise sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		noise.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if r, wr, err := os.Pipe(); err == nil {
					r.Close()
					wr.Close()
				}
			}
		})
	}
	for range 100 {
		p, out := spawnOut(t, w, script)
		wg.Go(func() {
			if got := out.rest(); got != "0 1 2\n" {
				t.Errorf("descriptors are %q", got)
			}
			p.End()
			<-p.Gone()
		})
	}
	wg.Wait()
	close(stop)
	noise.Wait()
}

// F32: what this process has inherited itself is not passed on.
func TestDescriptorsInherited(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	files := []*os.File{null, null, null, null, null, null, null, null}
	if got := host(t, files, "host", listFDs); got != "0 1 2\n" {
		t.Errorf("descriptors are %q", got)
	}
}

const signals = `grep -E "^(SigBlk|SigIgn)" /proc/self/status`

const noSignals = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"

// F31: no signal is blocked or ignored.
func TestSignals(t *testing.T) { eachWay(t, "", testSignals) }

func testSignals(t *testing.T, w way) {
	if got, _ := run(t, w, w.sh(t, "exec "+signals)); got != noSignals {
		t.Errorf("got %q, want %q", got, noSignals)
	}
}

// F31: not even where this process was started with every signal ignored.
func TestSignalsIgnored(t *testing.T) {
	if got := host(t, nil, "ignorant", "exec "+signals); got != noSignals {
		t.Errorf("got %q, want %q", got, noSignals)
	}
}

// F31: or blocked, if it does what BlockedSignals says.
func TestSignalsBlocked(t *testing.T) {
	want := "some are blocked\n" + noSignals
	if got := host(t, nil, "blocked", "first", "exec "+signals); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if mask, err := process.BlockedSignals(); mask != 0 || err != nil {
		t.Errorf("BlockedSignals: %x, %v, want none", mask, err)
	}
}

// F34: the address space, from the program's first instruction on.
func TestLimitMemory(t *testing.T) { eachWay(t, "", testLimitMemory) }

func testLimitMemory(t *testing.T, w way) {
	for _, test := range []struct {
		name   string
		memory int64
		want   string
	}{{"none", 0, "unlimited\n"}, {"64 MiB", 64 << 20, "65536\n"}} {
		t.Run(test.name, func(t *testing.T) {
			for range 20 {
				c := w.sh(t, "ulimit -v")
				c.Limits.Memory = test.memory
				got, exit := run(t, w, c)
				if got != test.want || !exit.Success() {
					t.Fatalf("got %q, %v, want %q", got, exit, test.want)
				}
			}
			c := w.sh(t, "x=aaaaaaaa; while [ ${#x} -lt 134217728 ]; do x=$x$x; done; echo has it")
			c.Limits.Memory = test.memory
			if _, exit := run(t, w, c); exit.Success() != (test.memory == 0) {
				t.Errorf("got %v", exit)
			}
		})
	}
}

// F34: a program that is set-group-ID has its limits as well, and its group.
func TestLimitSetID(t *testing.T) {
	e := open(t, &process.Exec{})
	text, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "setgid")
	if err := os.WriteFile(path, text, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o755|os.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	c := &process.Command{Path: path, Args: []string{path, "60"}}
	c.Limits.Memory = 64 << 20
	p := spawn(t, e, c)
	var got unix.Rlimit
	if err := unix.Prlimit(p.Pid, unix.RLIMIT_AS, nil, &got); err != nil || got.Cur != 64<<20 {
		t.Errorf("got %v, %v, want 64 MiB", got, err)
	}
}

// F34: the processor time.
func TestLimitCPU(t *testing.T) { eachWay(t, "", testLimitCPU) }

func testLimitCPU(t *testing.T, w way) {
	c := w.sh(t, "while :; do :; done")
	c.Limits.CPU = 300 * time.Millisecond // rounded up
	p := spawn(t, w, c)
	exit := exitOf(t, p)
	if exit.Signal != syscall.SIGXCPU {
		t.Errorf("got %v, want SIGXCPU", exit)
	}
	if used := exit.User + exit.System; used < 500*time.Millisecond {
		t.Errorf("ended after %v, the limit is a second", used)
	}
}

// A limit that was inherited is not raised, not even by root.
func TestLimitNotRaised(t *testing.T) {
	script := `grep "cpu time" /proc/$$/limits`
	for _, test := range []struct{ name, ask, want string }{
		{"more", "100", "50 50"}, {"the same", "50", "50 50"}, {"less", "20", "20 21"}, {"nothing", "0", "50 50"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := strings.Fields(host(t, nil, "limited", script, test.ask))
			if len(got) != 6 || strings.Join(got[3:5], " ") != test.want {
				t.Errorf("asked for %s s within 50: got %q, want %s", test.ask, got, test.want)
			}
		})
	}
}
