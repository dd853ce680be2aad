package fastcgi_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// fakes are programs that tests start: this binary under the name "fake-" and
// theirs. Files of tests add to them in an init function.
var fakes = map[string]func(){}

// TestMain runs the fake that the binary was started as, or the tests and after
// them a check that no process, descriptor or goroutine is left.
func TestMain(m *testing.M) {
	if name, ok := strings.CutPrefix(filepath.Base(os.Args[0]), "fake-"); ok {
		fake := fakes[name]
		if fake == nil {
			fmt.Fprintf(os.Stderr, "no fake %q\n", name)
			os.Exit(2)
		}
		fake()
		os.Exit(0)
	}
	ignore := goleak.IgnoreCurrent()
	before := descriptors()
	code := m.Run()
	if !soon(func() bool { return goleak.Find(ignore) == nil }) {
		fmt.Fprintln(os.Stderr, goleak.Find(ignore))
		code = 1
	}
	if !soon(func() bool { return children() == "" }) {
		fmt.Fprintln(os.Stderr, "children left:", children())
		code = 1
	}
	const ours = 2 // the runtime's epoll and its eventfd, opened by the first use
	if !soon(func() bool { return len(descriptors()) <= len(before)+ours }) {
		fmt.Fprintln(os.Stderr, "descriptors left:", descriptors(), "before:", before)
		code = 1
	}
	os.Exit(code)
}

// fakeNamed returns the path of a program that is the fake of that name.
func fakeNamed(t testing.TB, name string) string {
	t.Helper()
	if fakes[name] == nil {
		t.Fatalf("no fake %q", name)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "fake-"+name)
	if err := os.Symlink(self, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func descriptors() []string {
	var all []string
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			all = append(all, e.Name()+"="+to)
		}
	}
	return all
}

func children() string {
	var all strings.Builder
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		all.Write(text)
	}
	return strings.TrimSpace(all.String())
}
