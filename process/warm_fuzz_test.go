package process_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/process"
)

// FuzzWarmExplain holds what is said of a first line against what the system does with
// it: a script that can be warm is, cold, given to that interpreter with those options
// and no others.
func FuzzWarmExplain(f *testing.F) {
	for _, line := range []string{
		"DIR/python3", " DIR/python3 -u", "DIR/python3\t-B ", "DIR/python3 -u -B", "DIR/perl -w", "DIR/perl -wT",
		"/usr/bin/env python3", "/usr/bin/env -S python3 -u  -B", "/usr/bin/env -Sperl -w", "/usr/bin/env  python3 ",
		"/usr/bin/env -S python3\v-u", "/usr/bin/env -S python3\u00a0-u", "/usr/bin/env -S 'python3'", "/usr/bin/env -S python3 -W#", "/usr/bin/env -S python3 -Wa\\_b",
	} {
		f.Add(line)
	}
	e := open(f, &process.Exec{})
	w := warm(f, &process.Warm{Cold: e, Servers: map[string][]byte{"python": []byte("x"), "perl": []byte("x")}})
	s := w.With(process.WarmOptions{})
	dir := f.TempDir()
	for _, name := range []string{"python3", "perl"} {
		if err := os.Symlink(self(), filepath.Join(dir, name)); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, line string) {
		line = strings.ReplaceAll(line, "DIR", dir)
		c := &process.Command{Path: newScript(t, "#!"+line+"\n"), Env: []string{"PATH=" + dir}}
		how, ok := strings.CutPrefix(s.Explain(c), "warm: ")
		if !ok || !strings.HasPrefix(how, dir+"/") { // a real one would run an empty script
			return
		}
		got, exit := run(t, e, c)
		want := strings.Join(append(strings.Fields(how), c.Path), "\n") + "\n"
		if got != want || !exit.Success() {
			t.Errorf("%q is said to run %q, and runs %q, %v", line, want, got, exit)
		}
	})
}

// fakeInterpreter tells what it was started with, one argument a line: as an
// interpreter is found by env, argv[0] is only its name.
func fakeInterpreter() int {
	args := os.Args
	if !filepath.IsAbs(args[0]) {
		args[0] = filepath.Join(os.Getenv("PATH"), args[0])
	}
	_, _ = os.Stdout.WriteString(strings.Join(args, "\n") + "\n")
	return 0
}
