package gatehouse_test

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"net"
	"net/http"
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

// A host is a running gatehouse with its folders.
type host struct {
	dir     string // holds all of the following
	htdocs  string
	scripts string
	spool   string // spool_dir, to be empty
	temp    string // TMPDIR, to be empty
	tag     string // INTEGRATION_RUN in the environment of every program
	warm    string // the keys about warm scripts, at the top of the configuration; "" for none of them
	gateway string // its own listener: host:port, or unix:/path
	server  string // host:port that clients connect to
	client  *http.Client
	idle    []string // its open files but sockets when nothing is asked of it
	fronted bool     // it is not the host that clients connect to
	lacks   string   // a variable that the server in front does not tell
	adds    string   // a variable that it makes of a field by itself
	kept    int      // connections that may stay open
	front   front
	inner   *host // the host behind it, if there is one
	outer   *host // the host that it is behind, if there is one

	cmd     *exec.Cmd
	mu      sync.Mutex
	said    bytes.Buffer // its standard error
	started chan string  // the address that its start-up lines name
	silent  chan struct{}

	dialed []net.Conn // by the trial that runs
}

// startHost starts the program with a configuration for all trials, what stands in
// front of it and what behind, and stops all of it when the test ends.
func startHost(t *testing.T, f front, b back) *host {
	t.Helper()
	h := newHost(t, f)
	h.installScripts(t)
	if b.listen != "" {
		h.inner = h.behind(t, b)
	}
	h.up(t, f, h.routes(b))
	h.good(t)
	h.client.CloseIdleConnections()
	h.idle = h.quiet()
	if h.inner != nil {
		h.inner.idle = h.inner.quiet()
	}
	return h
}

// up starts the program with routes, and what stands in front of it.
func (h *host) up(t *testing.T, f front, routes string) {
	t.Helper()
	if f.tls {
		writeCertificate(t, h.path("host.pem"))
	}
	write(t, h.path("gatehouse.toml"), h.configuration(f)+routes, 0o644)
	h.start(t)
	t.Cleanup(func() { h.stop(t) })
	h.server = h.gateway
	if f.server != nil {
		h.server = f.server(t, h)
	}
}

// newHost makes the folders of a host. What stands in front of it may run as somebody
// else, and has to get at them.
func newHost(t *testing.T, f front) *host {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	h := &host{
		dir: dir, htdocs: filepath.Join(dir, "htdocs"), scripts: filepath.Join(dir, "cgi-bin"),
		spool: filepath.Join(dir, "spool"), temp: filepath.Join(dir, "tmp"),
		tag: fmt.Sprintf("%d-%d", os.Getpid(), time.Now().UnixNano()), kept: f.kept, fronted: f.server != nil, lacks: f.lacks, adds: f.adds, front: f,
		started: make(chan string, 1), silent: make(chan struct{}),
		client: &http.Client{
			Timeout:       2 * time.Minute,
			Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 256, DialContext: dialForClient},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	for _, d := range []string{h.htdocs, h.scripts, h.spool, h.temp, h.path("git"), h.path("awstats")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// behind starts a second host, which runs the programs for h.
func (h *host) behind(t *testing.T, b back) *host {
	t.Helper()
	f := front{listen: fill(b.listen, "{dir}", h.dir), kept: 64}
	inner := newHost(t, f)
	inner.htdocs, inner.scripts, inner.tag, inner.outer = h.htdocs, h.scripts, h.tag, h
	inner.up(t, f, inner.routes(backs[0]))
	return inner
}

func (h *host) path(name string) string { return filepath.Join(h.dir, name) }

func (h *host) url(path string) string { return "http://" + h.server + path }

// write makes a file. No child of another test may be begun meanwhile: it would have the
// file open for writing until its exec, and nobody could execute it (ETXTBSY).
func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
}

// installScripts fills the folder of scripts: from testdata, compiled, and those that
// would not survive in a repository.
func (h *host) installScripts(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob("testdata/cgi-bin/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("testdata/cgi-bin: %d files, %v", len(files), err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(h.scripts, filepath.Base(f)), string(text), 0o755)
	}
	write(t, filepath.Join(h.scripts, "crlf.sh"), "#!/bin/sh\r\necho 'Content-Type: text/plain'\r\n", 0o755)
	write(t, filepath.Join(h.scripts, "homeless.sh"), "#!/nonexistent/interpreter\nthe secret source\n", 0o755)
	write(t, filepath.Join(h.scripts, "shy.sh"), "#!/bin/sh\necho the secret source\n", 0o644)
	write(t, filepath.Join(h.htdocs, "index.html"), "<p>static\n", 0o644)
	for name, path := range compiled(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(h.scripts, name), string(text), 0o755)
	}
}

// compiled returns where each program in C of testdata/c is; none without a compiler.
func compiled(t *testing.T) map[string]string {
	t.Helper()
	if _, ok := installed(cPrograms...); !ok {
		return nil
	}
	programs, err := compileOnce()
	if err != nil {
		t.Fatal(err)
	}
	return programs
}

var compileOnce = sync.OnceValues(func() (map[string]string, error) {
	sources, err := filepath.Glob("testdata/c/*.c")
	programs := map[string]string{}
	for _, src := range sources {
		name := strings.TrimSuffix(filepath.Base(src), ".c")
		programs[name] = filepath.Join(filepath.Dir(binary), name)
		if out, err := compile(programs[name], src); err != nil {
			return nil, fmt.Errorf("gcc %s: %v\n%s", src, err, out)
		}
	}
	return programs, err
})

func compile(to, src string, libraries ...string) (out []byte, err error) {
	args := append([]string{"-Wall", "-Wextra", "-Werror", "-O1", "-o", to, src}, libraries...)
	return exec.Command("gcc", args...).CombinedOutput()
}

// configuration is the text of the configuration file, up to the routes of its site.
func (h *host) configuration(f front) string {
	var text strings.Builder
	fmt.Fprintf(&text, "listen = [%q]\nlog = %q\naccess_log = %q\n", fill(f.listen, "{dir}", h.dir), h.path("error.log"), h.path("access.log"))
	fmt.Fprintln(&text, cmp.Or(h.warm, "warm = false"))
	text.WriteString(fill(f.keys, "{dir}", h.dir))
	if f.mode != "" {
		fmt.Fprintf(&text, "listen_mode = %q\n", f.mode)
	}
	if f.listen != onTCP { // B73
		fmt.Fprintf(&text, "trusted_proxies = [\"unix\", \"127.0.0.1\"]\n")
	}
	fmt.Fprintf(&text, "spool_dir = %q\nspool_memory = \"64KiB\"\nqueue_timeout = \"60s\"\n", h.spool)
	fmt.Fprintf(&text, "shutdown_timeout = \"5s\"\nenv = { INTEGRATION_RUN = %q }\n\n[[site]]\nroot = %q\n", h.tag, h.htdocs)
	return text.String()
}

// routes are the routes of all trials: with the programs, or with the host behind this
// one that has them. Some keys are for one kind only. The short times are on routes of
// their own, so that nothing meets them that is only slow.
func (h *host) routes(b back) string {
	var text strings.Builder
	shared := h
	if h.outer != nil {
		shared = h.outer
	}
	route := func(path, program, forProgram, forAll string) {
		keys := fill(b.keys, "{dir}", h.dir)
		if b.keys == "" {
			keys = fmt.Sprintf("cgi = %q\n  %s", program, forProgram)
		}
		fmt.Fprintf(&text, "\n  [[site.route]]\n  path = %q\n  %s\n  %s\n", path, keys, forAll)
	}
	route("/cgi-bin/", h.scripts+"/", `linger = "20s"`, "")
	route("/leaving/", h.scripts+"/", `linger = "500ms"`, "")
	route("/nph/", h.scripts+"/", "nph = true", "")
	route("/small/", h.scripts+"/", "", `max_body = "1MiB"`)
	route("/exact/", h.scripts+"/", "accept_path_info = false", "")
	route("/slow/", h.scripts+"/", `kill_grace = "300ms"`, `header_timeout = "1s"`)
	route("/pausing/", h.scripts+"/", `idle_timeout = "1s"`, "")
	if _, ok := installed("git"); ok {
		route("/git/", whereIs["git"], fmt.Sprintf("env = { GIT_PROJECT_ROOT = %q, GIT_HTTP_EXPORT_ALL = \"1\" }", shared.path("git")), "")
	}
	if _, ok := installed("gitweb"); ok {
		route("/gitweb", whereIs["gitweb"], fmt.Sprintf("env = { GITWEB_CONFIG = %q }", shared.path("gitweb.conf")), "")
	}
	if _, ok := installed("awstats"); ok {
		route("/stats", whereIs["awstats"], fmt.Sprintf("env = { AWSTATS_ENABLE_CONFIG_DIR = %q }", shared.path("awstats")), "")
	}
	return text.String()
}

// start starts the process, in an environment with things that no program may
// inherit (A26), and waits until it says where it listens.
func (h *host) start(t *testing.T) {
	t.Helper()
	h.cmd = exec.Command(binary, "serve", "-c", h.path("gatehouse.toml"))
	h.cmd.Dir = h.dir
	h.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + h.temp, "HOME=" + h.dir,
		"GORACE=atexit_sleep_ms=0", "LD_LIBRARY_PATH=" + h.temp, "SECRET=not for programs", "HTTP_PROXY=http://proxy.invalid/"}
	pipe, err := h.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(h.silent)
		lines := bufio.NewScanner(pipe)
		for lines.Scan() {
			h.hear(lines.Text())
		}
	}()
	select {
	case h.gateway = <-h.started:
	case <-h.silent:
		t.Fatalf("it ended: %v\n%s", h.cmd.Wait(), h.heard())
	case <-time.After(patience):
		_ = h.cmd.Process.Kill()
		t.Fatalf("it does not start: %v\n%s", h.cmd.Wait(), h.heard())
	}
}

// startLine finds host:port, or else a path, in the line that tells of a listener.
var startLine = regexp.MustCompile(`^gatehouse: on .*(?:(127\.0\.0\.1:[0-9]+)|[ :](/[^/]\S+))`)

func (h *host) hear(line string) {
	if m := startLine.FindStringSubmatch(line); m != nil && m[1] != "" {
		h.started <- m[1]
	} else if m != nil {
		h.started <- "unix:" + m[2]
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.said.Len() < 1<<20 {
		h.said.WriteString(line + "\n")
	}
}

func (h *host) heard() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.said.String()
}

// stop ends the host as a supervisor does, and holds it to leaving nothing.
func (h *host) stop(t *testing.T) {
	if h.client != nil {
		h.client.CloseIdleConnections()
	}
	if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
	select {
	case <-h.silent:
	case <-time.After(patience):
		t.Errorf("it still runs %v after SIGTERM", patience)
		_ = h.cmd.Process.Kill()
		<-h.silent
	}
	if err := h.cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	log, err := os.ReadFile(h.path("error.log")) // net/http tells of panics there
	if said := h.heard(); err != nil || strings.Contains(said, "DATA RACE") || strings.Contains(said+string(log), "panic") {
		t.Errorf("%v; it said:\n%s", err, said)
	}
	if left := h.programs(); len(left) > 0 {
		t.Errorf("programs outlive the host: %q", left)
	}
	for _, dir := range []string{h.spool, h.temp} {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("in %s: %v, %v", dir, left, err)
		}
	}
	if t.Failed() {
		t.Logf("the end of the error log:\n%s", tail(h.path("error.log")))
	}
}

// programs lists the command lines of all processes that the host has started, and
// their descendants, wherever they hide: they all have the tag.
func (h *host) programs() (found []string) {
	return append(h.tagged(), childrenOf(h.cmd.Process.Pid)...)
}

// tagged lists those that have the tag, which the interpreters of warm scripts have not.
func (h *host) tagged() (found []string) {
	mark := []byte("INTEGRATION_RUN=" + h.tag + "\x00")
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range files {
		if env, err := os.ReadFile(f); err == nil && bytes.Contains(append(env, 0), mark) {
			line, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "cmdline"))
			found = append(found, filepath.Base(filepath.Dir(f))+" "+string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return found
}

// quiet returns the open files of the host, but sockets, once no more connections are
// open than may be.
func (h *host) quiet() (files []string) {
	eventually(func() bool {
		var sockets []string
		files, sockets = h.open()
		return len(sockets) <= 1+h.kept // and the listener
	})
	return files
}

// open lists the open files of the host: sockets, and others.
func (h *host) open() (files, sockets []string) {
	for _, s := range descriptors(h.cmd.Process.Pid) {
		switch _, name, _ := strings.Cut(s, " "); {
		case strings.Contains(s, "socket:"):
			sockets = append(sockets, s)
		case name == h.htdocs, name == h.scripts, name == h.path("access.log"): // which stay open once they were needed
		default:
			files = append(files, s)
		}
	}
	return files, sockets
}

// settled fails the test unless all that the host did for it is over soon: processes
// are gone, files closed, bodies dropped.
func (h *host) settled(t *testing.T) {
	t.Helper()
	h.client.CloseIdleConnections()
	for _, conn := range h.dialed {
		_ = conn.Close()
	}
	h.dialed = nil
	var programs, files, sockets, spooled []string
	if !eventually(func() bool {
		programs = h.programs()
		files, sockets = h.open()
		spooled, _ = filepath.Glob(h.spool + "/*")
		return len(programs) == 0 && len(files) <= len(h.idle) && len(sockets) <= 1+h.kept && len(spooled) == 0
	}) {
		t.Errorf("after the test\nprocesses: %q\nspool files: %q\nopen: %q\nbefore: %q\nsockets, of which %d may be: %q", programs, spooled, files, h.idle, 1+h.kept, sockets)
	}
	if h.inner != nil {
		h.inner.settled(t)
	}
}
