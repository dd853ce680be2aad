package site_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frames is a client that sends HTTP/2 frame by frame.
type frames struct {
	conn net.Conn
	*http2.Framer
	head bytes.Buffer
	enc  *hpack.Encoder
}

func newFrames(t *testing.T, conn net.Conn) *frames {
	t.Helper()
	f := &frames{conn: conn, Framer: http2.NewFramer(conn, conn)}
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.enc = hpack.NewEncoder(&f.head)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return f
}

// ask sends a header, and with end the end of the request.
func (f *frames) ask(t *testing.T, stream uint32, end bool, fields ...string) {
	t.Helper()
	f.head.Reset()
	for n := 0; n < len(fields); n += 2 {
		if err := f.enc.WriteField(hpack.HeaderField{Name: fields[n], Value: fields[n+1]}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: f.head.Bytes(), EndStream: end, EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
}

// answer is what comes of a stream until its end: the status, or the reset.
func (f *frames) answer(t *testing.T, stream uint32) (status string, header map[string]string) {
	t.Helper()
	header = map[string]string{}
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return "closed", header
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			if frame.StreamID != stream {
				continue
			}
			for _, hf := range frame.Fields {
				header[hf.Name] = hf.Value
			}
			if status = header[":status"]; frame.StreamEnded() {
				return status, header
			}
		case *http2.DataFrame:
			if frame.StreamID == stream && frame.StreamEnded() {
				return status, header
			}
		case *http2.RSTStreamFrame:
			if frame.StreamID == stream {
				return frame.ErrCode.String(), header
			}
		case *http2.GoAwayFrame:
			return "GOAWAY", header
		}
	}
}

// What is no proper request (section E.4), frame by frame.
func TestHTTP2Frames(t *testing.T) {
	dir := tree(t, files{"env": envScript, "hop": script("printf 'Content-Type: text/plain\\nConnection: close, X-Hop\\nKeep-Alive: x\\nUpgrade: x\\nX-Kept: yes\\n\\n'")})
	s := start(t, dir, "h2c = true\n"+tlsEnvSite+"[[site.route]]\npath = '/hop'\ncgi = 'DIR/hop'\n")
	get := []string{":method", "GET", ":scheme", "http", ":path", "/env", ":authority", "localhost"}
	for _, row := range []struct {
		name   string
		fields []string
		want   string
	}{
		{"good", get, "200"},
		{"Host beside :authority, the same", append(get[:8:8], "host", "localhost"), "200"},
		{"E41 another Host", append(get[:8:8], "host", "other.example"), "400"},
		{"Host alone", append(get[:6:6], "host", "localhost"), "200"},
		{"E40 no host", get[:6], "400"},
		{"E40 upper case", append(get[:8:8], "X-A", "b"), "PROTOCOL_ERROR"},
		{"E40 connection", append(get[:8:8], "connection", "close"), "400"},
		{"E40 te", append(get[:8:8], "te", "gzip"), "400"},
		{"E42 line feed", append(get[:8:8], "x-a", "b\nc: d"), "PROTOCOL_ERROR"},
		{"E40 empty path", []string{":method", "GET", ":scheme", "http", ":path", "", ":authority", "localhost"}, "PROTOCOL_ERROR"},
		{"E40 path without slash", []string{":method", "GET", ":scheme", "http", ":path", "env", ":authority", "localhost"}, "PROTOCOL_ERROR"},
		{"E45 CONNECT", []string{":method", "CONNECT", ":authority", "localhost:80"}, "405"},
	} {
		t.Run(row.name, func(t *testing.T) {
			conn := s.dial(t)
			defer conn.Close()
			f := newFrames(t, conn)
			f.ask(t, 1, true, row.fields...)
			if got, _ := f.answer(t, 1); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
		})
	}
	conn := s.dial(t)
	defer conn.Close()
	f := newFrames(t, conn)
	f.ask(t, 1, true, ":method", "GET", ":scheme", "http", ":path", "/hop", ":authority", "localhost")
	status, header := f.answer(t, 1)
	if status != "200" || header["x-kept"] != "yes" {
		t.Errorf("got %s %v", status, header)
	}
	for _, name := range []string{"connection", "keep-alive", "transfer-encoding", "upgrade"} { // RFC 9113 section 8.2.2
		if v, ok := header[name]; ok {
			t.Errorf("%s: %s", name, v)
		}
	}
}

// A client that resets its stream has its program ended (E46); so has one that goes.
func TestHTTP2Reset(t *testing.T) {
	for _, how := range []string{"RST_STREAM", "close"} {
		t.Run(how, func(t *testing.T) {
			dir := tree(t, files{"cgi-bin/endless": script(okHeader, "echo $$ > ../pid.new; mv ../pid.new ../pid", "while :; do sleep 0.05; done")})
			s := start(t, dir, "h2c = true\n[[site]]\n[[site.route]]\npath = '/cgi-bin/'\ncgi = 'DIR/cgi-bin/'\n")
			conn := s.dial(t)
			defer conn.Close()
			f := newFrames(t, conn)
			f.ask(t, 1, true, ":method", "GET", ":scheme", "http", ":path", "/cgi-bin/endless", ":authority", "localhost")
			eventually(t, "the program", func() bool { return exists(filepath.Join(dir, "pid")) })
			pid, err := os.ReadFile(filepath.Join(dir, "pid"))
			if err != nil {
				t.Fatal(err)
			}
			if how == "close" {
				_ = conn.Close()
			} else if err := f.WriteRSTStream(1, http2.ErrCodeCancel); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the program's end", func() bool { return !exists("/proc/" + strings.TrimSpace(string(pid))) })
			if how == "close" {
				return
			}
			f.ask(t, 3, true, ":method", "GET", ":scheme", "http", ":path", "/none", ":authority", "localhost")
			if got, _ := f.answer(t, 3); got != "404" { // the connection is as good as before
				t.Errorf("the next stream: %s", got)
			}
		})
	}
}

// A stop says GOAWAY and lets the streams end that there are.
func TestHTTP2Stop(t *testing.T) {
	dir := tree(t, files{"cgi-bin/held": script("touch ../runs", "while [ ! -e ../gate ]; do sleep 0.02; done", okHeader, "echo done")})
	s := start(t, dir, "h2c = true\nshutdown_timeout = '60s'\n[[site]]\n[[site.route]]\npath = '/cgi-bin/'\ncgi = 'DIR/cgi-bin/'\n")
	conn := s.dial(t)
	defer conn.Close()
	f := newFrames(t, conn)
	f.ask(t, 1, true, ":method", "GET", ":scheme", "http", ":path", "/cgi-bin/held", ":authority", "localhost")
	eventually(t, "the program", func() bool { return exists(filepath.Join(dir, "runs")) })
	s.stop()
	for { // until GOAWAY
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := frame.(*http2.GoAwayFrame); ok {
			break
		}
	}
	put(t, filepath.Join(dir, "gate"), "")
	if said := f.sayings(false); !slices.Contains(said, "200") { // perhaps with another GOAWAY
		t.Fatalf("the stream that was open: %q", said)
	}
	<-s.done
	if s.err != nil {
		t.Errorf("Serve: %v", s.err)
	}
}

// Where a reload takes a listener away, its connections end, each with its next response:
// those of HTTP/2 are told so by GOAWAY. Those of the listeners that stay go on.
func TestHTTP2ListenerGone(t *testing.T) {
	dir := tree(t, files{"htdocs/x.txt": "text"})
	const rest = "\nh2c = true\n[[site]]\nroot = 'DIR/htdocs'\n"
	s := start(t, dir, "listen = ['unix:DIR/a.sock', 'unix:DIR/b.sock']"+rest)
	get := []string{":method", "GET", ":scheme", "http", ":path", "/x.txt", ":authority", "localhost"}
	var two [2]*frames
	var one [2]net.Conn
	var in [2]*bufio.Reader
	for n, name := range []string{"a.sock", "b.sock"} {
		two[n] = newFrames(t, dialUnix(t, filepath.Join(dir, name)))
		one[n] = dialUnix(t, filepath.Join(dir, name))
		in[n] = bufio.NewReader(one[n])
	}
	for round, want := range []struct {
		after  string
		closes [2]bool
	}{{"the start", [2]bool{}}, {"the reload", [2]bool{false, true}}} {
		for n, closes := range want.closes {
			two[n].ask(t, uint32(2*round+1), true, get...)
			if said := two[n].sayings(closes); !slices.Contains(said, "200") || slices.Contains(said, "GOAWAY") != closes {
				t.Errorf("listener %d after %s, by HTTP/2: %q", n, want.after, said)
			}
			if _, err := io.WriteString(one[n], "GET /x.txt HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(in[n], nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 || resp.Close != closes {
				t.Errorf("listener %d after %s, by HTTP/1: %s, closes %v, %v", n, want.after, resp.Status, resp.Close, err)
			}
		}
		if round == 0 {
			s.reload(t, dir, "listen = ['unix:DIR/a.sock']"+rest)
		}
	}
}

// sayings are what comes until the one stream that is open has been answered, or until the connection is
// closed: its status, GOAWAY wherever it stands, and "closed".
func (f *frames) sayings(closes bool) (said []string) {
	for ended := false; closes || !ended; {
		frame, err := f.ReadFrame()
		if err != nil {
			return append(said, "closed")
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			said = append(said, frame.PseudoValue("status"))
			ended = frame.StreamEnded()
		case *http2.DataFrame:
			ended = frame.StreamEnded()
		case *http2.RSTStreamFrame:
			said, ended = append(said, frame.ErrCode.String()), true
		case *http2.GoAwayFrame:
			said = append(said, "GOAWAY")
		}
	}
	return said
}

// dialUnix connects to a socket until the test is over.
func dialUnix(t *testing.T, name string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(2 * long))
	return conn
}

// A client has no more than its streams at a time, and floods of frames end its
// connection (E43, E47).
func TestHTTP2Floods(t *testing.T) {
	dir := tree(t, files{"cgi-bin/held": script("while [ ! -e ../gate ]; do sleep 0.05; done", okHeader)})
	s := start(t, dir, "h2c = true\n[[site]]\n[[site.route]]\npath = '/cgi-bin/'\ncgi = 'DIR/cgi-bin/'\nprocesses = 2\nqueue = 1000\nqueue_timeout = '60s'\n")
	t.Run("streams", func(t *testing.T) {
		conn := s.dial(t)
		defer conn.Close()
		f := newFrames(t, conn)
		var refused string
		for n := range uint32(101) {
			f.ask(t, 2*n+1, true, ":method", "GET", ":scheme", "http", ":path", "/cgi-bin/held", ":authority", "localhost")
		}
		if refused, _ = f.answer(t, 201); refused != "REFUSED_STREAM" && refused != "PROTOCOL_ERROR" {
			t.Errorf("the stream above the limit: %s", refused)
		}
	})
	put(t, filepath.Join(dir, "gate"), "")
	for name, flood := range map[string]func(f *frames, n uint32) error{
		"settings": func(f *frames, _ uint32) error { return f.WriteSettings() },
		"pings":    func(f *frames, _ uint32) error { return f.WritePing(false, [8]byte{}) },
		"resets": func(f *frames, n uint32) error {
			f.head.Reset()
			for _, hf := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: "/none"}, {Name: ":authority", Value: "localhost"}} {
				_ = f.enc.WriteField(hf)
			}
			if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*n + 1, BlockFragment: f.head.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
				return err
			}
			return f.WriteRSTStream(2*n+1, http2.ErrCodeCancel)
		},
	} {
		t.Run(name, func(t *testing.T) {
			conn := s.dial(t)
			defer conn.Close()
			f := newFrames(t, conn)
			for n := range uint32(20_000) { // and nothing is read
				_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
				if flood(f, n) != nil {
					break
				}
			}
			if got := s.get(t, "/none"); got.StatusCode != 404 { // others are served
				t.Errorf("beside it: %s", got.Status)
			}
		})
	}
	if got := fmt.Sprint(s.get(t, "/cgi-bin/held").StatusCode); got != "200" {
		t.Errorf("afterwards: %s", got)
	}
}

// A client that waits to be told to go on is told so when its body is wanted (A62).
func TestHTTP2Continue(t *testing.T) {
	dir := tree(t, files{"echo": script(`body=$(cat)`, okHeader, `echo "$body"`)}) // wants all of it first
	s := start(t, dir, "h2c = true\n[[site]]\n[[site.route]]\npath = '/echo'\ncgi = 'DIR/echo'\n")
	conn := s.dial(t)
	defer conn.Close()
	f := newFrames(t, conn)
	f.ask(t, 1, false, ":method", "POST", ":scheme", "http", ":path", "/echo", ":authority", "localhost", "content-length", "5", "expect", "100-continue")
	for told := false; !told; {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if frame, ok := frame.(*http2.MetaHeadersFrame); ok {
			if told = frame.PseudoValue("status") == "100"; !told {
				t.Fatalf("got %s", frame.PseudoValue("status"))
			}
		}
	}
	if err := f.WriteData(1, true, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if status, _ := f.answer(t, 1); status != "200" {
		t.Errorf("got %s", status)
	}
}
