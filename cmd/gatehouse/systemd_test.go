package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// manager is systemd as a service sees it: a socket that takes what sd_notify(3) sends.
type manager struct {
	conn *net.UnixConn
	path string
	got  []string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &manager{conn: conn, path: path}
}

// await waits for a message that matches, and returns what its parentheses match.
func (m *manager) await(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	if err := m.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	for {
		n, err := m.conn.Read(b)
		if err != nil {
			t.Fatalf("no %q came, but %q", pattern, m.got)
		}
		m.got = append(m.got, string(b[:n]))
		if found := re.FindStringSubmatch(string(b[:n])); found != nil {
			return found
		}
	}
}

// now returns a message that has come, "" if none has.
func (m *manager) now(t *testing.T) (text string) {
	t.Helper()
	raw, err := m.conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	if err := raw.Control(func(fd uintptr) {
		if n, _, err := syscall.Recvfrom(int(fd), b, syscall.MSG_DONTWAIT); err == nil {
			text = string(b[:n])
		}
	}); err != nil {
		t.Fatal(err)
	}
	return text
}

// managed starts gatehouse as a service with a watchdog. It and its successors are gone
// when the test is over.
func managed(t *testing.T, m *manager, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `WATCHDOG_PID=$$ exec gatehouse serve -c g.toml`)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GORACE="+noSleep, "NOTIFY_SOCKET="+m.path, "WATCHDOG_USEC=20000000")
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	reaped := make(chan struct{})
	go func() { _ = cmd.Wait(); close(reaped) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-reaped
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("log:\n%s", text)
		}
	})
	return cmd
}

// What systemd is told, in the life of a service: sd_notify(3), systemd.service(5) on
// Type=notify-reload.
func TestNotify(t *testing.T) {
	dir := t.TempDir()
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "new"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "g.toml")); err != nil {
			t.Fatal(err)
		}
	}
	good := fmt.Sprintf("listen = ['%s:0']\ncontrol = 'c.sock'\n[[site]]\nroot = '.'\n", ownLoopback())
	put(good)
	m := newManager(t)
	cmd := managed(t, m, dir)
	pid := cmd.Process.Pid
	m.await(t, `^READY=1\nSTATUS=serving g\.toml \(1 site\) on `+regexp.QuoteMeta(ownLoopback())+`:0$`)
	m.await(t, `^WATCHDOG=1$`)

	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	usec := m.await(t, `^RELOADING=1\nMONOTONIC_USEC=([0-9]+)$`)[1]
	if n, err := strconv.ParseInt(usec, 10, 64); err != nil || n <= 0 {
		t.Errorf("MONOTONIC_USEC: got %q", usec)
	}
	m.await(t, `^READY=1\nSTATUS=serving`)

	put("bad = 1\n" + good)
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	m.await(t, `^RELOADING=1\n`)
	m.await(t, `^READY=1\nSTATUS=the last reload failed: g\.toml:1:1: bad: unknown key`)
	put(good)

	if err := syscall.Kill(pid, syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	// The successor says so as well, before the first hands it over.
	m.await(t, `^READY=1\nSTATUS=serving`)
	next, err := strconv.Atoi(m.await(t, `^MAINPID=([0-9]+)$`)[1])
	if err != nil || next == pid {
		t.Fatalf("MAINPID: got %d, %v", next, err)
	}
	if err := syscall.Kill(next, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	m.await(t, `^STOPPING=1$`)
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", next))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the successor does not end")
		}
	}
}

// A service whose host does not answer does not reset the watchdog, and goes on doing so
// while it stops.
func TestWatchdog(t *testing.T) {
	m := newManager(t)
	t.Setenv("NOTIFY_SOCKET", m.path)
	t.Setenv("WATCHDOG_USEC", "2000000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	log := new(transcript)
	n := newNotifier(slog.New(slog.NewTextHandler(log, nil)))
	stopping, stop := context.WithCancel(context.Background())
	asked := make(chan struct{})
	n.begin(stopping, "here", func(context.Context) error {
		asked <- struct{}{}
		return errors.New("on purpose")
	})
	m.await(t, `^READY=1\nSTATUS=here$`)
	<-asked
	<-asked // it has told what the first was
	if !strings.Contains(log.String(), "the watchdog is not reset") || !strings.Contains(log.String(), "on purpose") {
		t.Errorf("got %s", log)
	}
	if text := m.now(t); text != "" {
		t.Errorf("systemd was told %q", text)
	}
	stop()
	m.await(t, `^STOPPING=1$|^WATCHDOG=1$`) // in either order
	<-asked
	m.await(t, `^WATCHDOG=1$`)
	ended := make(chan struct{})
	go func() { n.end(); close(ended) }()
	for {
		select {
		case <-asked:
			continue
		case <-ended:
		}
		break
	}
}

// The units in the repository are what systemd understands.
func TestUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("SKIPPED: there is no systemd-analyze: the Debian package systemd is missing (scripts/install-test-packages.sh)")
	}
	program, err := exec.LookPath("gatehouse")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(analyze, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	version := 0
	if _, err := fmt.Sscanf(string(out), "systemd %d", &version); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	dir := t.TempDir()
	const source = "../../packaging/systemd"
	var units []string
	install := func(name string) {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(string(text), "/usr/bin/gatehouse", program)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"gatehouse.service", "gatehouse.socket", "fcgiwrap.service", "fcgiwrap.socket"} {
		install(name)
		units = append(units, filepath.Join(dir, name))
	}
	install("fcgiwrap.service.d/gatehouse.conf")
	unknown := version < 253
	if unknown {
		install("gatehouse.service.d/before-253.conf")
	}
	cmd := exec.Command(analyze, append([]string{"verify", "--man=no"}, units...)...)
	cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":", "SYSTEMD_LOG_LEVEL=warning")
	out, err = cmd.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		switch {
		case !strings.Contains(line, dir) && !strings.Contains(line, "gatehouse") && !strings.Contains(line, "fcgiwrap"): // of the machine's own units
		case unknown && strings.Contains(line, "notify-reload"):
		default:
			t.Errorf("systemd-analyze: %s", line)
		}
	}
	if err != nil && !unknown {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}
