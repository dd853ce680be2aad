//go:build linux

package scripts_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// What is asked of the fork servers of both languages in the same way.

// A same is a script that may not be able to tell how it was started. The corpus of the
// fidelity suite asks for what a script does; these ask for what the server has to do
// for it.
type same struct {
	name    string
	options []string
	env     []string
	args    []string
	stdin   string
	text    string
}

// A language is an interpreter, and what scripts in it have in common.
type language struct {
	program string
	suffix  string   // of a script's name
	env     []string // what every request has
	common  []string // what they load of the library, the scripts of the tests among others
}

// testSame runs each script cold, and by servers that have loaded nothing and much ahead.
// adapt takes away of an outcome what may differ.
func (l language) testSame(t *testing.T, all []same, adapt func(row *same, r *ran, cold bool)) {
	type server struct{ options, env string } // what an interpreter reads at its start
	rows := map[server][]int{}
	for n, row := range all {
		var env []string
		for _, e := range row.env {
			if strings.HasPrefix(e, "PYTHON") {
				env = append(env, e)
			}
		}
		of := server{strings.Join(row.options, "\x00"), strings.Join(env, "\x00")}
		rows[of] = append(rows[of], n)
	}
	for of, numbers := range rows {
		t.Run(of.options+of.env, func(t *testing.T) {
			t.Parallel()
			env := append(slices.Clone(l.env), split(of.env)...)
			bare := warm(t, l.program, split(of.options), env, "")
			loaded := warm(t, l.program, split(of.options), env, "", l.common...)
			for _, n := range numbers {
				row := &all[n]
				t.Run(row.name, func(t *testing.T) {
					dir := t.TempDir()
					path := write(t, dir, "script"+l.suffix, row.text)
					j := job{path: path, args: row.args, env: row.env, stdin: row.stdin}
					want := masked(bare.cold(j))
					adapt(row, &want, true)
					for n, f := range []*fork{bare, loaded, loaded} {
						f.t = t
						write(t, dir, "script"+l.suffix, row.text) // again: one of them removes itself
						got := masked(f.run(j))
						if adapt(row, &got, false); got != want {
							t.Errorf("run %d: %s", n, difference(got, want))
						}
					}
				})
			}
			bare.t, loaded.t = t, t
		})
	}
}

// testTag: the environment that others read of a process, which the script at path
// prints, begins with the tag where there is not room for all. long is an argument.
func (l language) testTag(t *testing.T, script, long string) {
	f := warm(t, l.program, nil, l.env, "")
	path := write(t, t.TempDir(), "script"+l.suffix, script)
	for name, env := range map[string][]string{
		"all":  {"A=1", "UNIQUE_ID=tag", "B=2"},
		"room": {"A=" + strings.Repeat("a", 20000), "UNIQUE_ID=tag", "B=2"},
	} {
		want := strings.Join(slices.Concat(l.env, env), "\x00")
		if name == "room" {
			want = strings.Join(slices.Concat([]string{"UNIQUE_ID=tag"}, l.env, env[:1]), "\x00")
		}
		got := strings.TrimRight(f.run(job{path: path, tag: "UNIQUE_ID=tag", env: env, args: []string{long}}).stdout, "\x00")
		if name == "all" && got != want || !strings.HasPrefix(want, got) || !strings.Contains(got, "UNIQUE_ID=tag\x00") {
			t.Errorf("%s: /proc/self/environ is %.80q, want %.80q", name, got, want)
		}
	}
}

// testMany: many at once, of every kind of end: none hangs, fails or is left, which end
// checks. The scripts print the variable N as format has it; one ends well, one by
// signal 11, and one with status 2.
func (l language) testMany(t *testing.T, format string, scripts [3]string) {
	dir := t.TempDir()
	f := warm(t, l.program, nil, l.env, "", l.common...)
	var paths []string
	for n, text := range scripts {
		paths = append(paths, write(t, dir, fmt.Sprint(n)+l.suffix, text))
	}
	wants := []syscall.WaitStatus{0, 11, 2 << 8}
	for round := range 5 {
		f.fork(16)
		var group sync.WaitGroup
		for n, s := range f.spares {
			number := fmt.Sprintf("%d.%d", round, n)
			wait := f.give(s, job{path: paths[n%3], env: []string{"N=" + number}})
			group.Go(func() {
				if got, want := wait(), fmt.Sprintf(format, number); got.stdout != want || got.status&^0x80 != wants[n%3] {
					t.Errorf("got %#x %q %q, want %#x %q", got.status, got.stdout, got.stderr, wants[n%3], want)
				}
			})
		}
		f.spares = nil
		group.Wait()
	}
}

// testFailures: a folder that is not there, a message that is not known, and the end of
// the control socket, after which the server has ended. The script prints stdout.
func (f *fork) testFailures(path, stdout string) {
	f.t.Helper()
	none := filepath.Dir(path) + "/none"
	got := f.run(job{path: path, dir: none})
	if want := "gatehouse: cannot enter " + none + ": No such file or directory\n"; got.status.ExitStatus() != 126 || got.stderr != want {
		f.t.Errorf("got %#x %q, want 126 %q", got.status, got.stderr, want)
	}
	f.send("unknown", "message")
	if got := f.run(job{path: path}); got.stdout != stdout {
		f.t.Errorf("after an unknown message: %+v", got)
	}
	f.fork(3)
	if said := f.end(); said != "" || f.status != 0 {
		f.t.Errorf("at the end of its control socket it ends with %#x and says %q", f.status, said)
	}
}

// bench runs a script over and over.
func (f *fork) bench(b *testing.B, path string) {
	b.ResetTimer()
	for range b.N {
		if len(f.spares) == 0 {
			f.fork(16)
		}
		if got := f.run(job{path: path}); got.status != 0 {
			b.Fatalf("got %#x %q", got.status, got.stderr)
		}
	}
}

// split is the inverse of strings.Join with a NUL.
func split(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, "\x00")
}

// difference is where two outcomes begin to differ.
func difference(got, want ran) string {
	g := fmt.Sprintf("%#x\n%s\n--- stderr\n%s", got.status, got.stdout, got.stderr)
	w := fmt.Sprintf("%#x\n%s\n--- stderr\n%s", want.status, want.stdout, want.stderr)
	n := 0
	for n < len(g) && n < len(w) && g[n] == w[n] {
		n++
	}
	n = max(0, n-80)
	return fmt.Sprintf("got …%.300q, want …%.300q", g[n:], w[n:])
}

var address = regexp.MustCompile("0x[0-9a-f]{6,}")

// masked has no addresses of objects.
func masked(r ran) ran {
	r.stdout, r.stderr = address.ReplaceAllString(r.stdout, "0x"), address.ReplaceAllString(r.stderr, "0x")
	return r
}
