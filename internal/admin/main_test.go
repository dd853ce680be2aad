package admin_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// long is when a test gives up on what should have happened at once.
const long = 2 * time.Minute

func TestMain(m *testing.M) {
	if ln, err := net.Listen("tcp", "127.0.0.1:0"); err == nil { // opens what the poller keeps
		_ = ln.Close()
	}
	before := descriptors()
	code := m.Run()
	if err := leaks(before); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "left behind:", err)
		code = 1
	}
	os.Exit(code)
}

// leaks tells what all the tests together have left.
func leaks(before int) (err error) {
	for end := time.Now().Add(long); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		err = goleak.Find()
		if now := descriptors(); now > before {
			err = fmt.Errorf("%d descriptors, %d before the tests", now, before)
		}
		if pids := children(); pids != "" {
			err = fmt.Errorf("children %s", pids)
		}
		if err == nil {
			return nil
		}
	}
	return err
}

func descriptors() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

func children() string {
	var all []string
	files, _ := filepath.Glob("/proc/self/task/*/children")
	for _, name := range files {
		text, _ := os.ReadFile(name)
		all = append(all, strings.Fields(string(text))...)
	}
	return strings.Join(all, " ")
}

// eventually polls until what holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(long); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", long, what)
		}
	}
}
