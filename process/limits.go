package process

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// none reports whether nothing is limited.
func (l Limits) none() bool { return l.Memory <= 0 && l.CPU <= 0 }

// set sets the limits of a process. Limits that were inherited are never raised,
// which root could do. The error is a *limitError.
func (l Limits) set(pid int) (failed error) {
	set := func(what int, name string, most, hard uint64) {
		var old unix.Rlimit
		err := unix.Prlimit(pid, what, nil, &old)
		if err == nil {
			err = unix.Prlimit(pid, what, &unix.Rlimit{Cur: min(most, old.Cur), Max: min(hard, old.Max)}, nil)
		}
		if err != nil && err != unix.ESRCH { // it may have ended already
			failed = &limitError{name, most, err}
		}
	}
	if l.Memory > 0 {
		set(unix.RLIMIT_AS, "memory", uint64(l.Memory), uint64(l.Memory))
	}
	if l.CPU > 0 {
		seconds := uint64((l.CPU + time.Second - 1) / time.Second)
		set(unix.RLIMIT_CPU, "cpu", seconds, seconds+1) // SIGXCPU, then SIGKILL
	}
	return failed
}

// limitError is a limit that cannot be set: that of a process of another user
// without CAP_SYS_RESOURCE, which root may lack in a container (F34).
type limitError struct {
	name  string
	value uint64
	err   error
}

func (e *limitError) Error() string {
	return fmt.Sprintf("its limit of %s to %d cannot be set: %v", e.name, e.value, e.err)
}

// forkLimited is forkExec of a program whose limits hold from its first
// instruction: it is stopped at its exec, as a debugger would (ptrace(2)), and goes
// on when they are set. Where tracing is not allowed, and for a set-user-ID program,
// which would lose its privileges by it, the limits are set while it runs. Elsewhere
// a program whose limits cannot be set does not run.
func forkLimited(path string, args []string, attr *syscall.ProcAttr, l Limits, log *slog.Logger) (int, error) {
	if l.none() {
		return forkExec(path, args, attr)
	}
	if info, err := os.Stat(path); err == nil && info.Mode()&(os.ModeSetuid|os.ModeSetgid) == 0 {
		pid, err := forkTraced(path, args, attr, l, log)
		if !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.ENOSYS) {
			return pid, err
		}
	}
	pid, err := forkExec(path, args, attr)
	if err == nil {
		if failed := l.set(pid); failed != nil {
			log.Error("a limit is not in force", "path", path, "pid", pid, "err", failed)
		}
	}
	return pid, err
}

func forkTraced(path string, args []string, attr *syscall.ProcAttr, l Limits, log *slog.Logger) (int, error) {
	runtime.LockOSThread() // only the thread that forked may trace
	defer runtime.UnlockOSThread()
	sys := *attr.Sys
	sys.Ptrace = true
	traced := *attr
	traced.Sys = &sys
	pid, err := forkExec(path, args, &traced)
	if err != nil {
		return 0, err
	}
	stopped := awaitStop(pid)
	if err := l.set(pid); err != nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		_, _ = syscall.Wait4(pid, nil, 0, nil)
		return 0, err
	}
	for sig := stopped; sig > 0 && sig != syscall.SIGTRAP; sig = awaitStop(pid) {
		_ = syscall.PtraceCont(pid, int(sig)) // a signal from elsewhere came before the stop
	}
	if err := syscall.PtraceDetach(pid); err != nil && err != syscall.ESRCH {
		log.Error("cannot let go of a process", "pid", pid, "err", err)
	}
	return pid, nil
}

// awaitStop waits until a traced process stops and tells the signal, or 0 when the
// process has ended, which it leaves to be found again.
func awaitStop(pid int) syscall.Signal {
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WSTOPPED|unix.WNOWAIT, nil)
		if err == unix.EINTR {
			continue
		}
		const trapped = 4 // CLD_TRAPPED
		if err != nil || info.Code != trapped {
			return 0
		}
		return syscall.Signal(statusOf(&info))
	}
}
