package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// responder answers each connection by what serve does with it.
func responder(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serve(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return ln.Addr().String()
}

// says reads until the whole request is there, which ends with the bytes end, and
// answers.
func says(end, answer string) func(net.Conn) {
	return func(conn net.Conn) {
		_ = conn.SetDeadline(time.Now().Add(patience))
		var got []byte
		for buf := make([]byte, 4096); !bytes.HasSuffix(got, []byte(end)); {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			got = append(got, buf[:n]...)
		}
		_, _ = io.WriteString(conn, answer)
	}
}

const (
	stdinEnd = "\x01\x05\x00\x01\x00\x00\x00\x00"                                                                 // an empty STDIN record
	dataEnd  = "\x01\x08\x00\x01\x00\x00\x00\x00"                                                                 // an empty DATA record
	okText   = "\x01\x06\x00\x01\x00\x1d\x03\x00Content-Type: text/plain\n\nhi\nPAD"                              // STDOUT, 29 bytes and padding
	okEnd    = "\x01\x06\x00\x01\x00\x00\x00\x00\x01\x03\x00\x01\x00\x08\x00\x00\x00\x00\x00\x07\x00\x00\x00\x00" // END_REQUEST, application status 7
)

// calls runs the command and returns what it wrote.
func calls(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	status = run(ctx, append([]string{"gatehouse", "call"}, args...), strings.NewReader("from standard input"), &out, &errs)
	return status, out.String(), errs.String()
}

// What can happen on the wire, each with one sentence for it.
func TestCallResponses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer string
		status int
		stdout string
		stderr []string // in this order
	}{
		{"a response", okText + okEnd, 0, "hi\n",
			[]string{"> REQUEST_METHOD=GET\n", "> SCRIPT_FILENAME=/p\n", "< 200 OK\n< Content-Type: text/plain\n", "END_REQUEST with application status 7, REQUEST_COMPLETE: connected after ", ", first byte after ", ", over after "}},
		{"without the empty STDOUT, as php", okText + okEnd[8:], 0, "hi\n", []string{"REQUEST_COMPLETE"}},
		{"standard error around it", "\x01\x07\x00\x01\x00\x05\x00\x00one\ntw"[:13] + okText + "\x01\x07\x00\x01\x00\x06\x02\x00o\nmorePP" + okEnd, 0, "hi\n",
			[]string{"stderr: one\n", "< 200", "stderr: o\nstderr: more\n"}},
		{"status 500", "\x01\x06\x00\x01\x00\x0f\x00\x00Status: 500 X\n\n" + okEnd, 1, "", []string{"< 500 X\n"}},
		{"status 404", "\x01\x06\x00\x01\x00\x0f\x00\x00Status: 404 X\n\n" + okEnd, 0, "", []string{"< 404 X\n"}},
		{"a record of another request", "\x01\x06\x00\x02\x00\x02\x00\x00no" + okText + okEnd, 0, "hi\n", []string{"ignored: a record STDOUT of id 2"}},
		{"a record no application sends", "\x01\x04\x00\x01\x00\x02\x00\x00no" + okText + okEnd, 0, "hi\n", []string{"ignored: a record PARAMS, which"}},
		{"nothing printed", okEnd, 1, "", []string{"application status 7", ": it printed nothing\n"}},
		{"no header", "\x01\x06\x00\x01\x00\x06\x00\x00hello\n" + okEnd, 1, "", []string{"no CGI response: no header block", `  it sent: "hello\n"`}},
		{"overloaded", "\x01\x03\x00\x01\x00\x08\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00", 1, "", []string{"it refused the request: OVERLOADED\n"}},
		{"unknown role", "\x01\x03\x00\x01\x00\x08\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00", 1, "", []string{"it refused the role RESPONDER: UNKNOWN_ROLE\n"}},
		{"closed at once", "", 1, "", []string{"closed the connection without an answer"}},
		{"closed before the end", okText, 1, "hi\n", []string{"< 200", "no END_REQUEST: ", "closed the connection before END_REQUEST\n"}},
		{"closed in a record", okText[:20], 1, "", []string{"closed the connection in the middle of a record\n"}},
		{"cut body", "\x01\x06\x00\x01\x00\x2f\x00\x00Content-Length: 9\nContent-Type: text/plain\n\nabc" + okEnd, 1, "abc", []string{"< Content-Length: 9\n", ": its output ends 6 bytes before"}},
		{"HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n", 1, "", []string{`this is not FastCGI: it begins with "HTTP/1.1 400 Bad Request`}},
		{"a few bytes", "what", 1, "", []string{`this is not FastCGI: all it sent was "what"`}},
		{"a bad record later", okText + "\x02\x06\x00\x01\x00\x00\x00\x00", 1, "hi\n", []string{"bad record after 1 good ones: "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr := responder(t, says(stdinEnd, tt.answer))
			status, stdout, stderr := calls(t, addr, "/p")
			if status != tt.status || stdout != tt.stdout {
				t.Errorf("exit status %d, standard output %q, want %d, %q", status, stdout, tt.status, tt.stdout)
			}
			rest := stderr
			for _, want := range tt.stderr {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Fatalf("standard error\n%s\nwant %q in it, in its place", stderr, want)
				}
				rest = after
			}
		})
	}
}

// received is what one call sends.
func received(t *testing.T, end string, args ...string) string {
	t.Helper()
	got := make(chan string, 1)
	addr := responder(t, func(conn net.Conn) {
		var all bytes.Buffer
		says(end, okText+okEnd)(readAlong{conn, &all})
		got <- all.String()
	})
	if status, _, stderr := calls(t, append([]string{addr}, args...)...); status != 0 {
		t.Fatalf("call %q: exit status %d\n%s", args, status, stderr)
	}
	return <-got
}

type readAlong struct {
	net.Conn
	w io.Writer
}

func (r readAlong) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	_, _ = r.w.Write(p[:n])
	return n, err
}

func TestCallRequest(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "app", "i.php")
	if err := os.Mkdir(filepath.Dir(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(script, []byte("the file"), 0o644); err != nil {
		t.Fatal(err)
	}
	begin := func(role string) string {
		return "\x01\x01\x00\x01\x00\x08\x00\x00\x00" + role + "\x00\x00\x00\x00\x00\x00"
	}
	pair := func(name, value string) string {
		return string(rune(len(name))) + string(rune(len(value))) + name + value
	}
	for _, tt := range []struct {
		name string
		args []string
		end  string
		want []string // in this order
		not  []string
	}{
		{"plain", []string{"/status?full&json"}, stdinEnd,
			[]string{begin("\x01"), pair("REQUEST_URI", "/status?full&json"), pair("QUERY_STRING", "full&json"), pair("SCRIPT_NAME", "/status"), pair("SCRIPT_FILENAME", "/status")},
			[]string{"CONTENT_LENGTH", "PATH_INFO", "DOCUMENT_ROOT"}},
		{"flags", []string{"/x", "-X", "PUT", "-H", "X-One: 1, 2", "-d", "body", "-p", "REMOTE_USER=alice", "-p", "SCRIPT_NAME=/other"}, stdinEnd,
			[]string{pair("REQUEST_METHOD", "PUT"), pair("CONTENT_LENGTH", "4"), pair("HTTP_X_ONE", "1, 2"), pair("SCRIPT_NAME", "/other"), pair("REMOTE_USER", "alice"), "\x01\x05\x00\x01\x00\x04\x04\x00body\x00\x00\x00\x00"}, nil},
		{"standard input", []string{"/x", "-d", "-"}, stdinEnd, []string{pair("REQUEST_METHOD", "POST"), "from standard input"}, nil},
		{"script", []string{"--script", script}, stdinEnd, []string{pair("REQUEST_URI", "/i.php"), pair("SCRIPT_NAME", "/i.php"), pair("SCRIPT_FILENAME", script)}, []string{"PATH_INFO"}},
		{"script beneath the root", []string{"/app/i.php/more", "--script", script, "--root", dir}, stdinEnd,
			[]string{pair("SCRIPT_NAME", "/app/i.php"), pair("SCRIPT_FILENAME", script), pair("DOCUMENT_ROOT", dir), pair("PATH_INFO", "/more"), pair("PATH_TRANSLATED", dir+"/more")}, nil},
		{"front controller", []string{"/pretty/url", "--script", script}, stdinEnd, []string{pair("REQUEST_URI", "/pretty/url"), pair("SCRIPT_NAME", "/i.php")}, []string{"PATH_INFO"}},
		{"root", []string{"/app/i.php", "--root", dir}, stdinEnd, []string{pair("SCRIPT_NAME", "/app/i.php"), pair("SCRIPT_FILENAME", script)}, nil},
		{"authorizer", []string{"/x", "--role", "authorizer", "-d", "body"}, stdinEnd, // B42
			[]string{begin("\x02"), pair("FCGI_ROLE", "AUTHORIZER"), stdinEnd}, []string{"SCRIPT_NAME", "CONTENT_LENGTH", "body"}},
		{"filter", []string{"/x", "--role", "filter", "--script", script}, dataEnd, // B47
			[]string{begin("\x03"), pair("FCGI_ROLE", "FILTER"), pair("FCGI_DATA_LENGTH", "8"), stdinEnd, "\x01\x08\x00\x01\x00\x08\x00\x00the file", dataEnd}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := received(t, tt.end, tt.args...)
			rest := got
			for _, want := range tt.want {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Fatalf("sent %q\nwant %q in it, in its place", got, want)
				}
				rest = after
			}
			for _, not := range tt.not {
				if strings.Contains(got, not) {
					t.Errorf("sent %q, with %q in it", got, not)
				}
			}
		})
	}
}

func TestCallVerbose(t *testing.T) {
	addr := responder(t, says(stdinEnd, okText+okEnd))
	_, _, stderr := calls(t, addr, "/p", "-v", "-d", "hello")
	for _, want := range []string{"sent     BEGIN_REQUEST id=1 content=8 padding=0\n", "sent     STDIN id=1 content=5 padding=3\n", "sent     STDIN id=1 content=0 padding=0\n",
		"received STDOUT id=1 content=29 padding=3\n", "received END_REQUEST id=1 content=8 padding=0\n"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("standard error\n%s\nwant %q in it", stderr, want)
		}
	}
}

// D05's request, and a response that ends with the connection.
func TestCallSCGI(t *testing.T) {
	var got bytes.Buffer
	done := make(chan struct{})
	addr := responder(t, func(conn net.Conn) {
		defer close(done)
		says("the body", "Status: 201 Made\r\nContent-Type: text/plain\r\n\r\nhi\n")(readAlong{conn, &got})
	})
	status, stdout, stderr := calls(t, "scgi://"+addr, "/p", "-d", "the body")
	<-done
	if status != 0 || stdout != "hi\n" || !strings.Contains(stderr, "< 201 Made\n") || !strings.Contains(stderr, "the connection was closed: connected after ") {
		t.Errorf("exit status %d, %q\n%s", status, stdout, stderr)
	}
	if head, rest, _ := strings.Cut(got.String(), ":"); !strings.HasPrefix(rest, "CONTENT_LENGTH\x008\x00SCGI\x001\x00") || !strings.HasSuffix(rest, ",the body") || head == "" {
		t.Errorf("sent %q", got.String())
	}
	addr = responder(t, says(",", ""))
	if status, _, stderr := calls(t, "--scgi", addr, "/p"); status != 1 || !strings.Contains(stderr, "closed the connection without an answer") {
		t.Errorf("closed at once: exit status %d\n%s", status, stderr)
	}
}

func TestCallPing(t *testing.T) {
	valuesEnd := "\x0f\x00FCGI_MPXS_CONNS\x01\x09\x00\x00\x00\x00\x00\x00" // the last name that is asked for, and an empty query
	values := "\x01\x0a\x00\x00\x00\x12\x06\x00\x0f\x01FCGI_MPXS_CONNS1PADPAD"
	for _, tt := range []struct {
		name, end, answer, path string
		status                  int
		want                    string // of the one line
	}{
		{"values", valuesEnd, values, "", 0, ": it answers FCGI_MPXS_CONNS=1, after "},
		{"unknown type", valuesEnd, "\x01\x0b\x00\x00\x00\x08\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00", "", 0, "it answers, but not to FCGI_GET_VALUES"},
		{"another record", valuesEnd, okText, "", 1, "it answers FCGI_GET_VALUES with STDOUT"},
		{"closed", valuesEnd, "", "", 1, "without an answer"},
		{"not FastCGI", valuesEnd, "SSH-2.0-OpenSSH\r\n", "", 1, `this is not FastCGI: it begins with "SSH-2.0`},
		{"request", stdinEnd, "\x01\x07\x00\x01\x00\x04\x00\x00loud" + okText + okEnd, "/ping", 0, `: 200 OK, "hi", after `},
		{"bad request", stdinEnd, "\x01\x06\x00\x01\x00\x0f\x00\x00Status: 404 X\n\n" + okEnd, "/ping", 1, ": 404 Not Found\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := []string{"--ping", responder(t, says(tt.end, tt.answer)), "-t", patience.String()}
			if tt.path != "" {
				args = append(args, tt.path)
			}
			status, stdout, stderr := calls(t, args...)
			line, other := stdout, stderr
			if tt.status != 0 {
				line, other = stderr, stdout
			}
			if status != tt.status || !strings.Contains(line, tt.want) || strings.Count(line, "\n") != 1 || other != "" {
				t.Errorf("exit status %d, %q, %q, want %d and one line with %q", status, stdout, stderr, tt.status, tt.want)
			}
		})
	}
}

// limited makes a call that reaches a time limit while it does what doing says. Where the
// machine was so slow that the call had not come so far, it is made again with more time.
func limited(t *testing.T, doing string, args ...string) {
	t.Helper()
	for limit := 100 * time.Millisecond; ; limit *= 2 {
		status, _, stderr := calls(t, append([]string{"-t", limit.String()}, args...)...)
		reached := "the time limit of " + limit.String() + " (-t) was reached while "
		if status == 1 && strings.HasSuffix(stderr, reached+doing+"\n") {
			return
		}
		if status != 1 || !strings.Contains(stderr, reached) || limit > patience/4 {
			t.Fatalf("exit status %d\n%s\nwant %q", status, stderr, reached+doing)
		}
	}
}

// A time limit says where it was reached.
func TestCallTimeLimits(t *testing.T) {
	ended := make(chan struct{})
	wait := func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
	unread := func(conn net.Conn) { <-ended }
	for _, tt := range []struct {
		name  string
		serve func(net.Conn)
		args  []string
		want  string
	}{
		{"no answer", wait, nil, "waiting for its first byte"},
		{"half a header", func(c net.Conn) { _, _ = io.WriteString(c, okText[:20]); wait(c) }, nil, "reading the header"},
		{"half a body", func(c net.Conn) { _, _ = io.WriteString(c, okText); wait(c) }, nil, "reading the response"},
		{"ping", wait, []string{"--ping"}, "waiting for its first byte"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			limited(t, tt.want, append(tt.args, responder(t, tt.serve), "/p")...)
		})
	}
	t.Run("request not read", func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "large")
		if err := os.WriteFile(name, bytes.Repeat([]byte("x"), 32<<20), 0o644); err != nil {
			t.Fatal(err)
		}
		addr := responder(t, unread)
		defer close(ended)
		limited(t, "sending the request, which it does not read", addr, "/p", "-d", "@"+name)
	})
}

// deaf is an address at which nothing listens, nor can as long as the test runs.
func deaf(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", sa.(*syscall.SockaddrInet4).Port)
}

func TestCallConnects(t *testing.T) {
	dir := t.TempDir()
	plain, dead := filepath.Join(dir, "plain"), filepath.Join(dir, "dead.sock")
	if err := os.WriteFile(plain, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", dead)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = ln.Close()
	for _, tt := range []struct{ name, addr, want string }{
		{"nothing", "unix:" + dir + "/none", ": there is no such socket\n"},
		{"no socket", plain, ": the file is not a socket\n"},
		{"left over", "fcgi:unix:" + dead, "nothing listens on the socket; a server that has died may have left it\n"},
		{"refused", "fcgi://" + deaf(t), ": connection refused: nothing listens there\n"},
	} {
		if status, _, stderr := calls(t, "--ping", tt.addr); status != 1 || !strings.HasSuffix(stderr, tt.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit status %d, %q, want %q", tt.name, status, stderr, tt.want)
		}
	}
}

func TestCallMisuse(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"", "call takes an address and a path, not 0 arguments"},
		{"a:1 /b c", "not 3 arguments"},
		{"unix:", "names nothing"},
		{"localhost", `"localhost" is no address`},
		{"fcgi://localhost:9000/status", "the path of the request is a second argument"},
		{"a:1 --role king", `--role "king"`},
		{"scgi:a:1 --role filter --script x", "SCGI has no roles"},
		{"a:1 --role filter", "--script names the file"},
		{"a:1 -t -1s", "-t -1s: not a length of time"},
		{"a:1 -t soon", "-t"},
		{"--ping scgi:a:1", "for which path?"},
		{"a:1 -p NAME", `-p "NAME"`},
		{"a:1 -p =x", `-p "=x"`},
		{"a:1 /../x", "leaves the root"},
	} {
		if status, stdout, stderr := calls(t, strings.Fields(tt.args)...); status != 2 || stdout != "" || !strings.Contains(stderr, tt.want) {
			t.Errorf("call %s: exit status %d, %q, want 2 and %q", tt.args, status, stderr, tt.want)
		}
	}
}
