//go:build linux

package scripts_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gatehouse/scripts"
)

// patience is the limit of everything that is expected to happen.
const patience = time.Minute

const python = "/usr/bin/python3"

// A fork is a fork server, and this process its Gatehouse.
type fork struct {
	t       testing.TB
	program string
	options []string
	env     []string // what every request's environment begins with
	control int
	pid     int
	says    *os.File // its standard error
	watch   []string
	ready   []string
	batch   int
	spares  []spare
	status  syscall.WaitStatus
	ended   bool
}

type spare struct{ pid, socket int }

// warm starts a server and waits until it is ready. names are to be preloaded, learn
// is where it reports to.
func warm(t testing.TB, program string, options, env []string, learn string, names ...string) *fork {
	t.Helper()
	f := launch(t, program, options, env)
	f.send(append([]string{"S", "1", learn}, names...)...)
	fields, _, _ := f.receive()
	for ; len(fields) > 0 && fields[0] == "W"; fields, _, _ = f.receive() {
		f.watch = append(f.watch, fields[1:]...)
	}
	if len(fields) < 2 || fields[0] != "R" || fields[1] != "1" {
		t.Fatalf("got %q instead of READY; it says %q", fields, f.end())
	}
	f.ready = fields[2:]
	return f
}

// launch starts a server, which waits for SETUP.
func launch(t testing.TB, program string, options, env []string) *fork {
	t.Helper()
	if _, err := os.Stat(program); err != nil {
		t.Skipf("needs %s, which is not installed here", program)
	}
	check(t, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	check(t, err)
	check(t, unix.SetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_PASSCRED, 1))
	limit := unix.NsecToTimeval(patience.Nanoseconds())
	check(t, unix.SetsockoptTimeval(pair[0], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit))
	server := scripts.WarmPython()
	if strings.Contains(filepath.Base(program), "perl") {
		server = scripts.WarmPerl()
	}
	memory, err := unix.MemfdCreate("server", unix.MFD_CLOEXEC)
	check(t, err)
	_, err = unix.Write(memory, server)
	check(t, err)
	text, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", memory))
	check(t, err)
	unix.Close(memory)
	says, stderr, err := os.Pipe()
	check(t, err)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	check(t, err)
	theirs := os.NewFile(uintptr(pair[1]), "control")
	process, err := os.StartProcess(program, slices.Concat([]string{program}, options, []string{"/proc/self/fd/4", strings.Repeat(" ", 512)}), &os.ProcAttr{
		Dir:   "/",
		Env:   append([]string{"TAGNAME=" + strings.Repeat("x", 8184)}, env...),
		Files: []*os.File{null, null, stderr, theirs, text},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	check(t, err)
	for _, file := range []*os.File{text, stderr, null, theirs} {
		file.Close()
	}
	f := &fork{t: t, program: program, options: options, env: env, control: pair[0], pid: process.Pid, says: says}
	process.Release()
	t.Cleanup(f.close)
	return f
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (f *fork) send(fields ...string) {
	f.t.Helper()
	check(f.t, unix.Send(f.control, []byte(strings.Join(fields, "\x00")), unix.MSG_NOSIGNAL))
}

// receive returns a message, who sent it, and the descriptor that came with it or -1.
// There are no fields when the server is gone.
func (f *fork) receive() (fields []string, pid, socket int) {
	f.t.Helper()
	data, oob := make([]byte, 65536), make([]byte, 256)
	n, oobn, _, _, err := unix.Recvmsg(f.control, data, oob, unix.MSG_CMSG_CLOEXEC)
	for err == unix.EINTR {
		n, oobn, _, _, err = unix.Recvmsg(f.control, data, oob, unix.MSG_CMSG_CLOEXEC)
	}
	if n <= 0 && (err == nil || errors.Is(err, unix.ECONNRESET)) {
		return nil, 0, -1
	}
	check(f.t, err)
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	check(f.t, err)
	socket = -1
	for _, m := range messages {
		if cred, err := unix.ParseUnixCredentials(&m); err == nil {
			pid = int(cred.Pid)
		} else if rights, err := unix.ParseUnixRights(&m); err == nil {
			socket = rights[0]
		}
	}
	return strings.Split(string(data[:n]), "\x00"), pid, socket
}

// fork has count more spares forked.
func (f *fork) fork(count int) {
	f.t.Helper()
	f.batch++
	batch := strconv.Itoa(f.batch)
	f.send("F", batch, strconv.Itoa(count))
	for forked, want := false, len(f.spares)+count; !forked || len(f.spares) < want; {
		fields, pid, socket := f.receive()
		switch {
		case len(fields) == 2 && fields[0] == "P" && fields[1] == batch && socket >= 0:
			f.spares = append(f.spares, spare{pid, socket})
		case slices.Equal(fields, []string{"F", batch, strconv.Itoa(count), ""}):
			forked = true
		default:
			f.t.Fatalf("got %q for batch %s of %d; it says %q", fields, batch, count, f.end())
		}
	}
}

// end closes the control socket and returns what the server has said in its life.
func (f *fork) end() string {
	for _, s := range f.spares {
		unix.Close(s.socket)
	}
	if !f.ended {
		f.ended = true
		unix.Close(f.control)
		f.status = wait(f.t, f.pid)
		for _, s := range f.spares {
			if status := wait(f.t, s.pid); status != 0 {
				f.t.Errorf("a spare that is not wanted ends with %#x", status)
			}
		}
	}
	f.spares = nil
	said, _ := io.ReadAll(f.says)
	return string(said)
}

func (f *fork) close() {
	if said := f.end(); said != "" && !f.t.Failed() {
		f.t.Errorf("the server says %q", said)
	}
	f.says.Close()
}

// wait reaps a child, which a process has become here whose parent has ended.
func wait(t testing.TB, pid int) (status syscall.WaitStatus) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		got, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
		if got == pid {
			return status
		}
		if err != nil && err != syscall.EINTR && err != syscall.ECHILD || time.Now().After(deadline) {
			t.Fatalf("process %d does not end: %v", pid, err)
		}
	}
}

// A job is a script and what it is run with.
type job struct {
	path  string
	args  []string
	env   []string
	stdin string
	tag   string
	dir   string // "" means the script's
}

func (j job) directory() string {
	if j.dir != "" {
		return j.dir
	}
	return filepath.Dir(j.path)
}

// ran is what came of it.
type ran struct {
	stdout, stderr string
	status         syscall.WaitStatus
}

// run gives a job to the oldest spare.
func (f *fork) run(j job) ran {
	f.t.Helper()
	if len(f.spares) == 0 {
		f.fork(2)
	}
	s := f.spares[0]
	f.spares = f.spares[1:]
	return f.give(s, j)()
}

// give starts a job, and returns what waits for its end.
func (f *fork) give(s spare, j job) func() ran {
	f.t.Helper()
	var files [3]*os.File // the spare's
	var outputs [2]chan string
	stdin, err := os.CreateTemp(f.t.TempDir(), "")
	check(f.t, err)
	_, err = stdin.WriteString(j.stdin)
	check(f.t, err)
	_, err = stdin.Seek(0, io.SeekStart)
	check(f.t, err)
	files[0] = stdin
	for n := range outputs {
		r, w, err := os.Pipe()
		check(f.t, err)
		files[n+1], outputs[n] = w, make(chan string, 1)
		go func() {
			defer r.Close()
			text, _ := io.ReadAll(r)
			outputs[n] <- string(text)
		}()
	}
	fields := slices.Concat([]string{"1", filepath.Base(j.path), j.tag, j.directory(), j.path, strconv.Itoa(len(j.args))}, j.args, f.env, j.env)
	rights := unix.UnixRights(int(files[0].Fd()), int(files[1].Fd()), int(files[2].Fd()))
	check(f.t, unix.Sendmsg(s.socket, []byte(strings.Join(fields, "\x00")), rights, nil, unix.MSG_NOSIGNAL))
	unix.Close(s.socket)
	for _, file := range files {
		file.Close()
	}
	return func() ran {
		return ran{<-outputs[0], <-outputs[1], wait(f.t, s.pid)}
	}
}

// cold runs a job as the kernel would.
func (f *fork) cold(j job) ran {
	f.t.Helper()
	cmd := exec.Command(f.program, slices.Concat(f.options, []string{j.path}, j.args)...)
	cmd.Dir, cmd.Env = j.directory(), append(slices.Clone(f.env), j.env...)
	var stdout, stderr bytes.Buffer
	stdin, err := os.CreateTemp(f.t.TempDir(), "")
	check(f.t, err)
	defer stdin.Close()
	_, err = stdin.WriteString(j.stdin)
	check(f.t, err)
	_, err = stdin.Seek(0, io.SeekStart)
	check(f.t, err)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		f.t.Fatal(err)
	}
	return ran{stdout.String(), stderr.String(), cmd.ProcessState.Sys().(syscall.WaitStatus)}
}

// write makes a script, or a module beside it, and returns its path.
func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	check(t, os.MkdirAll(filepath.Dir(path), 0o755))
	check(t, os.WriteFile(path, []byte(text), 0o755))
	return path
}

var pythonEnv = []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8"}

// virtual returns an interpreter with library folders that a test may change, and
// that for its own modules.
func virtual(t *testing.T) (program, library string) {
	t.Helper()
	if _, err := os.Stat(python); err != nil {
		t.Skipf("needs %s, which is not installed here", python)
	}
	dir := t.TempDir()
	out, err := exec.Command(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").Output()
	check(t, err)
	version := strings.TrimSpace(string(out))
	write(t, dir, "pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\n")
	check(t, os.MkdirAll(filepath.Join(dir, "bin"), 0o755))
	program = filepath.Join(dir, "bin", "python3")
	check(t, os.Symlink(python, program))
	library = filepath.Join(dir, "lib", "python"+version, "site-packages")
	check(t, os.MkdirAll(library, 0o755))
	return program, library
}

// abstract returns the address of a new datagram socket, as the protocol writes it,
// and a function that returns the next message that is there already.
func abstract(t *testing.T) (address string, next func() []string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	check(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	check(t, unix.Bind(fd, &unix.SockaddrUnix{})) // the kernel chooses a name
	name, err := unix.Getsockname(fd)
	check(t, err)
	return name.(*unix.SockaddrUnix).Name, func() []string {
		data := make([]byte, 65536)
		n, err := unix.Read(fd, data)
		if err == unix.EAGAIN {
			return nil
		}
		check(t, err)
		return strings.Split(string(data[:n]), "\x00")
	}
}
