package cgi_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"gatehouse/cgi"
)

// TestProgramSees is the whole start of a program: arguments, folder, environment.
func TestProgramSees(t *testing.T) {
	t.Setenv("SECRET_OF_THE_HOST", "x") // nothing is inherited (A26)
	path := fakeNamed(t, "env")
	p, _ := program(t, path)
	p.Path = "" // SCRIPT_FILENAME it is
	p.Base.Set("PATH", "/bin")
	p.Base.Set("REQUEST_METHOD", "BASE")
	p.Env.Set("ADDED", "1")
	p.Env.Set("QUERY_STRING", "replaced") // it may not be (A25)
	ask := func() string {
		req := request("GET", "")
		req.ID = "the-id"
		req.Env.Set("SCRIPT_FILENAME", path)
		req.Env.Set("QUERY_STRING", "-s")
		req.Env.Set("HTTP_AUTHORIZATION", "Basic eA==")
		req.Env.Set("HTTP_PROXY_AUTHORIZATION", "Basic eQ==")
		_, body, err := answer(t, p, req)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	start := fmt.Sprintf("argv [%q]\ncwd %q\n", path, filepath.Dir(path)) + // A50, A96
		`env "PATH=/bin"` + "\n" + `env "REQUEST_METHOD=GET"` + "\n" +
		fmt.Sprintf("env %q\n", "SCRIPT_FILENAME="+path) + `env "QUERY_STRING=-s"` + "\n"
	end := `env "ADDED=1"` + "\n" + `env "UNIQUE_ID=the-id"` + "\n"
	if got, want := ask(), start+end; got != want { // A33
		t.Errorf("got\n%swant\n%s", got, want)
	}
	p.PassAuthorization = true
	want := start + `env "HTTP_AUTHORIZATION=Basic eA=="` + "\n" + `env "HTTP_PROXY_AUTHORIZATION=Basic eQ=="` + "\n" + end
	if got := ask(); got != want {
		t.Errorf("with PassAuthorization: got\n%swant\n%s", got, want)
	}
}

// TestProgramStdin: exactly CONTENT_LENGTH bytes and then the end (A55).
func TestProgramStdin(t *testing.T) {
	p, _ := program(t, fakeNamed(t, "stdin"))
	rows := []struct {
		name   string
		body   io.Reader
		length int64
		want   string // beginning with what it is
	}{
		{"none", nil, 0, "/dev/null 0 <nil>"},
		{"empty", strings.NewReader(""), 0, "/dev/null 0 <nil>"},
		{"some", strings.NewReader("foobar"), 6, "pipe: 6 <nil>"},
		{"more than declared", strings.NewReader("foobar, and more"), 6, "pipe: 6 <nil>"},
		{"a pipe's worth and one", strings.NewReader(strings.Repeat("x", 65537)), 65537, "pipe: 65537 <nil>"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			req := request("POST", "")
			req.Body, req.ContentLength = row.body, row.length
			_, got, err := answer(t, p, req)
			if before, after, ok := strings.Cut(got, "["); ok { // pipe:[number]
				_, count, _ := strings.Cut(after, "]")
				got = before + count
			}
			if err != nil || got != row.want {
				t.Errorf("%q, %v; want %q", got, err, row.want)
			}
		})
	}
}

// TestProgramRefused is what keeps a program from being started.
func TestProgramRefused(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good", "#!/bin/sh\n", 0o755)
	rows := []struct {
		name, path string
		set        func(req *cgi.Request)
		kind       cgi.Kind
		status     int // A97
		reason     string
	}{
		{"missing", filepath.Join(dir, "missing"), nil, cgi.NotFound, 404, "the file does not exist"},
		{"not executable", file("plain", "#!/bin/sh\n", 0o644), nil, cgi.Forbidden, 403, "not executable: no execute permission (mode 0644); chmod +x plain"},
		{"folder", dir, nil, cgi.Forbidden, 403, "it is a directory"},
		{"interpreter missing", file("interp", "#!/no/such/interp\n", 0o755), nil, cgi.StartFailed, 500, `its interpreter "/no/such/interp", named in its "#!" line, does not exist`},
		{"DOS line ends", file("dos", "#!/bin/sh\r\necho\r\n", 0o755), nil, cgi.StartFailed, 500, `its "#!" line ends in CR LF (DOS line ends)`},
		{"no program", file("text", "hello\n", 0o755), nil, cgi.StartFailed, 500, `it has no "#!" line and is not a program for this machine`},
		{"empty", file("empty", "", 0o755), nil, cgi.StartFailed, 500, "the file is empty"},
		{"variable too long", good, func(req *cgi.Request) { req.Env.Set("HTTP_COOKIE", strings.Repeat("x", 130<<10)) }, // A28
			cgi.TooManyHeader, 431, `the longest "HTTP_COOKIE" with 133132`},
		{"path not absolute", "good", nil, cgi.Internal, 500, `the program's path "good" is not absolute`},
		{"body of unknown length", good, func(req *cgi.Request) { req.Body, req.ContentLength = strings.NewReader("x"), -1 },
			cgi.Internal, 411, "the request's body has no known length"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			before := len(descriptors())
			for _, body := range []string{"", "body"} {
				p, _ := program(t, row.path)
				req := request("POST", body)
				if row.set != nil {
					row.set(req)
				}
				_, _, err := answer(t, p, req)
				if e := isError(t, err, row.kind, row.reason); e.StatusCode() != row.status {
					t.Errorf("status %d, want %d", e.StatusCode(), row.status)
				}
			}
			if !eventually(func() bool { return len(descriptors()) <= before+4 }) { // E61; the poller's and the spawner's own
				t.Errorf("descriptors left: %v", descriptors())
			}
		})
	}
}

func TestProgramCancelledBeforeStart(t *testing.T) { eachWay(t, testProgramCancelledBeforeStart) }

func testProgramCancelledBeforeStart(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p, _ := program(t, shell(t, `sleep 60`))
	_, err := p.Respond(ctx, request("GET", ""))
	isError(t, err, cgi.ClientGone)
	idle(t)
}

// TestProgramAccount is what a log gets to know.
func TestProgramAccount(t *testing.T) { eachWay(t, testProgramAccount) }

func testProgramAccount(t *testing.T) {
	p, log := program(t, shell(t, `printf 'odd\033[1m\nforged\r\n' >&2; `+okHeader+`echo x; exit 3`))
	req := request("GET", "")
	var heard strings.Builder
	req.Stderr = &heard
	if _, _, err := answer(t, p, req); err != nil {
		t.Fatal(err)
	}
	a := req.Account
	if a.Pid == 0 || !a.HaveExit || a.Exit.Code != 3 || a.Script != p.Path || a.FirstByte <= 0 || a.Failure != nil {
		t.Errorf("account %+v", a)
	}
	if isWarm := strings.HasPrefix(a.How, "warm: "); isWarm != (through != spawner) {
		t.Errorf("account's How is %q", a.How)
	}
	if heard.String() != "odd\x1b[1m\nforged\r\n" {
		t.Errorf("the request's Stderr got %q", heard.String())
	}
	if text := log.String(); strings.Contains(text, "\x1b") || !strings.Contains(text, "odd") || !strings.Contains(text, `exit="exit status 3"`) { // A100
		t.Errorf("log %q", text)
	}

	p, _ = program(t, shell(t, `exit 4`))
	req = request("GET", "")
	_, _, err := answer(t, p, req)
	e := isError(t, err, cgi.NoOutput)
	if e.Exit == nil || e.Exit.Code != 4 || e.Pid == 0 || req.Account.Failure != e {
		t.Errorf("error %+v, account's %+v", e, req.Account.Failure)
	}
}

func TestProgramInterim(t *testing.T) { eachWay(t, testProgramInterim) } // A86

func testProgramInterim(t *testing.T) {
	script := `printf 'Status: 103\nLink: </a>\n\n'; ` + okHeader + `printf ok`
	for _, row := range []struct {
		name           string
		enabled, taken bool
		want           string
		kind           cgi.Kind
	}{
		{"enabled", true, true, "103 </a>;", 0},
		{"client takes none", true, false, "", 0},
		{"not enabled", false, true, "", cgi.BadOutput},
	} {
		t.Run(row.name, func(t *testing.T) {
			p, _ := program(t, shell(t, script))
			p.Interim = row.enabled
			req := request("GET", "")
			got := ""
			if row.taken {
				req.Interim = func(status int, h cgi.Header) { got += fmt.Sprintf("%d %s;", status, h.Get("Link")) }
			}
			_, body, err := answer(t, p, req)
			if row.kind != 0 {
				isError(t, err, row.kind, "status 103 before the response is not enabled here")
			} else if err != nil || body != "ok" || got != row.want {
				t.Errorf("%q, %q, %v; want ok, %q", body, got, err, row.want)
			}
		})
	}
}

// TestProgramKeepsChildren (F39): a process that is left behind lives on when it may.
func TestProgramKeepsChildren(t *testing.T) { eachWay(t, testProgramKeepsChildren) }

func testProgramKeepsChildren(t *testing.T) {
	for _, keep := range []bool{false, true} {
		dir := t.TempDir()
		began, mark := filepath.Join(dir, "began"), filepath.Join(dir, "mark")
		pause := map[bool]string{false: "60", true: "0.5"}[keep]
		p, _ := program(t, shell(t, `(echo >`+began+`; sleep `+pause+`; echo >`+mark+`) >/dev/null 2>&1 & child=$!; while [ ! -e `+began+` ]; do sleep 0.01; done; `+okHeader+`printf $child`))
		p.KeepChildren = keep
		_, body, err := answer(t, p, request("GET", ""))
		child, notNumber := strconv.Atoi(body)
		if err != nil || notNumber != nil {
			t.Fatalf("%q, %v", body, err)
		}
		if keep && !eventually(func() bool { _, err := os.Stat(mark); return err == nil }) {
			t.Errorf("its child was ended")
		}
		if !keep && !hasEnded(child) {
			t.Errorf("its child lived on")
		}
	}
}
