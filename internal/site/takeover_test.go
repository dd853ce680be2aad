package site_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/internal/site"
)

// takeVariable has the test binary be a process that takes over the sockets of the names
// in it.
const takeVariable = "SITE_TEST_TAKE"

func takeOver() {
	names := strings.Split(os.Getenv(takeVariable), "|")
	for _, name := range append(names, names[0]) {
		ln, err := site.TakeListener(name)
		switch {
		case err != nil:
			fmt.Print(err)
			return
		case ln != nil:
			fmt.Print(filepath.Base(ln.Addr().String()), "|")
			_ = ln.Close()
		default:
			fmt.Print("none|")
		}
	}
	site.DropSockets()
	if exists(os.Getenv("LEFT")) {
		fmt.Print("left over there")
		return
	}
	fmt.Print("left over gone")
}

// A process that takes over finds its sockets by their names, once, whatever is in them;
// what nobody asks for is closed, and its file removed.
func TestTakeListener(t *testing.T) {
	dir := t.TempDir()
	names := []string{"unix " + dir + "/a,b:c %", "control x", "left over"}
	var sockets []site.Socket
	for n, name := range names {
		ln, err := net.Listen("unix", filepath.Join(dir, string(rune('a'+n))))
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		ln.(*net.UnixListener).SetUnlinkOnClose(false)
		f, err := site.CopyListener(ln)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		sockets = append(sockets, site.Socket{Name: name, File: f})
	}
	for _, tt := range []struct {
		name, variable string
		want           string
	}{
		{"all", site.SocketsVariable(sockets, 3), "a|b|none|left over gone"},
		{"none", site.SocketsVariable(nil, 3), "none|none|none|left over there"},
		{"no number", "GATEHOUSE_LISTENERS=x:y", `site: bad GATEHOUSE_LISTENERS: "x:y"`},
		{"standard input", "GATEHOUSE_LISTENERS=x:0", `site: bad GATEHOUSE_LISTENERS: "x:0"`},
		{"no name", "GATEHOUSE_LISTENERS=:3", `site: bad GATEHOUSE_LISTENERS: ":3"`},
		{"no file", "GATEHOUSE_LISTENERS=control+x:99", "file descriptor"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "none" { // what "all" removed
				if err := os.WriteFile(filepath.Join(dir, "c"), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", takeVariable+"="+strings.Join(names[:2], "|"), "LEFT="+filepath.Join(dir, "c"), tt.variable)
			for _, s := range sockets {
				cmd.ExtraFiles = append(cmd.ExtraFiles, s.File)
			}
			out, err := cmd.CombinedOutput()
			if got := string(out); err != nil || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}
