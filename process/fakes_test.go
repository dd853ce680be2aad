package process_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"gatehouse/process"
)

// fakes are what this binary can become: each gets its arguments and returns the
// exit status.
var fakes = map[string]func([]string) int{}

func init() {
	fakes["sleeper"] = fakeSleeper
	fakes["daemon"] = fakeDaemon
	fakes["hoarder"] = fakeHoarder
	fakes["host"] = fakeHost
	fakes["ignorant"] = fakeIgnorant
	fakes["blocked"] = fakeBlocked
	fakes["limited"] = fakeLimited
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// fakeSleeper says its pid and stays; with "stubborn" SIGTERM does not end it.
func fakeSleeper(args []string) int {
	if len(args) > 0 && args[0] == "stubborn" {
		signal.Ignore(syscall.SIGTERM)
	}
	fmt.Println(os.Getpid())
	time.Sleep(time.Hour)
	return 0
}

// fakeDaemon leaves a sleeper in a session of its own, and ends with status 0
// when that is ready. Its first argument is "same" when the sleeper gets its
// environment, or "none"; the others are the sleeper's.
func fakeDaemon(args []string) int {
	r, w, err := os.Pipe()
	if err != nil {
		return complain(err)
	}
	env := []string{}
	if args[0] == "same" {
		env = os.Environ()
	}
	_, err = os.StartProcess(self(), append([]string{"fake:sleeper"}, args[1:]...), &os.ProcAttr{
		Env: env, Files: []*os.File{nil, w, os.Stderr}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return complain(err)
	}
	// The sleeper's output is a pipe of ours until it is ready, and its
	// descriptor 2 is what the test watches.
	pid := make([]byte, 16)
	n, err := r.Read(pid)
	if err != nil {
		return complain(err)
	}
	_, _ = os.Stderr.Write(pid[:n])
	return 0
}

// fakeHoarder is the child of a process that ends: it leaves the session, but
// keeps a zombie in the old group.
func fakeHoarder(args []string) int {
	if len(args) == 0 { // the parent
		r, w, err := os.Pipe()
		if err != nil {
			return complain(err)
		}
		_, err = os.StartProcess(self(), []string{"fake:hoarder", "child"}, &os.ProcAttr{
			Env: os.Environ(), Files: []*os.File{nil, w, os.Stderr},
		})
		if err != nil {
			return complain(err)
		}
		_, _ = r.Read(make([]byte, 1))
		return 0
	}
	pid, err := syscall.ForkExec("/bin/true", []string{"true"}, &syscall.ProcAttr{Env: []string{}})
	if err != nil {
		return complain(err)
	}
	for state(pid) != 'Z' {
		time.Sleep(time.Millisecond)
	}
	if _, err := unix.Setsid(); err != nil {
		return complain(err)
	}
	fmt.Fprintln(os.Stderr, os.Getpid())
	fmt.Println()
	time.Sleep(time.Hour)
	return 0
}

// fakeHost is a program that uses an Exec: it runs a shell script with it and
// passes on the output.
func fakeHost(args []string) int {
	var e process.Exec
	defer e.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return complain(err)
	}
	c := sh(args[0])
	c.Stdout, c.Stderr = w, os.Stderr
	if len(args) > 1 {
		seconds, _ := strconv.Atoi(args[1])
		c.Limits.CPU = time.Duration(seconds) * time.Second
	}
	p, err := e.Spawn(context.Background(), c)
	if err != nil {
		return complain(err)
	}
	w.Close()
	_, _ = io.Copy(os.Stdout, r)
	p.End()
	<-p.Gone()
	exit, _ := p.Exit()
	return exit.Code
}

// fakeIgnorant ignores every signal, as far as the kernel lets it, and becomes a
// host. What is caught would be at its default after execve(2).
func fakeIgnorant(args []string) int {
	for n := 1; n <= 64; n++ {
		action := [8]uintptr{1} // SIG_IGN
		_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(n), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	}
	return complain(syscall.Exec(self(), append([]string{"fake:host"}, args...), os.Environ()))
}

// fakeBlocked blocks every signal and executes itself; as a program that finds
// some blocked it unblocks them and executes itself again, and is a host then.
func fakeBlocked(args []string) int {
	runtime.LockOSThread()
	if args[0] == "first" {
		all := unix.Sigset_t{}
		for n := range all.Val {
			all.Val[n] = ^all.Val[n]
		}
		if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, nil); err != nil {
			return complain(err)
		}
		return complain(syscall.Exec(self(), append([]string{"fake:blocked", "then"}, args[1:]...), os.Environ()))
	}
	mask, err := process.BlockedSignals()
	if err != nil {
		return complain(err)
	}
	if mask != 0 {
		fmt.Println("some are blocked")
		if err := process.UnblockSignals(); err != nil {
			return complain(err)
		}
		return complain(syscall.Exec(self(), append([]string{"fake:blocked"}, args...), os.Environ()))
	}
	return fakeHost(args[1:])
}

// fakeLimited is a host that may itself use 50 seconds of processor time.
func fakeLimited(args []string) int {
	if err := unix.Setrlimit(unix.RLIMIT_CPU, &unix.Rlimit{Cur: 50, Max: 50}); err != nil {
		return complain(err)
	}
	return fakeHost(args)
}
