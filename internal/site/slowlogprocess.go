package site

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"gatehouse/process"
)

const (
	// lookTime bounds a look at a process: its files in /proc may hang where it does.
	lookTime = time.Second
	// maxLooks is how many such looks there may be at a time.
	maxLooks = 4
	// maxKin is how many descendants are shown of a process, and maxCommand how many
	// bytes of a command line.
	maxKin     = 16
	maxCommand = 200
	// clockTick is USER_HZ, the unit of times in /proc (proc(5)): the same on all
	// machines that Linux runs on but Alpha.
	clockTick = 100
)

// lookouts counts the looks at processes that have not come back.
type lookouts struct{ now atomic.Int32 }

// look tells what a process of ours is doing.
func (ls *lookouts) look(pid int) slog.Value {
	if ls.now.Add(1) > maxLooks {
		ls.now.Add(-1)
		return unseen("the looks at other processes hang")
	}
	seen := make(chan slog.Value, 1)
	go func() { // ends when the kernel has answered
		defer ls.now.Add(-1)
		seen <- lookAt(pid)
	}()
	t := time.NewTimer(lookTime)
	defer t.Stop()
	select {
	case v := <-seen:
		return v
	case <-t.C:
		return unseen(fmt.Sprintf("/proc does not answer within %v", lookTime))
	}
}

func unseen(why string) slog.Value { return slog.GroupValue(slog.String("unknown", why)) }

// seenProcess is what the kernel tells of one.
type seenProcess struct {
	pid, parent int
	name        string
	state       string
	cpu         time.Duration
	began       uint64 // clock ticks after the start of the machine
}

// lookAt reads what /proc has. A number may have gone to another process meanwhile: ours
// are our children.
func lookAt(pid int) slog.Value {
	p, err := readProcess(pid)
	if err != nil || p.parent != os.Getpid() {
		return unseen("it has ended")
	}
	cpu := p.cpu
	var kin []string
	for _, child := range descendants(pid) {
		c, err := readProcess(child)
		if err != nil {
			continue
		}
		cpu += c.cpu
		kin = append(kin, c.doing())
	}
	attrs := []slog.Attr{slog.String("state", p.state)}
	for _, a := range []struct{ key, value string }{{"wchan", waitChannel(pid)}, {"syscall", systemCall(pid)}, {"command", commandLine(p)}} {
		if a.value != "" {
			attrs = append(attrs, slog.String(a.key, a.value))
		}
	}
	attrs = append(attrs, slog.String("cpu", cpu.String()))
	if again, err := readProcess(pid); err != nil || again.began != p.began {
		return unseen("it has ended")
	}
	if len(kin) > 0 {
		attrs = append(attrs, slog.String("children", strings.Join(kin, "; ")))
	}
	return slog.GroupValue(attrs...)
}

// doing is one process in few words.
func (p *seenProcess) doing() string {
	text := fmt.Sprintf("%d %s", p.pid, p.state)
	if w := waitChannel(p.pid); w != "" {
		text += " in " + w
	}
	return text + ": " + commandLine(p)
}

// states are the letters of proc_pid_stat(5).
var states = map[byte]string{
	'R': "running", 'S': "sleeping", 'D': "waiting for a device", 'Z': "ended", 'T': "stopped", 't': "traced",
	'X': "ended", 'I': "idle", 'P': "parked",
}

// readProcess reads /proc/PID/stat (proc_pid_stat(5)).
func readProcess(pid int) (*seenProcess, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')') // the name may have anything in it
	if open < 0 || end < open {
		return nil, fmt.Errorf("site: no process in %q", text)
	}
	fields := strings.Fields(string(text[end+1:])) // from the third on
	if len(fields) < 20 {
		return nil, fmt.Errorf("site: no process in %q", text)
	}
	p := &seenProcess{pid: pid, name: string(text[open+1 : end])}
	if p.state = states[fields[0][0]]; p.state == "" {
		p.state = fields[0]
	}
	p.parent, _ = strconv.Atoi(fields[1])
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	p.cpu = time.Duration(user+system) * (time.Second / clockTick)
	p.began, _ = strconv.ParseUint(fields[19], 10, 64)
	return p, nil
}

// waitChannel is the function of the kernel that a process sleeps in, "" if it does not
// or that is not for us to know.
func waitChannel(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", pid))
	if name := strings.TrimSpace(string(text)); err == nil && name != "0" {
		return name
	}
	return ""
}

// systemCall is the call that a process is in, "" if that is not for us to know.
func systemCall(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", pid))
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	n, err := strconv.Atoi(first)
	if err != nil || n < 0 {
		return ""
	}
	if name := calls[n]; name != "" {
		return name
	}
	return "number " + first
}

// calls are the system calls that programs wait in.
var calls = map[int]string{
	unix.SYS_READ: "read", unix.SYS_WRITE: "write", unix.SYS_READV: "readv", unix.SYS_WRITEV: "writev",
	unix.SYS_PREAD64: "pread64", unix.SYS_PPOLL: "ppoll", unix.SYS_PSELECT6: "pselect6", unix.SYS_EPOLL_PWAIT: "epoll_pwait",
	unix.SYS_FUTEX: "futex", unix.SYS_NANOSLEEP: "nanosleep", unix.SYS_CLOCK_NANOSLEEP: "clock_nanosleep",
	unix.SYS_WAIT4: "wait4", unix.SYS_WAITID: "waitid", unix.SYS_CONNECT: "connect", unix.SYS_ACCEPT4: "accept4",
	unix.SYS_RECVFROM: "recvfrom", unix.SYS_RECVMSG: "recvmsg", unix.SYS_SENDTO: "sendto", unix.SYS_SENDMSG: "sendmsg",
	unix.SYS_FLOCK: "flock", unix.SYS_FCNTL: "fcntl", unix.SYS_OPENAT: "openat", unix.SYS_FSYNC: "fsync",
	unix.SYS_FDATASYNC: "fdatasync", unix.SYS_RT_SIGSUSPEND: "rt_sigsuspend", unix.SYS_RT_SIGTIMEDWAIT: "rt_sigtimedwait",
}

// commandLine is what a process was started with, in so far as that can be shown.
func commandLine(p *seenProcess) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.pid))
	if len(text) > maxCommand {
		text = append(text[:maxCommand:maxCommand], "..."...)
	}
	line := strings.TrimSpace(strings.ReplaceAll(string(text), "\x00", " "))
	if err != nil || line == "" {
		line = "[" + p.name + "]"
	}
	return process.Printable(line)
}

// descendants are those of a process, as far as they are shown.
func descendants(pid int) (all []int) {
	for next := []int{pid}; len(next) > 0 && len(all) < maxKin; next = next[1:] {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", next[0]))
		for _, name := range tasks[:min(len(tasks), 64)] {
			text, _ := os.ReadFile(name)
			for field := range strings.FieldsSeq(string(text)) {
				if n, err := strconv.Atoi(field); err == nil && len(all) < maxKin {
					all, next = append(all, n), append(next, n)
				}
			}
		}
	}
	return all
}
