//go:build unix

package scripts_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"html"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/textproto"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"gatehouse/scripts"
)

// installSite writes the one site whose scripts are run, and returns its folder. It is
// complete before the first process starts: a process that starts while a script
// is being written inherits the open file, and the script is then "text busy".
var installSite = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(siteDir, "site")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	return dir, scripts.InstallDemo(dir, nil)
})

// command prepares a script as a server would (A26, A96): nothing in its
// environment but PATH and the CGI variables.
func command(t *testing.T, script string, env ...string) *exec.Cmd {
	t.Helper()
	path := interpreters[filepath.Ext(script)]
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s needs %s, which is not installed here", script, path)
	}
	site, err := installSite()
	must(t, err)
	cmd := exec.Command(filepath.Join(site, "cgi-bin", script))
	cmd.Dir = filepath.Join(site, "cgi-bin")
	cmd.Env = append([]string{
		"PATH=/usr/local/bin:/usr/bin:/bin",
		"GATEWAY_INTERFACE=CGI/1.1",
		"REQUEST_METHOD=GET",
		"QUERY_STRING=",
		"SCRIPT_NAME=/cgi-bin/" + script,
		"SERVER_NAME=localhost",
		"SERVER_PORT=8080",
		"SERVER_PROTOCOL=HTTP/1.1",
		"SERVER_SOFTWARE=gatehouse/test",
		"REMOTE_ADDR=127.0.0.1",
	}, env...)
	return cmd
}

// output is what a script has said.
type output struct {
	header textproto.MIMEHeader
	body   string
	stderr string
	status int
}

// run runs a script to its end, and fails the test unless a header came.
func run(t *testing.T, cmd *exec.Cmd, stdin []byte) output {
	t.Helper()
	out, raw := runRaw(t, cmd, stdin)
	head, body, found := strings.Cut(raw, "\n\n")
	if !found {
		t.Fatalf("no header: got %q, stderr %q", raw, out.stderr)
	}
	header, err := textproto.NewReader(bufio.NewReader(strings.NewReader(head + "\n\n"))).ReadMIMEHeader()
	if err != nil {
		t.Fatalf("header %q: %v", head, err)
	}
	out.header, out.body = header, body
	if out.status != 0 || out.stderr != "" {
		t.Errorf("got status %d, stderr %q, want neither", out.status, out.stderr)
	}
	return out
}

func runRaw(t *testing.T, cmd *exec.Cmd, stdin []byte) (out output, raw string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	out.stderr, out.status = stderr.String(), cmd.ProcessState.ExitCode()
	return out, stdout.String()
}

// eachLanguage runs test for the example in every language.
func eachLanguage(t *testing.T, name string, test func(t *testing.T, script string)) {
	for ext := range interpreters {
		t.Run(name+ext, func(t *testing.T) {
			t.Parallel()
			test(t, name+ext)
		})
	}
}

// checkPage holds what every page of the demonstration must be.
func checkPage(t *testing.T, out output) {
	t.Helper()
	if got := out.header["Content-Type"]; len(got) != 1 || got[0] != "text/html; charset=utf-8" {
		t.Errorf("got Content-Type %q", got)
	}
	if !strings.HasPrefix(out.body, "<!DOCTYPE html>\n") {
		t.Errorf("page begins with %.20q", out.body)
	}
	if strings.Contains(out.body, "<script") || strings.Contains(out.body, "\x00") {
		t.Errorf("page holds an element or a NUL of the request's:\n%q", out.body)
	}
}

const hostile = `<script>alert("it's")</script> & &amp; Zoë Á 日本 \0101 \n $(id) ` + "`id` %s 100%"

func TestEnv(t *testing.T) {
	eachLanguage(t, "env", func(t *testing.T, script string) {
		out := run(t, command(t, script, "HTTP_X_HOSTILE="+hostile, "HTTP_X_LATIN=\xe9<"), nil)
		checkPage(t, out)
		for _, want := range []string{"HTTP_X_HOSTILE=" + hostile, "SCRIPT_NAME=/cgi-bin/" + script, "QUERY_STRING=\n"} {
			if !strings.Contains(html.UnescapeString(out.body), want) {
				t.Errorf("page lacks %q:\n%s", want, out.body)
			}
		}
		if !strings.Contains(out.body, "HTTP_X_LATIN=") || strings.Contains(out.body, "\xe9<") {
			t.Errorf("a value that is not UTF-8 is not escaped:\n%q", out.body)
		}
		if !strings.Contains(out.body, "&lt;script&gt;alert(&quot;") {
			t.Errorf("markup is not escaped:\n%s", out.body)
		}
	})
}

var formTests = []struct {
	name, data, want string
}{
	{"empty", "", ""},
	{"no value", "name=", ""},
	{"plain", "name=Ada", "Ada"},
	{"plus and space", "name=Ada+L%20ovelace%2B", "Ada L ovelace+"},
	{"lower-case escape", "name=%c3%a9%2f", "é/"},
	{"UTF-8", "name=Zo%C3%AB+%C3%81+%E6%97%A5%E6%9C%AC+%F0%9F%8C%8D", "Zoë Á 日本 🌍"},
	{"raw UTF-8", "name=Zoë", "Zoë"},
	{"hostile", "name=" + url.QueryEscape(hostile), hostile},
	{"attribute", `name="+onfocus="alert(1)`, `" onfocus="alert(1)`},
	{"single quote", `name='+x='`, `' x='`},
	{"NUL", "name=a%00b", "a\ufffdb"},
	{"incomplete escapes", "name=100%&x=%4", "100%"},
	{"not an escape", "name=%zz%4", "%zz%4"},
	{"decoded once", "name=%2541", "%41"},
	{"backslashes", `name=\0101\c\\n`, `\0101\c\\n`},
	{"other fields", "x=name&nickname=no&name=yes&name=second", "yes"},
	{"ampersand in value", "name=a%26name=b", "a&name=b"},
	{"newline", "name=a%0Ab", "a\nb"},
	{"long", "name=" + strings.Repeat("%C3%A4", 2700), strings.Repeat("ä", 2700)},
}

var (
	valueAttribute = regexp.MustCompile(`(?s)<input name="name" value="([^"]*)">`)
	greeting       = regexp.MustCompile(`(?s)<p>Hello, <strong>([^<]*)</strong>! Your name came with (GET|POST)\.</p>`)
)

func checkGreeting(t *testing.T, out output, want, how string) {
	t.Helper()
	checkPage(t, out)
	value := valueAttribute.FindStringSubmatch(out.body)
	if value == nil || html.UnescapeString(value[1]) != want {
		t.Errorf("got field %q, want %q", value, want)
	}
	hello := greeting.FindStringSubmatch(out.body)
	switch {
	case want == "" && hello != nil:
		t.Errorf("got %q, want no greeting", hello)
	case want != "" && (hello == nil || html.UnescapeString(hello[1]) != want || hello[2] != how):
		t.Errorf("got greeting %q, want %q with %s", hello, want, how)
	}
}

func TestForm(t *testing.T) {
	eachLanguage(t, "form", func(t *testing.T, script string) {
		for _, tt := range formTests {
			t.Run(tt.name, func(t *testing.T) {
				out := run(t, command(t, script, "QUERY_STRING="+tt.data), nil)
				checkGreeting(t, out, tt.want, "GET")
				out = run(t, command(t, script, "REQUEST_METHOD=POST", "QUERY_STRING=name=query",
					"CONTENT_TYPE=application/x-www-form-urlencoded",
					"CONTENT_LENGTH="+strconv.Itoa(len(tt.data))), []byte(tt.data))
				checkGreeting(t, out, tt.want, "POST")
			})
		}
	})
}

// The locale of the server decides nothing.
func TestFormLocale(t *testing.T) {
	const want = "Zoë Á 日本"
	eachLanguage(t, "form", func(t *testing.T, script string) {
		for _, locale := range []string{"C", "POSIX", "C.UTF-8"} {
			out := run(t, command(t, script, "LC_ALL="+locale, "QUERY_STRING=name="+url.QueryEscape(want)), nil)
			checkGreeting(t, out, want, "GET")
		}
	})
}

// Bytes that are not UTF-8 never take the markup behind them along.
func TestFormNotUTF8(t *testing.T) {
	eachLanguage(t, "form", func(t *testing.T, script string) {
		for _, data := range []string{"name=%C3%22%3E%F0", "name=\xc3\"\xff"} {
			out := run(t, command(t, script, "QUERY_STRING="+data), nil)
			checkPage(t, out)
			if !strings.Contains(strings.ToValidUTF8(out.body, "\ufffd"), `value="`+"\ufffd&quot;") {
				t.Errorf("%q: got %q", data, out.body)
			}
		}
	})
}

// A55: a script reads CONTENT_LENGTH bytes and no more, and has a limit of its
// own.
func TestFormLength(t *testing.T) {
	const data = "name=Ada"
	eachLanguage(t, "form", func(t *testing.T, script string) {
		post := func(length int) output {
			return run(t, command(t, script, "REQUEST_METHOD=POST", fmt.Sprint("CONTENT_LENGTH=", length)), []byte(data+"Lovelace"))
		}
		checkGreeting(t, post(len(data)), "Ada", "POST")
		checkGreeting(t, post(0), "", "POST")
		checkGreeting(t, run(t, command(t, script, "REQUEST_METHOD=POST"), []byte(data)), "", "POST") // A02: absent
		if out := post(16385); out.header.Get("Status") != "413 Content Too Large" || strings.Contains(out.body, "Ada") {
			t.Errorf("got %q %q, want 413", out.header, out.body)
		}
	})
}

// form returns a body with one file, and its Content-Type. The name goes in as
// browsers send it: raw UTF-8, with %22 for a quotation mark.
func form(t *testing.T, file string, content []byte) (body []byte, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, err := w.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {`form-data; name="file"; filename="` + strings.ReplaceAll(file, `"`, "%22") + `"`},
		"Content-Type":        {"application/octet-stream"},
	})
	must(t, err)
	_, err = part.Write(content)
	must(t, err)
	must(t, w.Close())
	return b.Bytes(), w.FormDataContentType()
}

// post runs an upload script with a body.
func post(t *testing.T, script, contentType string, length int, body []byte) output {
	t.Helper()
	return run(t, command(t, script, "REQUEST_METHOD=POST", "CONTENT_TYPE="+contentType,
		"CONTENT_LENGTH="+strconv.Itoa(length)), body)
}

// cksum is the checksum of the POSIX utility of this name: a CRC over the
// bytes, then over their number, least significant byte first.
func cksum(data []byte) uint32 {
	var crc uint32
	add := func(b byte) {
		crc ^= uint32(b) << 24
		for range 8 {
			carry := crc & (1 << 31)
			crc <<= 1
			if carry != 0 {
				crc ^= 0x04c11db7
			}
		}
	}
	for _, b := range data {
		add(b)
	}
	for n := len(data); n > 0; n >>= 8 {
		add(byte(n))
	}
	return ^crc
}

func TestUpload(t *testing.T) {
	random := make([]byte, 1<<20)
	source := rand.NewChaCha8([32]byte{7})
	source.Read(random)
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	tests := []struct {
		name, file string
		content    []byte
	}{
		{"text", "notes.txt", []byte("Hello\n")},
		{"empty", "empty", nil},
		{"1 MiB of any bytes", "random.bin", random},
		{"1 MiB of NUL", "zero.bin", make([]byte, 1<<20)},
		{"every byte", "Zoë Á 日本.bin", every},
		{"hostile name", `<script>alert('1')</script> & "x" $(id) \n.bin`, []byte{0}},
		{"looks like a frame", "frame", []byte("\r\n\r\n--\r\n\r\n--x--\r\nContent-Disposition: form-data; filename=\"no\"\r\n\r\n")},
		{"ends in line ends", "lines", []byte("\n\r\n\r\r\n")},
	}
	eachLanguage(t, "upload", func(t *testing.T, script string) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				body, contentType := form(t, tt.file, tt.content)
				out := post(t, script, contentType, len(body), body)
				checkPage(t, out)
				sum := fmt.Sprintf("<dt>SHA-256</dt><dd><code>%x</code></dd>", sha256.Sum256(tt.content))
				if filepath.Ext(script) == ".sh" {
					sum = fmt.Sprintf("<dt>cksum</dt><dd><code>%d</code></dd>", cksum(tt.content))
				}
				name := strings.ReplaceAll(tt.file, `"`, "%22")
				for _, want := range []string{sum, fmt.Sprintf("<dd>%d bytes</dd>", len(tt.content))} {
					if !strings.Contains(out.body, want) {
						t.Errorf("page lacks %q:\n%s", want, out.body)
					}
				}
				if want := "<dt>Name</dt><dd>" + name + "</dd>"; !strings.Contains(html.UnescapeString(out.body), want) {
					t.Errorf("page lacks %q:\n%s", want, out.body)
				}
			})
		}
	})
}

func TestUploadRefuses(t *testing.T) {
	body, contentType := form(t, "a.txt", []byte("content"))
	tests := []struct {
		name, contentType string
		length            int
		body              []byte
		want              string
	}{
		{"another type", "text/plain", len(body), body, "415 Unsupported Media Type"},
		{"too large", contentType, 1<<24 + 1, body, "413 Content Too Large"},
		{"cut short", contentType, len(body) + 9000, body, "400 Bad Request"},
		{"no frame", contentType, 7, []byte("content"), "400 Bad Request"},
		{"no body", contentType, 0, nil, "400 Bad Request"},
	}
	eachLanguage(t, "upload", func(t *testing.T, script string) {
		checkPage(t, run(t, command(t, script), nil)) // GET: the empty form
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				out := post(t, script, tt.contentType, tt.length, tt.body)
				if got := out.header.Get("Status"); got != tt.want || strings.Contains(out.body, "<") {
					t.Errorf("got %q %q, want %q", got, out.body, tt.want)
				}
			})
		}
	})
}

func TestCookie(t *testing.T) {
	tests := []struct{ name, cookie, want string }{
		{"first", "", "1"},
		{"second", "visits=1", "2"},
		{"eight is no octal number", "visits=8", "9"},
		{"among others", "a=b; visits=41; c=d", "42"},
		{"other name", "revisits=5; visits2=6", "1"},
		{"leading nought", "visits=08", "1"},
		{"not a number", `visits=<script>"; x`, "1"},
		{"an expression", "visits=1+$(id)", "1"},
		{"too many digits", "visits=99999999999999999999", "1"},
		{"most", "visits=999999999", "1000000000"},
		{"not UTF-8", "a=\xff; visits=3", "4"},
	}
	eachLanguage(t, "cookie", func(t *testing.T, script string) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				out := run(t, command(t, script, "HTTP_COOKIE="+tt.cookie), nil)
				checkPage(t, out)
				want := "visits=" + tt.want + "; Path=/cgi-bin/; Max-Age=86400; HttpOnly; SameSite=Lax"
				if got := out.header["Set-Cookie"]; len(got) != 1 || got[0] != want {
					t.Errorf("got Set-Cookie %q, want %q", got, want)
				}
				if want := "<strong>" + tt.want + "</strong>"; !strings.Contains(out.body, want) {
					t.Errorf("page lacks %q:\n%s", want, out.body)
				}
			})
		}
		if out := run(t, command(t, script), nil); !strings.Contains(out.body, "<strong>1</strong>") {
			t.Errorf("no cookie at all: got\n%s", out.body)
		}
	})
}

// stepping has a script's sleep last until it is told to go on: a line in the pipe STEPS is
// as long as a second.
var stepping = map[string]string{
	"sleep":            "#!/bin/sh\nread -r step <\"$STEPS\"\n",
	"Stepping.pm":      "package Stepping; *CORE::GLOBAL::sleep = sub { open my $f, '<', $ENV{STEPS} or die; <$f> }; 1;\n",
	"sitecustomize.py": "import os, time\ndef step(seconds):\n    with open(os.environ['STEPS']) as f: f.readline()\ntime.sleep = step\n",
}

// A103: each line must leave the process when it is printed, not at the end. A script that
// is held in its sleep has printed what comes before it, and no more.
func TestStream(t *testing.T) {
	dir := t.TempDir()
	for name, text := range stepping {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755))
	}
	eachLanguage(t, "stream", func(t *testing.T, script string) {
		steps := filepath.Join(t.TempDir(), "steps")
		must(t, unix.Mkfifo(steps, 0o600))
		fifo, err := unix.Open(steps, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0) // keeps what nobody has read yet
		must(t, err)
		defer unix.Close(fifo)
		cmd := command(t, script, "STEPS="+steps, "PERL5LIB="+dir, "PERL5OPT=-MStepping", "PYTHONPATH="+dir, "PYTHONDONTWRITEBYTECODE=1")
		cmd.Env[0] = "PATH=" + dir + ":/usr/bin:/bin"
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		stdout, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		hang := time.AfterFunc(shimPatience, func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) })
		defer hang.Stop()
		var page strings.Builder
		count := 0
		lines := bufio.NewScanner(io.TeeReader(stdout, &page))
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "<li>") {
				count++
				_, err := unix.Write(fifo, []byte("\n"))
				must(t, err)
			}
		}
		must(t, lines.Err())
		must(t, cmd.Wait())
		if !strings.HasPrefix(page.String(), "Content-Type: text/html; charset=utf-8\n") || !strings.Contains(page.String(), "Done.") {
			t.Errorf("got %q", page.String())
		}
		if count != 5 {
			t.Errorf("got %d lines, want 5:\n%s", count, page.String())
		}
		if n, err := unix.Read(fifo, make([]byte, 8)); err != unix.EAGAIN {
			t.Errorf("%d lines were followed by no pause, %v", n, err)
		}
	})
}

func TestRedirect(t *testing.T) {
	eachLanguage(t, "redirect", func(t *testing.T, script string) {
		out := run(t, command(t, script), nil)
		want := "/cgi-bin/env" + filepath.Ext(script) + "?from=" + script
		if got := out.header.Get("Location"); got != want {
			t.Errorf("got Location %q, want %q", got, want)
		}
		if got := out.header.Get("Status"); got != "303 See Other" {
			t.Errorf("got Status %q", got)
		}
		if out.header.Get("Content-Type") != "text/plain; charset=utf-8" || !utf8.ValidString(out.body) || out.body == "" { // A94
			t.Errorf("got %q %q, want a short text", out.header, out.body)
		}
	})
}

// A89: a local redirect is Location with a path, and nothing besides.
func TestLocalRedirect(t *testing.T) {
	eachLanguage(t, "local", func(t *testing.T, script string) {
		out, raw := runRaw(t, command(t, script), nil)
		want := "Location: /cgi-bin/env" + filepath.Ext(script) + "?from=" + script + "\n\n"
		if raw != want || out.status != 0 || out.stderr != "" {
			t.Errorf("got %q, status %d, stderr %q, want %q", raw, out.status, out.stderr, want)
		}
	})
}

func TestFailures(t *testing.T) {
	eachLanguage(t, "error", func(t *testing.T, script string) {
		out, raw := runRaw(t, command(t, script), nil)
		want := script + ": cannot open notes.txt: no such file\n"
		if raw != "" || out.status != 3 || out.stderr != want {
			t.Errorf("got %q, status %d, stderr %q, want nothing, 3, %q", raw, out.status, out.stderr, want)
		}
	})
	eachLanguage(t, "noheader", func(t *testing.T, script string) { // A68
		out, raw := runRaw(t, command(t, script), nil)
		if raw != "Hello, world!\n" || out.status != 0 || out.stderr != "" {
			t.Errorf("got %q, status %d, stderr %q", raw, out.status, out.stderr)
		}
	})
}
