package gatehouse_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// wrapFailures are what fails with fcgiwrap behind nginx, and what a host there does
// instead.
var wrapFailures = []trial{
	{"no time limit: a stuck script holds its client for ever", nil, one(request{path: "/slow/mute.sh", status: 504})},
	{"what is written is held back until there are 8 KiB of it", nil, streamed},
	{"a job in the background holds the response", nil, func(t *testing.T, h *host) {
		got := h.ask(t, request{path: "/leaving/job.sh", status: 202}) // the job would hold it until it is cut (idle_timeout)
		gone(t, parsePid(t, got.body))
	}},
	{"input and output of more than a pipe's size are a deadlock", nil, one(request{method: "POST", path: "/cgi-bin/greedy.sh", body: strings.Repeat("x", 4<<20),
		status: 200, want: strings.Repeat("\x00", 1<<20) + "4194304\n"})},
	{"a script outlives its client", nil, func(t *testing.T, h *host) {
		conn := h.dial(t)
		fmt.Fprint(conn, get("/cgi-bin/wait.sh"))
		pid := readPid(t, answerBody(t, conn))
		conn.Close()
		gone(t, pid)
	}},
	{"a script's children outlive it", nil, func(t *testing.T, h *host) {
		conn := h.dial(t)
		fmt.Fprint(conn, get("/cgi-bin/family.sh"))
		body := answerBody(t, conn)
		child, session := readPid(t, body), readPid(t, body)
		conn.Close()
		gone(t, child)
		gone(t, session)
	}},
	{"one script for each worker: slow ones keep all others out", nil, slowOnes},
	{"it runs whatever SCRIPT_FILENAME says", nil, scriptFilename},
	{"what a script says on standard error is lost", nil, func(t *testing.T, h *host) {
		h.ask(t, request{path: "/cgi-bin/silent.sh", status: 502})
		if !eventually(func() bool { return strings.Contains(tail(h.path("error.log")), "nothing to say") }) {
			t.Errorf("the log has no word of it:\n%s", tail(h.path("error.log")))
		}
	}},
	{"a body of unknown length is lost", cPrograms, func(t *testing.T, h *host) { bodies(t, h, true) }},
	{"everybody may use its socket", nil, func(t *testing.T, h *host) {
		info, err := os.Stat(h.path("gateway.sock"))
		if err != nil || info.Mode().Perm() != 0o660 {
			t.Errorf("%v, %v; want mode 0660 (F48)", info.Mode(), err)
		}
	}},
}

// TestInsteadOfFcgiwrap has each of wrapFailures through nginx.
func TestInsteadOfFcgiwrap(t *testing.T) {
	t.Parallel()
	f := frontNamed(t, "nginx fastcgi")
	need(t, f.needs...)
	f.server = nginx("", nginxFastCGI+"fastcgi_request_buffering off; fastcgi_buffering off; fastcgi_param SCRIPT_FILENAME /bin/sh;")
	h := startHost(t, f, backs[0])
	for _, tr := range wrapFailures {
		t.Run(tr.name, func(t *testing.T) {
			need(t, tr.needs...)
			defer h.settled(t)
			tr.run(t, h)
		})
	}
}

// slowOnes: while scripts sleep, files are served, and scripts of other routes run. If they
// waited for the others, it would be until they are refused (queue_timeout).
func slowOnes(t *testing.T, h *host) {
	for range 3 {
		conn := h.dial(t)
		fmt.Fprint(conn, get("/cgi-bin/wait.sh"))
		readPid(t, answerBody(t, conn))
	}
	h.ask(t, request{path: "/", status: 200, want: "<p>static\n"})
	h.ask(t, request{path: "/exact/hello.sh", status: 200, want: "hello\n"})
}

// scriptFilename: nginx names /bin/sh, which would run what it is sent (B72).
func scriptFilename(t *testing.T, h *host) {
	mark := h.path("ran")
	got, err := h.do(request{method: "POST", path: "/cgi-bin/hello.sh", body: "touch " + mark + "\n"})
	if err != nil || got.status != 200 || got.body != "hello\n" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("what SCRIPT_FILENAME says was run")
	}
}

// TestSocketLeftBehind: a socket that nobody listens on any more does not keep a host
// from starting, as it keeps fcgiwrap; one that is in use does.
func TestSocketLeftBehind(t *testing.T) {
	f := front{listen: "fastcgi:" + onUnix}
	h := newHost(t, f)
	h.installScripts(t)
	ln, err := net.Listen("unix", h.path("gateway.sock"))
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	ln.Close()
	h.up(t, f, h.routes(backs[0]))

	second := exec.Command(binary, "serve", "-c", h.path("gatehouse.toml"))
	if out, err := second.CombinedOutput(); err == nil || !strings.Contains(string(out), "gateway.sock") {
		t.Errorf("a second host on the same socket: %v\n%s", err, out)
	}
	if !accepts(h.path("gateway.sock")) {
		t.Error("the second took the socket from the first")
	}
}

// TestScriptsEndWithTheHost: a host that is told to end takes its scripts with it, as
// fcgiwrap does not.
func TestScriptsEndWithTheHost(t *testing.T) {
	need(t, "nginx")
	f := frontNamed(t, "nginx fastcgi")
	h := newHost(t, f)
	h.installScripts(t)
	var pids []int
	t.Cleanup(func() { // after the host has stopped
		for _, program := range h.tagged() { // not by its number, which may be another's by now
			t.Errorf("process %s outlives the host", program)
		}
		if len(pids) != 4 {
			t.Errorf("there were %d processes to be ended, want 4", len(pids))
		}
	})
	h.up(t, f, h.routes(backs[0]))
	for range 2 {
		conn := h.dial(t)
		t.Cleanup(func() { conn.Close() })
		fmt.Fprint(conn, get("/cgi-bin/family.sh"))
		body := answerBody(t, conn)
		pids = append(pids, readPid(t, body), readPid(t, body))
	}
}
