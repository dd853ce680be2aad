package gatehouse_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// unruly are scripts that misbehave, and what whoever asks for them gets.
var unruly = []struct {
	name, python, perl string
	status             int
	keys               string // of their route
}{
	{"daemon (A99, F37)", "import os, sys, time\n" + header + "sys.stdout.flush()\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        os.closerange(0, 10)\n        time.sleep(600)\n    os._exit(0)\n",
		"use POSIX ();\n" + perlHeader + "if (!fork) { POSIX::setsid(); if (!fork) { POSIX::close($_) for 0 .. 9; sleep 600 } POSIX::_exit(0) }\n", 200, ""},
	{"child that holds the output (A99)", "import os, time\n" + header + "if os.fork() == 0:\n    time.sleep(600)\n", perlHeader + "if (!fork) { sleep 600 }\n", 200, `linger = "200ms"`},
	{"silence (A101)", "import time\ntime.sleep(600)\n", "sleep 600;\n", 504, `header_timeout = "1s"`},
	{"deafness (A101)", "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True:\n    time.sleep(600)\n", "$SIG{TERM} = 'IGNORE';\nsleep 600 while 1;\n", 504, `header_timeout = "1s"`},
	{"a stopped process (A101)", "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\n", "kill 'STOP', $$;\n", 504, `header_timeout = "1s"`},
	{"processor time (F34)", "while True:\n    pass\n", "1 while 1;\n", 502, `cpu = "1s"`},
	{"memory (F34)", "x = bytearray(1 << 30)\n", "my $n = 1 << 30;\nmy $x = 'x' x $n;\n", 502, `memory = "400MiB"`},
	{"killing its group", "import os, signal\nos.kill(0, signal.SIGKILL)\n", "kill 'KILL', -getpgrp;\n", 502, ""},
	{"crash", "import os\nos.abort()\n", "kill 'SEGV', $$;\n", 502, ""},
	{"closing everything", "import os, sys\n" + header + "sys.stdout.flush()\nos.closerange(0, 1 << 16)\n", "use POSIX ();\n$| = 1;\n" + perlHeader + "POSIX::close($_) for 0 .. 1000;\n", 200, ""},
	{"another program in its place (A96)", "import os\nos.execv('/bin/sh', ['sh', '-c', 'echo Content-Type: text/plain; echo; echo replaced; sleep 600 </dev/null >/dev/null 2>&1 & exit 0'])\n", "exec 'echo Content-Type: text/plain; echo; echo replaced; sleep 600 </dev/null >/dev/null 2>&1 & exit 0';\n", 200, ""},
}

const perlHeader = "print \"Content-Type: text/plain\\n\\n\";\n"

// TestWarmUnruly asks for scripts that misbehave. Each does it to itself alone: nothing is
// left of it, and the next requests are answered, warm.
func TestWarmUnruly(t *testing.T) {
	need(t, "perl", "python3")
	h := newHost(t, fronts[0])
	h.warm = "warm = true"
	routes := aRoute("/cgi-bin/", fmt.Sprintf("cgi = %q", h.scripts+"/"))
	for n, u := range unruly {
		write(t, filepath.Join(h.scripts, fmt.Sprint(n, ".py")), "#!/usr/bin/python3\n"+u.python, 0o755)
		write(t, filepath.Join(h.scripts, fmt.Sprint(n, ".pl")), "#!/usr/bin/perl\n"+u.perl, 0o755)
		routes += aRoute(fmt.Sprintf("/%d/", n), fmt.Sprintf("cgi = %q", h.scripts+"/"), `kill_grace = "200ms"`, u.keys)
	}
	for name, text := range warmHellos {
		write(t, filepath.Join(h.scripts, name), text, 0o755)
	}
	h.up(t, fronts[0], routes)
	h.warmed(t, "/cgi-bin/hello.py", "/cgi-bin/hello.pl")
	for n, u := range unruly {
		for _, ext := range []string{".py", ".pl"} {
			t.Run(u.name+ext, func(t *testing.T) {
				path := fmt.Sprintf("/%d/%d%s", n, n, ext)
				h.askWarm(t, request{path: path, status: u.status}, "its helper ")
				h.noneLeft(t)
				h.hellos(t, 2, 4)
			})
		}
	}
	log, err := os.ReadFile(h.path("error.log"))
	if err != nil || strings.Contains(string(log), "helper fails") {
		t.Errorf("%v; a helper has failed: %s", err, clip(string(log)))
	}
}
