package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// transcript is what a command has written so far.
type transcript struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *transcript) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *transcript) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// activated starts gatehouse as systemd does, with sockets at descriptor 3 and up, and
// returns its standard error once it serves or has ended.
func activated(t *testing.T, names string, sockets []*os.File, args ...string) *transcript {
	t.Helper()
	command := append([]string{"-c", `LISTEN_PID=$$ exec gatehouse "$@"`, "sh"}, args...)
	cmd := exec.Command("/bin/sh", command...)
	cmd.Env = append(os.Environ(), "GORACE="+noSleep, "LISTEN_FDS=2", "LISTEN_FDNAMES="+names)
	cmd.ExtraFiles = sockets
	text := new(transcript)
	cmd.Stderr, cmd.WaitDelay = text, patience
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(patience):
			t.Errorf("it does not end:\n%s", text)
			_ = cmd.Process.Kill()
			<-done
		}
	})
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		select {
		case <-done:
			return text
		default:
		}
		if strings.Contains(text.String(), "Ctrl-C stops it\n") {
			return text
		}
	}
	t.Fatalf("neither ready nor ended:\n%s", text)
	return nil
}

// F46: sockets that systemd passes are served by their names, and those without one by
// what is left over.
func TestSystemdSockets(t *testing.T) {
	dir := t.TempDir()
	var files []*os.File
	for _, name := range []string{"a", "b"} {
		ln, err := net.Listen("unix", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		f, err := ln.(*net.UnixListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	if err := os.WriteFile(filepath.Join(dir, "x.txt"), []byte("served"), 0o644); err != nil {
		t.Fatal(err)
	}
	fetched := func() string {
		var b bytes.Buffer
		if err := fetch(&b, "http://localhost/x.txt", filepath.Join(dir, "a")); err != nil {
			t.Error(err)
		}
		return b.String()
	}
	for _, tt := range []struct {
		name, names string
		listen      []string
		want        string
		serves      bool
	}{
		{"names", "web:app", []string{"fastcgi:systemd:app", "systemd:web"}, `on the Unix socket \S+/b as a FastCGI application, inherited\ngatehouse: on the Unix socket \S+/a, inherited\n`, true},
		{"what is left", "web:app", []string{"scgi:systemd:app", "systemd:"}, `on the Unix socket \S+/b as an SCGI application, inherited\ngatehouse: on the Unix socket \S+/a, inherited\n`, true},
		{"all", "", []string{"systemd:"}, `on the Unix socket \S+/a, inherited\ngatehouse: on the Unix socket \S+/b, inherited\n`, true},
		{"another name", "web:app", []string{"systemd:none"}, `cannot listen on systemd:none: systemd has passed no socket of the name "none", only \["web" "app"\]\n`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := []string{"serve", dir}
			for _, l := range tt.listen {
				args = append(args, "--listen", l)
			}
			if text := activated(t, tt.names, files, args...).String(); !regexp.MustCompile(tt.want).MatchString(text) {
				t.Fatalf("got %s", text)
			}
			if tt.serves && !strings.HasSuffix(fetched(), "\n\nserved") {
				t.Errorf("got %s", fetched())
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "a")); err != nil {
		t.Errorf("a socket of systemd's was removed: %v", err)
	}
}
