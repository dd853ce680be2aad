package fastcgi_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatehouse/cgi"
	"gatehouse/fastcgi"
)

// program is the path of an installed program; without it the test is skipped.
func program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("NOT TESTED: %s is not installed", name)
	}
	return path
}

// spawn runs a program with a listening Unix socket as its descriptor 0, until the test
// ends, and returns the socket's address (B20).
func spawn(t testing.TB, env []string, argv ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	listening, err := ln.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin = listening
	cmd.Env = append([]string{"PATH=/usr/bin:/bin"}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // php has children
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening.Close()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		ln.Close()
		if t.Failed() {
			t.Logf("%s said: %s", argv[0], &stderr)
		}
	})
	return "unix:" + path
}

// compile makes a program of C with libfcgi.
func compile(t testing.TB, source string) string {
	t.Helper()
	gcc := program(t, "gcc")
	if _, err := os.Stat("/usr/include/fcgi_stdio.h"); err != nil {
		t.Skip("NOT TESTED: libfcgi-dev is not installed")
	}
	dir := t.TempDir()
	src := filepath.Join(dir, "x.c")
	if err := os.WriteFile(src, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(gcc, "-O1", "-o", filepath.Join(dir, "x"), src, "-lfcgi").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(dir, "x")
}

// responderC echoes its variables and its input, writes to FCGI_STDERR and ends as asked.
const responderC = `
#include <fcgi_stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
extern char **environ;
int main(void) {
	while (FCGI_Accept() >= 0) {
		char *q = getenv("QUERY_STRING"), buf[8192];
		size_t n;
		if (q && !strcmp(q, "crash")) abort();
		if (q && !strcmp(q, "leave")) _exit(3);
		if (q && !strcmp(q, "silent")) { FCGI_SetExitStatus(9); continue; }
		if (q && !strcmp(q, "slow")) sleep(30);
		fprintf(stderr, "note to the log\n");
		printf("Content-Type: text/plain\r\n\r\n%s|", getenv("SCRIPT_NAME"));
		if (q && !strcmp(q, "early")) { printf("early"); continue; }
		while ((n = fread(buf, 1, sizeof buf, stdin)) > 0) fwrite(buf, 1, n, stdout);
	}
	return 0;
}`

func scripted(method, query, body string) *cgi.Request {
	req := ask(method, body)
	req.Env.Set("SCRIPT_NAME", "/x")
	req.Env.Set("QUERY_STRING", query)
	return req
}

// libfcgi, over one kept connection (C programs; FCGI_Accept).
func TestLibfcgiResponder(t *testing.T) {
	addr := spawn(t, nil, compile(t, responderC))
	tr, log := transport(t, nil, addr)
	wantPage(t, tr, scripted("GET", "", ""), "/x|")
	wantPage(t, tr, scripted("POST", "", "body"), "/x|body")
	big := strings.Repeat("0123456789abcdef", 128<<10) // 2 MiB in and out at once (B26)
	wantPage(t, tr, scripted("POST", "", big), "/x|"+big)
	wantPage(t, tr, scripted("POST", "early", big), "/x|early") // B27
	wantPage(t, tr, scripted("GET", "", ""), "/x|")
	_, _, err := answer(t, tr, scripted("GET", "silent", ""))
	wantError(t, err, cgi.NoOutput, "it printed nothing; app status 9")
	if !strings.Contains(log.String(), `line="note to the log"`) {
		t.Errorf("log %q", log)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err = tr.Respond(ctx, scripted("GET", "slow", ""))
	wantError(t, err, cgi.Timeout, "the request's time was over")
}

// It dies, in two ways.
func TestLibfcgiDies(t *testing.T) {
	exe := compile(t, responderC)
	for _, query := range []string{"crash", "leave"} {
		tr, _ := transport(t, nil, spawn(t, nil, exe))
		wantPage(t, tr, scripted("GET", "", ""), "/x|")
		_, _, err := answer(t, tr, scripted("POST", query, "x"))
		wantError(t, err, cgi.NoOutput, "it closed the connection without an answer")
	}
}

// authorizerC lets pass who has the cookie.
const authorizerC = `
#include <fcgi_stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void) {
	while (FCGI_Accept() >= 0) {
		char *c = getenv("HTTP_COOKIE");
		if (getenv("CONTENT_LENGTH") || getenv("PATH_INFO")) printf("Status: 500\r\n\r\n");
		else if (c && !strcmp(c, "ok")) printf("Status: 200\r\nVariable-REMOTE_USER: anna\r\n\r\n");
		else printf("Status: 403\r\nContent-Type: text/plain\r\n\r\n%s says no", getenv("FCGI_ROLE"));
	}
	return 0;
}`

func TestLibfcgiAuthorizer(t *testing.T) {
	tr, _ := transport(t, func(tr *fastcgi.Transport) { tr.Role = fastcgi.RoleAuthorizer }, spawn(t, nil, compile(t, authorizerC)))
	g := &fastcgi.Authorizer{Authorizer: tr, Next: cgi.ResponderFunc(func(_ context.Context, req *cgi.Request) (*cgi.Response, error) {
		return nil, &cgi.Error{Kind: cgi.NotFound, Reason: req.Env.Get("REMOTE_USER")}
	})}
	req := ask("POST", "x")
	req.Env.Set("PATH_INFO", "/p")
	if status, body, err := answer(t, g, req); status != 403 || body != "AUTHORIZER says no" || err != nil {
		t.Errorf("%d %q %v", status, body, err)
	}
	req.Env.Set("HTTP_COOKIE", "ok")
	_, _, err := answer(t, g, req)
	wantError(t, err, cgi.NotFound, "anna")
}

// filterC sends its file in capitals, behind what it read from its input.
const filterC = `
#include <fcgi_stdio.h>
#include <stdlib.h>
#include <ctype.h>
int main(void) {
	while (FCGI_Accept() >= 0) {
		int c;
		printf("Content-Type: text/plain\r\n\r\n%s ", getenv("FCGI_DATA_LENGTH"));
		while ((c = getchar()) != EOF) putchar(c);
		if (FCGI_StartFilterData() < 0) { printf("no data"); continue; }
		while ((c = getchar()) != EOF) putchar(toupper(c));
	}
	return 0;
}`

func TestLibfcgiFilter(t *testing.T) {
	tr, _ := transport(t, func(tr *fastcgi.Transport) { tr.Role = fastcgi.RoleFilter }, spawn(t, nil, compile(t, filterC)))
	for range 2 {
		req := ask("POST", "in:")
		req.Env.Set("PATH_TRANSLATED", fileWith(t, "some text"))
		wantPage(t, tr, req, "9 in:SOME TEXT")
	}
	big := strings.Repeat("abcdefgh", 64<<10)
	req := ask("GET", "")
	req.Env.Set("PATH_TRANSLATED", fileWith(t, big))
	wantPage(t, tr, req, strconv.Itoa(len(big))+" "+strings.ToUpper(big))
}

// php-cgi: parameters record by record (B25), kept connections, its own way to end (B28).
func TestPHP(t *testing.T) {
	php := program(t, "php-cgi")
	dir := t.TempDir()
	script := filepath.Join(dir, "x.php")
	source := `<?php
if ($_SERVER['QUERY_STRING'] === 'fatal') { error_log('to the log'); nosuch(); }
if ($_SERVER['QUERY_STRING'] === 'finish') { echo 'sent'; fastcgi_finish_request(); sleep(1); exit; }
header('X-Keep: ' . getmypid());
echo strlen($_SERVER['HTTP_X_LONG'] ?? ''), '|', $_SERVER['REQUEST_METHOD'], '|', strlen(file_get_contents('php://input')), '|', count($_SERVER) > 40 ? 'many' : 'few';`
	if err := os.WriteFile(script, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	addr := spawn(t, []string{"PHP_FCGI_MAX_REQUESTS=50"}, php, "-d", "log_errors=1", "-d", "error_log=", "-d", "html_errors=0")
	tr, log := transport(t, nil, addr)
	with := func(method, query, body string, long int) *cgi.Request {
		req := ask(method, body)
		req.Env.Set("SCRIPT_FILENAME", script)
		req.Env.Set("REDIRECT_STATUS", "200")
		req.Env.Set("QUERY_STRING", query)
		if long > 0 {
			for n := range 60 { // pairs that end everywhere about the end of a record
				req.Env.Set("HTTP_X_"+strconv.Itoa(n), strings.Repeat("v", 1000+n))
			}
			req.Env.Set("HTTP_X_LONG", strings.Repeat("l", long))
		}
		return req
	}
	wantPage(t, tr, with("GET", "", "", 0), "0|GET|0|few")
	for _, long := range []int{60000, 65000, 65510} {
		wantPage(t, tr, with("GET", "", "", long), strconv.Itoa(long)+"|GET|0|many")
	}
	wantPage(t, tr, with("POST", "", strings.Repeat("x", 1<<20), 0), "0|POST|1048576|few")
	for range 60 { // it leaves after 50, between two requests: none is lost
		wantPage(t, tr, with("GET", "", "", 0), "0|GET|0|few")
		if tr.Status().Endpoints[0].Served >= 49 {
			break
		}
	}
	status, _, err := answer(t, tr, with("GET", "fatal", "", 0))
	if status != 500 || err != nil || !strings.Contains(log.String(), "to the log") || !strings.Contains(log.String(), "nosuch") {
		t.Errorf("status %d, %v, log %q", status, err, log)
	}
}

// php-fpm's way with its children: it closes the connection after its last request.
func TestPHPMaxRequests(t *testing.T) {
	php := program(t, "php-cgi")
	script := filepath.Join(t.TempDir(), "x.php")
	if err := os.WriteFile(script, []byte(`<?php echo getmypid();`), 0o644); err != nil {
		t.Fatal(err)
	}
	// The children of one php-cgi are replaced one after the other.
	addr := spawn(t, []string{"PHP_FCGI_MAX_REQUESTS=20", "PHP_FCGI_CHILDREN=2"}, php)
	tr, _ := transport(t, func(tr *fastcgi.Transport) { tr.Connections = 2 }, addr)
	pids := map[string]bool{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 30 {
				req := ask("GET", "")
				req.Env.Set("SCRIPT_FILENAME", script)
				req.Env.Set("REDIRECT_STATUS", "200")
				status, body, err := answer(t, tr, req)
				if status != 200 || err != nil {
					t.Errorf("status %d, %v", status, err)
				}
				mu.Lock()
				pids[body] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(pids) < 5 {
		t.Errorf("%d children, want about 12", len(pids))
	}
}

// Perl's FCGI.pm.
func TestPerlFCGI(t *testing.T) {
	perl := program(t, "perl")
	if err := exec.Command(perl, "-MFCGI", "-e", "1").Run(); err != nil {
		t.Skip("NOT TESTED: libfcgi-perl is not installed")
	}
	script := filepath.Join(t.TempDir(), "x.pl")
	source := `use strict; use FCGI;
my $n = 0;
my $r = FCGI::Request();
while ($r->Accept() >= 0) {
	$n++;
	print STDERR "request $n\n";
	print "Content-Type: text/plain\n\n$ENV{QUERY_STRING}|";
	read(STDIN, my $body, $ENV{CONTENT_LENGTH} || 0);
	print length($body // ''), "|$n";
}
`
	if err := os.WriteFile(script, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	tr, log := transport(t, nil, spawn(t, nil, perl, script))
	wantPage(t, tr, scripted("GET", "a", ""), "a|0|1")
	wantPage(t, tr, scripted("POST", "b", strings.Repeat("x", 300000)), "b|300000|2")
	wantPage(t, tr, scripted("GET", "c", ""), "c|0|3")
	if !strings.Contains(log.String(), `line="request 3"`) {
		t.Errorf("log %q", log)
	}
	if n := tr.Status().Endpoints[0]; n.Idle != 1 {
		t.Errorf("%+v", n)
	}
}

// A health check of a real application of one process, whose one connection is kept.
func TestLibfcgiHealth(t *testing.T) {
	addr := spawn(t, nil, compile(t, responderC))
	tr, _ := transport(t, func(tr *fastcgi.Transport) {
		tr.Health = fastcgi.Health{Interval: 10 * time.Millisecond, Timeout: longEnough, Path: "/ping"}
	}, addr)
	for range 20 {
		wantPage(t, tr, scripted("GET", "", ""), "/x|")
		time.Sleep(3 * time.Millisecond)
	}
	if sick := tr.Status().Endpoints[0].Sick; sick != "" {
		t.Error(sick)
	}
}
