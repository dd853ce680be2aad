package process

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// cleanInheritance sees to it that a child inherits from this process nothing
// that this process itself was started with: open descriptors and ignored
// signals (F31, F32). It is done once for the whole process.
var cleanInheritance = sync.OnceValue(func() error {
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil && err != unix.ENOSYS {
		return fmt.Errorf("process: close_range: %w", err)
	}
	if err := setDefault(unix.SIGCHLD); err != nil {
		return err
	}
	ignored, err := statusMask("SigIgn")
	if err != nil {
		return err
	}
	// A signal that the runtime catches is at its default again in a child,
	// one that is ignored stays ignored: so have the ignored ones caught, by
	// a channel that nobody reads.
	var sigs []os.Signal
	for n := 1; n <= 64; n++ {
		switch sig := syscall.Signal(n); {
		case ignored&(1<<(n-1)) == 0:
		case 32 <= n && n <= 34: // the C library's own, which the runtime does not catch
			if err := setDefault(sig); err != nil {
				return err
			}
		default:
			sigs = append(sigs, sig)
		}
	}
	if len(sigs) > 0 {
		signal.Notify(make(chan os.Signal, 1), sigs...)
	}
	return nil
})

// setDefault sets a signal to its default behind the runtime's back. For SIGCHLD
// that is to be discarded: the runtime catches every signal it can, so that each
// end of a child would interrupt one of our threads for nothing, while the ends
// are found by waitid and pidfds.
func setDefault(sig syscall.Signal) error {
	var action [8]uintptr // struct sigaction, all zero: SIG_DFL, no flags
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	if errno != 0 {
		return fmt.Errorf("process: sigaction of signal %d: %w", int(sig), errno)
	}
	return nil
}

// BlockedSignals tells the mask of signals that this process was started with
// blocked, bit n-1 for signal n. Go gives it to children unchanged and has no way
// to alter it, so a main function that finds any unblocks them on a locked thread
// and executes itself again.
func BlockedSignals() (uint64, error) {
	// This thread's, as it is now: the first one's in /proc/self/status is full for a
	// moment whenever that starts another.
	var now unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, nil, &now); err != nil {
		return 0, fmt.Errorf("process: %w", err)
	}
	mask := uint64(now.Val[0])
	if unsafe.Sizeof(now.Val[0]) == 4 {
		mask |= uint64(now.Val[1]) << 32
	}
	return mask, nil
}

// UnblockSignals unblocks every signal on the calling thread.
func UnblockSignals() error {
	var none unix.Sigset_t
	return unix.PthreadSigmask(unix.SIG_SETMASK, &none, nil)
}

// statusMask reads a mask of signals from /proc/self/status (proc(5)).
func statusMask(key string) (uint64, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("process: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			return strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		}
	}
	return 0, fmt.Errorf("process: no %s in /proc/self/status", key)
}

// ownMaxRSS is this process's largest resident set in bytes, below which a
// child's cannot be told (see Exit.MaxRSS).
func ownMaxRSS() int64 {
	var ru unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &ru)
	return int64(ru.Maxrss) << 10
}

// statusOf is si_status of what waitid(2) has said, which x/sys/unix leaves
// unnamed: it follows si_pid and si_uid, which begin at the first multiple of a
// pointer's size behind the three leading numbers.
func statusOf(info *unix.Siginfo) int32 {
	words := (*[7]int32)(unsafe.Pointer(info))
	if unsafe.Sizeof(uintptr(0)) == 8 {
		return words[6]
	}
	return words[5]
}

// exitOf reads what waitid(2) has said of a process that has ended.
func exitOf(info *unix.Siginfo, ru *unix.Rusage, rss0 int64) Exit {
	status := statusOf(info)
	e := Exit{
		User:   time.Duration(ru.Utime.Nano()),
		System: time.Duration(ru.Stime.Nano()),
	}
	if rss := int64(ru.Maxrss) << 10; rss > rss0 {
		e.MaxRSS = rss
	}
	const exited, dumped = 1, 3 // CLD_EXITED, CLD_DUMPED; the others are signals too
	if info.Code == exited {
		e.Code = int(status)
		return e
	}
	e.Code, e.Signal, e.Core = -1, syscall.Signal(status), info.Code == dumped
	return e
}
