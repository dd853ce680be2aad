package process

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// StartError is why a process could not be started, in one sentence. Err is the
// cause (a syscall.Errno as a rule): callers ask with errors.Is.
type StartError struct {
	Path   string
	Reason string
	Err    error

	// Of a worker that ran but did not begin to serve: how it ended, and the end of
	// what it wrote to its standard error, 4 KiB at most. Exit is nil for all others.
	Exit   *Exit
	Stderr string
}

func (e *StartError) Error() string {
	return fmt.Sprintf("process: cannot start %q: %s", e.Path, e.Reason)
}

func (e *StartError) Unwrap() error { return e.Err }

// startError explains the failure of fork or exec.
func startError(c *Command, err error) error {
	if errors.Is(err, syscall.EBADF) { // dup3(2) says so where EMFILE is meant
		err = syscall.EMFILE
	}
	se := &StartError{Path: c.Path, Err: err}
	switch {
	case errors.Is(err, syscall.E2BIG):
		se.Reason = fmt.Sprintf("its arguments and environment (%d variables, %d bytes, the longest %s) are more than the system takes",
			len(c.Env), size(c.Args)+size(c.Env), longest(c.Env))
	case errors.Is(err, syscall.EAGAIN):
		se.Reason = "no more processes may be started (RLIMIT_NPROC, pids.max or kernel.pid_max)"
	case errors.Is(err, syscall.ENOMEM):
		se.Reason = "not enough memory to start a process"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		se.Reason = "no more files may be opened: " + err.Error()
	case errors.Is(err, syscall.ETXTBSY):
		se.Reason = "the file is being written"
	case errors.Is(err, syscall.EPERM) && c.User != nil && os.Geteuid() != 0:
		se.Reason = fmt.Sprintf("user %d may not start processes as user %d, only root may", os.Geteuid(), c.User.UID)
	case errors.As(err, new(*limitError)):
		se.Reason = err.Error()
	default:
		if why := dirTrouble(c.Dir); why != "" {
			se.Reason = why
		} else if inner := Check(c.Path); inner != nil {
			se.Reason = inner.Reason
		} else if c.User != nil && errors.Is(err, syscall.EACCES) {
			se.Reason = fmt.Sprintf("user %d may not execute it, or not enter its folder or its working directory", c.User.UID)
		} else {
			se.Reason = err.Error()
		}
	}
	return se
}

func dirTrouble(dir string) string {
	if dir == "" {
		return ""
	}
	switch st, err := os.Stat(dir); {
	case err != nil:
		return fmt.Sprintf("its working directory: %v", err)
	case !st.IsDir():
		return fmt.Sprintf("its working directory %q is not a directory", dir)
	case unix.Access(dir, unix.X_OK) != nil:
		return fmt.Sprintf("its working directory %q may not be entered", dir)
	}
	return ""
}

func size(list []string) (n int) {
	for _, s := range list {
		n += len(s) + 1
	}
	return n
}

func longest(env []string) string {
	var most string
	for _, v := range env {
		if len(v) > len(most) {
			most = v
		}
	}
	name, _, _ := strings.Cut(most, "=")
	if len(name) > 64 {
		name = name[:64] + "…"
	}
	return fmt.Sprintf("%q with %d", name, len(most))
}

// Check looks for what would keep the file at path from being executed: a missing
// file, a missing permission or interpreter, DOS line ends. It returns nil when
// it finds nothing; it starts nothing. Err of the answer is fs.ErrNotExist only
// where the file itself is missing, fs.ErrPermission where it may not be executed.
func Check(path string) *StartError {
	fail := func(err error, format string, args ...any) *StartError {
		return &StartError{Path: path, Reason: fmt.Sprintf(format, args...), Err: err}
	}
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(fs.ErrNotExist, "the file does not exist")
	case err != nil:
		return fail(err, "%v", err)
	case st.IsDir():
		return fail(fs.ErrPermission, "it is a directory")
	case !st.Mode().IsRegular():
		return fail(fs.ErrPermission, "it is not a regular file")
	case st.Mode()&0o111 == 0:
		return fail(fs.ErrPermission, "not executable: no execute permission (mode %04o); chmod +x %s", st.Mode().Perm(), filepath.Base(path))
	case unix.Access(path, unix.X_OK) != nil:
		return fail(fs.ErrPermission, "not executable by user %d (mode %04o), or on a file system mounted noexec", os.Geteuid(), st.Mode().Perm())
	}
	f, err := os.Open(path)
	if err != nil {
		return nil // a program may be executable without being readable
	}
	defer f.Close()
	head := make([]byte, 512)
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return fail(err, "%v", err)
	}
	if why := checkHead(head[:n], f); why != "" {
		return fail(syscall.ENOEXEC, "%s", why)
	}
	return nil
}

// checkHead judges the first bytes of an executable file.
func checkHead(head []byte, f io.ReaderAt) string {
	switch {
	case len(head) == 0:
		return "the file is empty"
	case bytes.HasPrefix(head, []byte("#!")):
		return checkShebang(head)
	case bytes.HasPrefix(head, []byte(elf.ELFMAG)):
		return checkELF(f)
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf#!")):
		return `the file begins with a byte order mark, which hides its "#!"; save it without one`
	case bytes.HasPrefix(bytes.TrimLeft(head, " \t\r\n"), []byte("#!")):
		return `"#!" is not at the very beginning of the file`
	}
	return `it has no "#!" line and is not a program for this machine`
}

// checkShebang looks at the interpreter that the first line names (execve(2)).
func checkShebang(head []byte) string {
	const most = 256 // BINPRM_BUF_SIZE, the end of the line included
	line, _, whole := bytes.Cut(head[2:min(len(head), most)], []byte("\n"))
	text := strings.TrimLeft(strings.ReplaceAll(string(line), "\t", " "), " ")
	interp, arg, ends := strings.Cut(text, " ")
	if !whole && !ends && len(head) >= most { // an argument is merely cut off
		return `its "#!" line is longer than 255 bytes, which Linux cuts off`
	}
	arg = strings.Trim(arg, " ")
	if strings.HasSuffix(text, "\r") {
		return checkDOS(interp, arg)
	}
	switch st, err := os.Stat(interp); {
	case interp == "":
		return `its "#!" line names no interpreter`
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf(`its interpreter %q, named in its "#!" line, does not exist`, interp)
	case err != nil:
		return fmt.Sprintf(`its interpreter: %v`, err)
	case st.IsDir() || unix.Access(interp, unix.X_OK) != nil:
		return fmt.Sprintf(`its interpreter %q, named in its "#!" line, is not executable`, interp)
	}
	if filepath.Base(interp) == "env" && arg != "" && !strings.HasPrefix(arg, "-") && !strings.Contains(arg, "=") {
		if _, ok := lookPath(arg); !ok {
			return fmt.Sprintf(`its interpreter %q, which env is to find, is not in %s`, arg, DefaultPath)
		}
	}
	return ""
}

// checkDOS says what comes of a CR at the end of the "#!" line.
func checkDOS(interp, arg string) string {
	what := fmt.Sprintf("the system looks for %q", interp)
	if filepath.Base(interp) == "env" {
		what = fmt.Sprintf("the system looks for %q", arg[strings.LastIndex(arg, " ")+1:])
	} else if arg != "" {
		what = fmt.Sprintf("%q is given %q", interp, arg)
	}
	return fmt.Sprintf(`its "#!" line ends in CR LF (DOS line ends), so that %s; save it with Unix line ends`, what)
}

// DefaultPath is the PATH in which Check looks for what "#!/usr/bin/env NAME" names.
const DefaultPath = "/usr/local/bin:/usr/bin:/bin"

func lookPath(name string) (string, bool) {
	for dir := range strings.SplitSeq(DefaultPath, ":") {
		path := filepath.Join(dir, name)
		if st, err := os.Stat(path); err == nil && !st.IsDir() && unix.Access(path, unix.X_OK) == nil {
			return path, true
		}
	}
	return "", false
}

// checkELF looks at the loader that a binary asks for, whose absence exec reports
// as if the binary itself did not exist.
func checkELF(r io.ReaderAt) string {
	f, err := elf.NewFile(r)
	if err != nil {
		return "it is a damaged program: " + err.Error()
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP || p.Filesz > 4096 {
			continue
		}
		name, err := io.ReadAll(p.Open())
		if err != nil {
			return "it is a damaged program: " + err.Error()
		}
		loader := string(bytes.TrimRight(name, "\x00"))
		if _, err := os.Stat(loader); errors.Is(err, fs.ErrNotExist) {
			return fmt.Sprintf("its loader %q does not exist: it was built for another system (%s)", loader, f.Machine)
		}
	}
	return ""
}
