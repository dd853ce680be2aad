package process_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/process"
)

// Which scripts can be warm is decided by what execve(2) and env(1) would do with
// them; what is not plain is cold.
func TestWarmExplain(t *testing.T) {
	const (
		python3 = "warm: /usr/bin/python3"
		perl    = "warm: /usr/bin/perl"
	)
	path := []string{"PATH=/nowhere:/usr/bin:/bin"}
	tests := []struct {
		name, text string
		env        []string
		want       string
	}{
		{"plain", "#!/usr/bin/python3\n", nil, python3},
		{"blanks", "#! \t/usr/bin/python3 \t -u \t\n", nil, python3 + " -u"},
		{"several options in one", "#!/usr/bin/python3 -uBEsSIOO\n", nil, python3 + " -uBEsSIOO"},
		{"warnings", "#!/usr/bin/python3 -Wignore\n", nil, python3 + " -Wignore"},
		{"utf8 mode", "#!/usr/bin/python3 -Xutf8\n", nil, python3 + " -Xutf8"},
		{"env", "#!/usr/bin/env python3\n", path, python3},
		{"env splits", "#!/usr/bin/env -S python3 -u  -B\n", path, python3 + " -u -B"},
		{"env splits at once", "#!/usr/bin/env -Spython3 -u\n", path, python3 + " -u"},
		{"perl", "#!/usr/bin/perl\n", nil, perl},
		{"perl with warnings", "#!/usr/bin/perl -w\n", nil, perl + " -w"},
		{"perl with a library", "#!/usr/bin/perl -I/srv/lib\n", nil, perl + " -I/srv/lib"},
		{"start variables", "#!/usr/bin/python3\n", []string{"PYTHONPATH=/a:/b", "PYTHONUTF8=1", "LC_ALL=C", "PERL5OPT=-d", "HOME=/"}, python3},

		{"shell", "#!/bin/sh\n", nil, "cold: its interpreter sh cannot be warm"},
		{"python 2", "#!/usr/bin/python2.7\n", nil, "cold: its interpreter python2.7 cannot be warm"},
		{"another python", "#!/usr/bin/pypy3\n", nil, "cold: its interpreter pypy3 cannot be warm"},
		{"debug python", "#!/usr/bin/python3-dbg\n", nil, "cold: its interpreter python3-dbg cannot be warm"},
		{"missing python", "#!/usr/bin/python3.99\n", nil, "cold: its interpreter: no such file or directory"},
		{"interpreter is a folder", "#!/usr/lib/python3\n", nil, "cold: its interpreter is not executable"},
		{"relative", "#!python3\n", nil, "cold: its interpreter's path is not absolute"},
		{"relative folder", "#!bin/python3\n", nil, "cold: its interpreter's path is not absolute"},
		{"no interpreter", "#!\n", nil, "cold: its interpreter's path is not absolute"},
		{"no shebang", "print(1)\n", nil, `cold: it has no "#!" line`},
		{"empty", "", nil, `cold: it has no "#!" line`},
		{"byte order mark", "\xef\xbb\xbf#!/usr/bin/python3\n", nil, `cold: it has no "#!" line`},
		{"DOS line ends", "#!/usr/bin/python3\r\n", nil, `cold: its "#!" line contains a control character`},
		{"NUL", "#!/usr/bin/python3\x00\n", nil, `cold: its "#!" line contains a control character`},
		{"no line end", "#!/usr/bin/python3", nil, `cold: its "#!" line is too long, or has no end`},
		{"too long", "#!/usr/bin/python3 -W" + strings.Repeat("x", 256) + "\n", nil, `cold: its "#!" line is too long, or has no end`},
		{"two options in one argument", "#!/usr/bin/python3 -u -B\n", nil, `cold: its interpreter's option "-u -B" cannot be warm`},
		{"interactive", "#!/usr/bin/python3 -i\n", nil, `cold: its interpreter's option "-i" cannot be warm`},
		{"among others", "#!/usr/bin/python3 -ui\n", nil, `cold: its interpreter's option "-ui" cannot be warm`},
		{"module", "#!/usr/bin/python3 -mcgi\n", nil, `cold: its interpreter's option "-mcgi" cannot be warm`},
		{"command", "#!/usr/bin/python3 -c1\n", nil, `cold: its interpreter's option "-c1" cannot be warm`},
		{"skip the first line", "#!/usr/bin/python3 -x\n", nil, `cold: its interpreter's option "-x" cannot be warm`},
		{"verbose", "#!/usr/bin/python3 -v\n", nil, `cold: its interpreter's option "-v" cannot be warm`},
		{"writes at the end", "#!/usr/bin/python3 -Ximporttime\n", nil, `cold: its interpreter's option "-Ximporttime" cannot be warm`},
		{"X with a blank", "#!/usr/bin/python3 -X utf8\n", nil, `cold: its interpreter's option "-X utf8" cannot be warm`},
		{"long option", "#!/usr/bin/python3 --version\n", nil, `cold: its interpreter's option "--version" cannot be warm`},
		{"no option", "#!/usr/bin/python3 -\n", nil, `cold: its interpreter's option "-" cannot be warm`},
		{"another script", "#!/usr/bin/python3 /srv/wrapper.py\n", nil, `cold: its interpreter's option "/srv/wrapper.py" cannot be warm`},
		{"taint", "#!/usr/bin/perl -T\n", nil, `cold: its interpreter's option "-T" cannot be warm`},
		{"taint among others", "#!/usr/bin/perl -wT\n", nil, `cold: its interpreter's option "-wT" cannot be warm`},
		{"taint warnings", "#!/usr/bin/perl -t\n", nil, `cold: its interpreter's option "-t" cannot be warm`},
		{"loop", "#!/usr/bin/perl -n\n", nil, `cold: its interpreter's option "-n" cannot be warm`},
		{"line ends", "#!/usr/bin/perl -l\n", nil, `cold: its interpreter's option "-l" cannot be warm`},
		{"switches", "#!/usr/bin/perl -s\n", nil, `cold: its interpreter's option "-s" cannot be warm`},
		{"perl, skip", "#!/usr/bin/perl -x\n", nil, `cold: its interpreter's option "-x" cannot be warm`},
		{"perl, separate", "#!/usr/bin/perl -w -T\n", nil, `cold: its interpreter's option "-w -T" cannot be warm`},
		{"relative library", "#!/usr/bin/perl -Ilib\n", nil, `cold: its interpreter's option "-Ilib" cannot be warm`},

		{"env without a name", "#!/usr/bin/env\n", path, "cold: what it asks of env is not only an interpreter"},
		{"env sets", "#!/usr/bin/env A=1 python3\n", path, "cold: what it asks of env is not only an interpreter"},
		{"env splits and sets", "#!/usr/bin/env -S A=1 python3\n", path, "cold: what it asks of env is not only an interpreter"},
		{"env with options", "#!/usr/bin/env -S -i python3\n", path, "cold: what it asks of env is not only an interpreter"},
		{"env with a blank", "#!/usr/bin/env python3 -u\n", path, "cold: what it asks of env is not only an interpreter"},
		{"env with quotes", "#!/usr/bin/env -S python3 '-u'\n", path, "cold: what it asks of env is not only an interpreter"},
		{"env with a comment", "#!/usr/bin/env -S python3 #u\n", path, "cold: what it asks of env is not only an interpreter"},
		{"another env", "#!/srv/env python3\n", path, "cold: its env is not the system's"},
		{"env of a shell", "#!/usr/bin/env sh\n", path, "cold: its interpreter sh cannot be warm"},
		{"env, no PATH", "#!/usr/bin/env python3\n", nil, "cold: env looks for its interpreter without a PATH"},
		{"env, relative PATH", "#!/usr/bin/env python3\n", []string{"PATH=bin:/usr/bin"}, "cold: its PATH has a folder that is not absolute"},
		{"env, not in PATH", "#!/usr/bin/env python3\n", []string{"PATH=/nowhere"}, "cold: its interpreter is not in its PATH"},

		{"writes", "#!/usr/bin/python3\n", []string{"PYTHONVERBOSE=1"}, "cold: its environment has PYTHONVERBOSE"},
		{"perl's own options", "#!/usr/bin/perl\n", []string{"PERL5OPT=-d"}, "cold: its environment has PERL5OPT"},
		{"relative modules", "#!/usr/bin/python3\n", []string{"PYTHONPATH=/a:lib"}, "cold: its PYTHONPATH has a folder that is not absolute"},
		{"modules of the folder", "#!/usr/bin/perl\n", []string{"PERL5LIB=/a:"}, "cold: its PERL5LIB has a folder that is not absolute"},
	}
	w := warm(t, &process.Warm{
		Cold:    open(t, &process.Exec{}),
		Servers: map[string][]byte{"python": []byte("x"), "perl": []byte("x")},
	})
	s := w.With(process.WarmOptions{})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if interp := strings.Fields(strings.TrimPrefix(test.want, "warm: ")); strings.HasPrefix(test.want, "warm") {
				if _, err := os.Stat(interp[0]); err != nil {
					t.Skip("NOT TESTED: no " + interp[0])
				}
			}
			c := &process.Command{Path: newScript(t, test.text), Env: test.env}
			if got := s.Explain(c); got != test.want {
				t.Errorf("%.80q with %q: got %q, want %q", test.text, test.env, got, test.want)
			}
		})
	}
}

// The file decides as well, and who runs it.
func TestWarmExplainFile(t *testing.T) {
	if _, err := os.Stat(python); err != nil {
		t.Skip("NOT TESTED: no " + python)
	}
	script := func(mode os.FileMode) string {
		path := newScript(t, "#!"+python+"\n")
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	e := open(t, &process.Exec{})
	good := script(0o755)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(good, link); err != nil {
		t.Fatal(err)
	}
	text := map[string][]byte{"python": []byte("x")}
	others := uint32(os.Getegid() + 1)
	tests := []struct {
		name    string
		w       process.Warm
		o       process.WarmOptions
		command process.Command
		want    string
	}{
		{"good", process.Warm{Cold: e, Servers: text}, process.WarmOptions{}, process.Command{Path: good}, "warm: " + python},
		{"link", process.Warm{Cold: e, Servers: text}, process.WarmOptions{}, process.Command{Path: link}, "warm: " + python},
		{"off", process.Warm{Cold: e, Servers: text}, process.WarmOptions{Mode: process.WarmOff}, process.Command{Path: good}, "cold: it is turned off"},
		{"no server", process.Warm{Cold: e}, process.WarmOptions{}, process.Command{Path: good}, "cold: there is no helper for python"},
		{"no Exec", process.Warm{Cold: always{}, Servers: text}, process.WarmOptions{}, process.Command{Path: good}, "cold: its spawner cannot adopt processes"},
		{"relative", process.Warm{Cold: e, Servers: text}, process.WarmOptions{}, process.Command{Path: "good"}, "cold: its path is not absolute"},
		{"missing", process.Warm{Cold: e, Servers: text}, process.WarmOptions{}, process.Command{Path: good + ".not"}, "cold: the file cannot be looked at: no such file or directory"},
		{"folder", process.Warm{Cold: e, Servers: text}, process.WarmOptions{}, process.Command{Path: t.TempDir()}, "cold: it is not a regular file"},
		{"device", process.Warm{Cold: e, Servers: text}, process.WarmOptions{}, process.Command{Path: os.DevNull}, "cold: it is not a regular file"},
		{"not executable", process.Warm{Cold: e, Servers: text}, process.WarmOptions{}, process.Command{Path: script(0o644)}, "cold: it is not executable"},
		{"set-user-ID", process.Warm{Cold: e, Servers: text}, process.WarmOptions{}, process.Command{Path: script(0o755 | os.ModeSetuid)}, "cold: it is set-user-ID or set-group-ID"},
		{"more files", process.Warm{Cold: e, Servers: text}, process.WarmOptions{}, process.Command{Path: good, Files: []*os.File{os.Stdin}}, "cold: it gets other files than the standard ones"},
		{"not for others", process.Warm{Cold: e, Servers: text}, process.WarmOptions{}, process.Command{Path: script(0o700), User: &process.User{UID: 65533, GID: others}}, "cold: its user may not execute it"},
		{"not readable", process.Warm{Cold: e, Servers: text}, process.WarmOptions{}, process.Command{Path: script(0o711), User: &process.User{UID: 65533, GID: others}}, "cold: its user may not execute it"},
		{"for others", process.Warm{Cold: e, Servers: text}, process.WarmOptions{}, process.Command{Path: good, User: &process.User{UID: 65533, GID: others}}, "warm: " + python},
		{"for the group", process.Warm{Cold: e, Servers: text}, process.WarmOptions{}, process.Command{Path: script(0o750), User: &process.User{UID: 65533, GID: others, Groups: []uint32{uint32(os.Getegid())}}}, "warm: " + python},
		{"not for the group", process.Warm{Cold: e, Servers: text}, process.WarmOptions{}, process.Command{Path: script(0o705), User: &process.User{UID: 65533, GID: uint32(os.Getegid())}}, "cold: its user may not execute it"},
	}
	for n := range tests {
		test := &tests[n]
		t.Run(test.name, func(t *testing.T) {
			s := warm(t, &test.w).With(test.o)
			if got := s.Explain(&test.command); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// A plan is made again when the file is another, also within the same tick of the
// clock and with the same size.
func TestWarmExplainChanged(t *testing.T) {
	w := warm(t, &process.Warm{Cold: open(t, &process.Exec{}), Servers: map[string][]byte{"python": []byte("x")}})
	s := w.With(process.WarmOptions{})
	path := newScript(t, "")
	for _, name := range []string{"aa", "bb", "cc", "dd"} {
		other := newScript(t, "#!/bin/"+name+"\n")
		if err := os.Rename(other, path); err != nil {
			t.Fatal(err)
		}
		want := "cold: its interpreter " + name + " cannot be warm"
		if got := s.Explain(&process.Command{Path: path}); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
