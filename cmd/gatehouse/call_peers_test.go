package main

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// daemon starts a program and ends it with the test.
func daemon(t *testing.T, ready func() bool, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &text, &text, patience
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-done:
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			<-done
		}
	})
	for end := time.Now().Add(patience); !ready(); time.Sleep(5 * time.Millisecond) {
		select {
		case <-done:
			t.Fatalf("%s has ended: %s", name, &text)
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("%s is not ready", name)
		}
	}
}

// shortDir is a temporary folder whose name fits into a socket's address.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func listens(socket string) func() bool {
	return func() bool {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}
}

// The one-liners that people use cgi-fcgi for.
func TestCallPHP(t *testing.T) {
	names, _ := filepath.Glob("/usr/sbin/php-fpm*")
	if len(names) == 0 {
		t.Skip("no php-fpm: install php-fpm")
	}
	dir := shortDir(t)
	socket := dir + "/fpm.sock"
	conf := "[global]\nerror_log = " + dir + "/log\n[www]\nlisten = " + socket + "\npm = static\npm.max_children = 1\npm.status_path = /status\nping.path = /ping\nuser = nobody\ngroup = nogroup\n"
	page := `<?php error_log("a warning"); http_response_code((int)($_GET["s"] ?? 200)); echo $_SERVER["SCRIPT_NAME"], "|", $_SERVER["PATH_INFO"] ?? "none", "|", file_get_contents("php://input");`
	for name, text := range map[string]string{"conf": conf, "i.php": page} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(file, []byte(text), 0o644), os.Chmod(file, 0o644)); err != nil { // another user reads it, whatever the umask is
			t.Fatal(err)
		}
	}
	daemon(t, listens(socket), names[0], "-F", "-R", "-n", "-y", dir+"/conf")
	at := "unix:" + socket
	for _, tt := range []struct {
		name   string
		args   []string
		status int
		want   string // of standard output
	}{
		{"ping", []string{"--ping", at, "/ping", "-t", patience.String()}, 0, `200 OK, "pong"`},
		{"ping without a request", []string{"--ping", at, "-t", patience.String()}, 0, "it answers FCGI_MPXS_CONNS=0"},
		{"status", []string{at, "/status?json"}, 0, `"process manager":"static"`},
		{"script", []string{at, "--script", dir + "/i.php"}, 0, "/i.php|none|"},
		{"path info and body", []string{at, "/i.php/a", "--script", dir + "/i.php", "--root", dir, "-d", "x=y"}, 0, "/i.php|/a|x=y"},
		{"root", []string{at, "/i.php", "--root", dir}, 0, "/i.php|none|"},
		{"failure", []string{at, "/i.php?s=503", "--root", dir}, 1, "/i.php|none|"},
		{"missing", []string{at, "/none.php", "--root", dir}, 0, "File not found."},
	} {
		status, stdout, stderr := calls(t, tt.args...)
		if status != tt.status || !strings.Contains(stdout, tt.want) {
			t.Errorf("%s: exit status %d, %q, want %d and %q\n%s", tt.name, status, stdout, tt.status, tt.want, stderr)
		}
	}
	if _, _, stderr := calls(t, at, "/i.php", "--root", dir); !strings.Contains(stderr, "stderr: PHP message: a warning\n") {
		t.Errorf("no warning in\n%s", stderr)
	}
}

// inC is a program for libfcgi that says what it got and fails on purpose.
const inC = `#include <fcgi_stdio.h>
#include <stdlib.h>
int main(void) {
	while (FCGI_Accept() >= 0) {
		int c, n = 0;
		while ((c = getchar()) != EOF) n++;
		fprintf(stderr, "first\nsecond");
		printf("Content-Type: text/plain\r\n\r\n%s %s %d\n", getenv("FCGI_ROLE"), getenv("REQUEST_URI"), n);
		FCGI_SetExitStatus(7);
	}
	return 0;
}
`

func TestCallLibfcgi(t *testing.T) {
	dir := shortDir(t)
	if err := os.WriteFile(dir+"/p.c", []byte(inC), 0o644); err != nil {
		t.Fatal(err)
	}
	spawn, err := exec.LookPath("spawn-fcgi")
	if err != nil {
		t.Skip("no spawn-fcgi: install spawn-fcgi")
	}
	if _, err := os.Stat("/usr/include/fcgi_stdio.h"); err != nil {
		t.Skip("no libfcgi: install gcc and libfcgi-dev")
	}
	if out, err := exec.Command("gcc", "-o", dir+"/p", dir+"/p.c", "-lfcgi").CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	socket := dir + "/s.sock"
	daemon(t, listens(socket), spawn, "-n", "-s", socket, "--", dir+"/p")
	status, stdout, stderr := calls(t, "unix:"+socket, "/x", "-d", strings.Repeat("x", 200_000), "-t", patience.String())
	if status != 0 || stdout != "RESPONDER /x 200000\n" || !strings.Contains(stderr, "stderr: first\nstderr: second\n") || !strings.Contains(stderr, "application status 7, REQUEST_COMPLETE") {
		t.Errorf("%d %q\n%s", status, stdout, stderr)
	}
	if status, stdout, _ := calls(t, "--ping", "unix:"+socket, "-t", patience.String()); status != 0 || !strings.Contains(stdout, "FCGI_MAX_REQS=1") || !strings.Contains(stdout, "FCGI_MPXS_CONNS=0") {
		t.Errorf("ping: %d %q", status, stdout)
	}
}
