package gatehouse_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// versions of a script, all of one length, that say who they are at both ends.
var versioned = map[string]func(n int) string{
	"version.py": func(n int) string {
		return fmt.Sprintf("#!/usr/bin/python3\n%sprint(%06d0)\n%sprint(%06d0)\n", header, 100000+n, strings.Repeat("# padding that takes its time\n", 500), 100000+n)
	},
	"version.pl": func(n int) string {
		return fmt.Sprintf("#!/usr/bin/perl\nprint \"Content-Type: text/plain\\n\\n\", %06d0, \"\\n\";\n%sprint %06d0, \"\\n\";\n", 100000+n, strings.Repeat("# padding that takes its time\n", 500), 100000+n)
	},
}

// TestWarmReplaced has scripts replaced under load, each time by one of the same size and
// the same times. No request sees parts of two, and none an older one than there was when
// it was made.
func TestWarmReplaced(t *testing.T) {
	first := map[string]string{}
	for name, version := range versioned {
		first[name] = version(0)
	}
	h := warmHost(t, "", first)
	h.warmed(t, "/cgi-bin/version.py", "/cgi-bin/version.pl")
	for name, version := range versioned {
		t.Run(name, func(t *testing.T) { h.replaced(t, name, version) })
	}
	h.noneLeft(t)
}

func (h *host) replaced(t *testing.T, name string, version func(int) string) {
	const last = 40
	var current atomic.Int64
	over := make(chan struct{})
	ask := func() {
		least := current.Load()
		got, err := h.do(request{path: "/cgi-bin/" + name})
		if err != nil {
			t.Error(err)
			return
		}
		words := strings.Fields(got.body)
		if got.status != 200 || len(words) != 2 || words[0] != words[1] {
			t.Errorf("status %d, body %q", got.status, clip(got.body))
			return
		}
		if n, err := strconv.ParseInt(words[0], 10, 64); err != nil || n/10-100000 < least {
			t.Errorf("version %q was seen after version %d was there", words[0], least)
		}
	}
	var clients sync.WaitGroup
	for range 3 {
		clients.Go(func() {
			for !t.Failed() {
				select {
				case <-over:
					return
				default:
					ask()
				}
			}
		})
	}
	when := time.Now().Add(-time.Hour)
	path, next := filepath.Join(h.scripts, name), h.path("next")
	for n := 1; n <= last && !t.Failed(); n++ {
		write(t, next, version(n), 0o755)
		if err := os.Chtimes(next, when, when); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, path); err != nil {
			t.Fatal(err)
		}
		current.Store(int64(n))
		for range 3 { // often enough for its code to be kept
			ask()
		}
	}
	close(over)
	clients.Wait()
}

// TestWarmRewritten has a module beside a script, and one of a folder that the interpreter
// is told of and loads ahead, written anew: the next request sees it.
func TestWarmRewritten(t *testing.T) {
	lib := t.TempDir()
	h := warmHost(t, `preload = ["shared_module", "Shared::Module"]`, map[string]string{
		"user.py": "#!/usr/bin/python3\nimport beside, shared_module\n" + header + "print(beside.text, shared_module.text)\n",
		"user.pl": "#!/usr/bin/perl\nuse lib '.';\nuse Beside;\nuse Shared::Module;\nprint \"Content-Type: text/plain\\n\\n$Beside::text $Shared::Module::text\\n\";\n",
	}, fmt.Sprintf("env = { PYTHONPATH = %q, PERL5LIB = %q }", lib, lib))
	if err := os.Mkdir(filepath.Join(lib, "Shared"), 0o755); err != nil {
		t.Fatal(err)
	}
	rewrite := func(n int) (word string) {
		word = "word" + strings.Repeat("x", n) // a .pyc is known by its source's size and seconds
		write(t, filepath.Join(h.scripts, "beside.py"), fmt.Sprintf("text = %q\n", word), 0o644)
		write(t, filepath.Join(lib, "shared_module.py"), fmt.Sprintf("text = %q\n", word), 0o644)
		write(t, filepath.Join(h.scripts, "Beside.pm"), fmt.Sprintf("package Beside; our $text = '%s'; 1;\n", word), 0o644)
		write(t, filepath.Join(lib, "Shared/Module.pm"), fmt.Sprintf("package Shared::Module; our $text = '%s'; 1;\n", word), 0o644)
		return word
	}
	rewrite(0)
	h.warmed(t, "/cgi-bin/user.py", "/cgi-bin/user.pl")
	for n := 1; n <= 5; n++ {
		word := rewrite(n)
		for _, script := range []string{"/cgi-bin/user.py", "/cgi-bin/user.pl"} {
			for range 2 {
				h.ask(t, request{path: script, status: 200, want: word + " " + word + "\n"})
			}
		}
		if n == 2 {
			h.warmed(t, "/cgi-bin/user.py", "/cgi-bin/user.pl") // with helpers that have loaded the new ones
		}
	}
	h.noneLeft(t)
}
