package process_test

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"gatehouse/process"
)

// Why a program cannot be started, as Spawn says it and, where it can know, Check.
func TestStartError(t *testing.T) {
	e := open(t, &process.Exec{})
	dir := t.TempDir()
	plain := write(t, 0o644, "#!/bin/sh\n")
	long := "#!/" + strings.Repeat("x", 300)
	deep := filepath.Join(dir, strings.Repeat("d", 200), strings.Repeat("e", 200))
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/bin/sh", filepath.Join(deep, "sh")); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, path string
		is         error // of Spawn
		check      error // of Check
		reason     string
	}{
		{"missing", dir + "/none", syscall.ENOENT, fs.ErrNotExist, "the file does not exist"},
		{"not executable", plain, syscall.EACCES, fs.ErrPermission, "not executable: no execute permission (mode 0644); chmod +x program"},
		{"directory", dir, syscall.EACCES, fs.ErrPermission, "it is a directory"},
		{"device", "/dev/null", syscall.EACCES, fs.ErrPermission, "it is not a regular file"},
		{"in a file", plain + "/x", syscall.ENOTDIR, syscall.ENOTDIR, "not a directory"},
		{"empty", write(t, 0o755, ""), syscall.ENOEXEC, syscall.ENOEXEC, "the file is empty"},
		{"no shebang", write(t, 0o755, "print 1\n"), syscall.ENOEXEC, syscall.ENOEXEC, `it has no "#!" line`},
		{"byte order mark", write(t, 0o755, "\xef\xbb\xbf#!/bin/sh\n"), syscall.ENOEXEC, syscall.ENOEXEC, "byte order mark"},
		{"blank line first", write(t, 0o755, "\n#!/bin/sh\n"), syscall.ENOEXEC, syscall.ENOEXEC, `"#!" is not at the very beginning of the file`},
		{
			"DOS line ends", write(t, 0o755, "#!/bin/sh\r\nexit 0\r\n"), syscall.ENOENT, syscall.ENOEXEC,
			`its "#!" line ends in CR LF (DOS line ends), so that the system looks for "/bin/sh\r"`,
		},
		{"no interpreter", write(t, 0o755, "#!\nexit\n"), syscall.ENOEXEC, syscall.ENOEXEC, "names no interpreter"},
		{
			"missing interpreter", write(t, 0o755, "#! /proc/nonexistent/perl -w\n"), syscall.ENOENT, syscall.ENOEXEC,
			`its interpreter "/proc/nonexistent/perl", named in its "#!" line, does not exist`,
		},
		{
			"interpreter not executable", write(t, 0o755, "#!"+plain+"\n"), syscall.EACCES, syscall.ENOEXEC,
			`named in its "#!" line, is not executable`,
		},
		{"interpreter is a folder", write(t, 0o755, "#!"+dir+"\n"), syscall.EACCES, syscall.ENOEXEC, "is not executable"},
		{"overlong, no end", write(t, 0o755, long), syscall.ENOEXEC, syscall.ENOEXEC, "longer than 255 bytes"},
		{"overlong", write(t, 0o755, long+"\nexit\n"), syscall.ENOEXEC, syscall.ENOEXEC, "longer than 255 bytes"},
		{"overlong, exists", write(t, 0o755, "#!"+deep+"/sh\nexit\n"), syscall.ENOEXEC, syscall.ENOEXEC, "longer than 255 bytes"},
		{"loader", noLoader(t), syscall.ENOENT, syscall.ENOEXEC, "its loader \"/missing"},
		{"damaged", write(t, 0o755, "\x7fELF and no more"), syscall.ENOEXEC, syscall.ENOEXEC, "it is a damaged program"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, err := e.Spawn(context.Background(), &process.Command{Path: test.path})
			var se *process.StartError
			if p != nil || !errors.As(err, &se) {
				t.Fatalf("got %v, %v, want a StartError", p, err)
			}
			if se.Path != test.path || !strings.Contains(se.Reason, test.reason) || strings.ContainsAny(se.Reason, "\r\n") {
				t.Errorf("reason %q, want %q", se.Reason, test.reason)
			}
			if !errors.Is(err, test.is) {
				t.Errorf("Spawn: the error is %#v, want %v", se.Err, test.is)
			}
			if !strings.HasPrefix(err.Error(), "process: cannot start \"") || !strings.HasSuffix(err.Error(), se.Reason) {
				t.Errorf("Error: %q", err)
			}
			wrong := process.Check(test.path)
			if wrong == nil || !errors.Is(wrong, test.check) || wrong.Reason != se.Reason {
				t.Errorf("Check: got %v, want %v", wrong, test.check)
			}
		})
	}
}

// noLoader is a copy of a program that asks for a loader which is not there.
func noLoader(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			name := text[p.Off : p.Off+p.Filesz]
			copy(name[:len(name)-1], "/missing"+strings.Repeat("x", len(name)))
			return write(t, 0o755, string(text))
		}
	}
	t.Fatal("/bin/true has no loader; another program is needed for this test")
	return ""
}

// What Spawn can only know from the system, or from the Command.
func TestStartErrorOfCommand(t *testing.T) {
	e := open(t, &process.Exec{})
	plain := write(t, 0o644, "")
	cookie := "HTTP_COOKIE=" + strings.Repeat("x", 130<<10)
	tests := []struct {
		name    string
		command process.Command
		is      error
		reason  string
	}{
		{
			"A28 one variable", process.Command{Path: "/bin/true", Env: []string{"A=1", cookie, "B=2"}}, syscall.E2BIG,
			`its arguments and environment (3 variables, 133141 bytes, the longest "HTTP_COOKIE" with 133132) are more than the system takes`,
		},
		{"A28 no value", process.Command{Path: "/bin/true", Env: []string{strings.Repeat("x", 130<<10)}}, syscall.E2BIG, `xxx…" with 133120)`},
		{"A28 argument", process.Command{Path: "/bin/true", Args: []string{"true", cookie}}, syscall.E2BIG, "(0 variables, "},
		{"no such dir", process.Command{Path: "/bin/true", Dir: "/proc/nonexistent"}, syscall.ENOENT, "its working directory: stat /proc/nonexistent: no such file or directory"},
		{"dir is a file", process.Command{Path: "/bin/true", Dir: plain}, syscall.ENOTDIR, `is not a directory`},
		{"NUL", process.Command{Path: "/bin/true", Args: []string{"a\x00b"}}, syscall.EINVAL, "invalid argument"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := e.Spawn(context.Background(), &test.command)
			var se *process.StartError
			if !errors.As(err, &se) || !errors.Is(err, test.is) {
				t.Fatalf("got %v, want %v", err, test.is)
			}
			if !strings.Contains(se.Reason, test.reason) || len(se.Reason) > 1000 {
				t.Errorf("reason %.300q, want %q", se.Reason, test.reason)
			}
		})
	}
}

// What can be started, and what Check must therefore let pass.
func TestCheckGood(t *testing.T) {
	e := open(t, &process.Exec{})
	bare := write(t, 0o755, "#!/bin/sh")
	tests := []struct{ name, path string }{
		{"program", "/bin/true"},
		{"script", write(t, 0o755, "#!/bin/sh\nexit 0\n")},
		{"blanks", write(t, 0o755, "#! \t/bin/sh\t -e \nexit 0\n")},
		{"env", write(t, 0o755, "#!/usr/bin/env sh\nexit 0\n")},
		{"env -S", write(t, 0o755, "#!/usr/bin/env -S sh -e\nexit 0\n")},
		{"no line end", bare},
		{"script of a script", write(t, 0o755, "#!"+write(t, 0o755, "#!/bin/sh\nexit 0\n")+"\n")},
		{"255 bytes", write(t, 0o755, "#!"+strings.Repeat(" ", 255-9)+"/bin/sh\nexit 0\n")},
		{"blanks cut off", write(t, 0o755, "#!/bin/true"+strings.Repeat(" ", 300)+"\n")},
		{"argument cut off", write(t, 0o755, "#!/usr/bin/printf "+strings.Repeat("y", 600)+"\n")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := &process.Command{Path: test.path, Env: []string{"PATH=" + process.DefaultPath}}
			if _, exit := run(t, e, c); !exit.Success() {
				t.Errorf("got %v, want success", exit)
			}
			if wrong := process.Check(test.path); wrong != nil {
				t.Errorf("Check: got %v, want nil", wrong)
			}
		})
	}
}

// What starts, and fails at once all the same.
func TestCheckBeyondExec(t *testing.T) {
	tests := []struct{ name, line, reason string }{
		{"env", "#!/usr/bin/env no-such-interpreter\n", `its interpreter "no-such-interpreter", which env is to find, is not in ` + process.DefaultPath},
		{"env with DOS line ends", "#!/usr/bin/env python3\r\n", `so that the system looks for "python3\r"`},
		{"argument with DOS line ends", "#!/bin/sh -e\r\n", `so that "/bin/sh" is given "-e\r"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			wrong := process.Check(write(t, 0o755, test.line))
			if wrong == nil || !errors.Is(wrong, syscall.ENOEXEC) || !strings.Contains(wrong.Reason, test.reason) {
				t.Errorf("got %v, want %q", wrong, test.reason)
			}
		})
	}
}

// E32: a start fails for want of a descriptor in the child as it does here.
func TestStartWithoutDescriptors(t *testing.T) {
	e := open(t, &process.Exec{})
	p, err := e.Spawn(context.Background(), &process.Command{Path: "/bin/true"}) // opens what Exec keeps open
	if err != nil {
		t.Fatal(err)
	}
	p.End()
	<-p.Gone()
	files := exhaust(t)
	last := len(files) - 1
	if last < 4 {
		t.Skipf("only %d descriptors were left", len(files))
	}
	// With the highest one as its output the child has to move others above that.
	for _, f := range files[last-4 : last] {
		_ = f.Close()
	}
	p, err = e.Spawn(context.Background(), &process.Command{Path: "/bin/true", Stdout: files[last]})
	if err == nil {
		p.End()
	}
	if !errors.Is(err, syscall.EMFILE) || !strings.Contains(err.Error(), "no more files may be opened") {
		t.Errorf("%v, want EMFILE", err)
	}
}

// exhaust opens files until no more may be opened. They are closed, and the limit is
// what it was, when the test ends.
func exhaust(t *testing.T) (files []*os.File) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 64, Max: old.Max}, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, f := range files {
			_ = f.Close()
		}
		if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &old, nil); err != nil {
			t.Error(err)
		}
	})
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, null)
	// The highest one first: a look at the orphans may have one that is lower just now.
	last, err := unix.FcntlInt(null.Fd(), unix.F_DUPFD_CLOEXEC, 63)
	if err != nil {
		t.Fatal(err)
	}
	highest := os.NewFile(uintptr(last), os.DevNull)
	for {
		f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			files = append(files, highest)
			return files
		}
		files = append(files, f)
	}
}
