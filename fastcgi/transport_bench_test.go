package fastcgi_test

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"gatehouse/cgi"
	"gatehouse/fastcgi"
)

func init() { fakes["worker"] = func() { work(os.Args[1]) } }

// work is an application that listens there and answers each request with a short page,
// with calls that block, as a C program would: whatever it reads up to an empty STDIN
// record is a request.
func work(path string) {
	ln, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil || unix.Bind(ln, &unix.SockaddrUnix{Name: path}) != nil || unix.Listen(ln, 100) != nil {
		return
	}
	page := fastcgi.AppendRecord(nil, fastcgi.TypeStdout, 1, []byte("Content-Type: text/plain\r\n\r\nhello"))
	page = fastcgi.AppendStreamEnd(page, fastcgi.TypeStdout, 1)
	page = fastcgi.AppendEndRequest(page, 1, 0, 0)
	buf := make([]byte, 64<<10)
	for {
		conn, _, err := unix.Accept(ln)
		if err != nil {
			return
		}
		for have := 0; ; {
			n, err := unix.Read(conn, buf[have:])
			if err == unix.EINTR {
				continue
			}
			if err != nil || n == 0 {
				break
			}
			have += n
			// The last record of what is sent here is the empty STDIN.
			if have >= 8 && buf[have-7] == byte(fastcgi.TypeStdin) && buf[have-4] == 0 && buf[have-3] == 0 {
				if _, err := unix.Write(conn, page); err != nil {
					break
				}
				have = 0
			}
		}
		_ = unix.Close(conn)
	}
}

// startWorker starts a worker process and returns the path of its socket.
func startWorker(b testing.TB) string {
	path := filepath.Join(b.TempDir(), "w")
	cmd := exec.Command(fakeNamed(b, "worker"), path)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if !soon(func() bool { _, err := os.Stat(path); return err == nil }) {
		b.Fatal("the worker does not listen")
	}
	return path
}

// browserRequest is a request as a browser makes it.
func browserRequest() *cgi.Request {
	req := &cgi.Request{Path: "/index.fcgi"}
	for _, v := range [][2]string{
		{"GATEWAY_INTERFACE", "CGI/1.1"}, {"SERVER_SOFTWARE", "gatehouse/1"}, {"SERVER_PROTOCOL", "HTTP/1.1"},
		{"SERVER_NAME", "www.example.org"}, {"SERVER_PORT", "80"}, {"SERVER_ADDR", "192.0.2.1"},
		{"REQUEST_METHOD", "GET"}, {"REQUEST_URI", "/index.fcgi?a=1"}, {"QUERY_STRING", "a=1"},
		{"REQUEST_SCHEME", "http"}, {"REMOTE_ADDR", "192.0.2.99"}, {"REMOTE_PORT", "51234"}, {"REMOTE_HOST", "192.0.2.99"},
		{"HTTP_HOST", "www.example.org"}, {"HTTP_ACCEPT", "text/html,application/xhtml+xml,*/*;q=0.8"},
		{"HTTP_USER_AGENT", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
		{"HTTP_ACCEPT_LANGUAGE", "en-US,en;q=0.5"}, {"HTTP_ACCEPT_ENCODING", "gzip, deflate, br"},
		{"HTTP_COOKIE", "session=0123456789abcdef"}, {"REDIRECT_STATUS", "200"},
		{"SCRIPT_NAME", "/index.fcgi"}, {"SCRIPT_FILENAME", "/srv/www/index.fcgi"}, {"DOCUMENT_ROOT", "/srv/www"},
	} {
		req.Env.Set(v[0], v[1])
	}
	return req
}

// BenchmarkTransport is 32 clients before two workers with one connection each.
func BenchmarkTransport(b *testing.B) {
	t := &fastcgi.Transport{
		Addresses: []string{"unix:" + startWorker(b), "unix:" + startWorker(b)}, Connections: 1,
		Times: cgi.Times{Header: 1 << 35, Idle: 1 << 35, Total: 1 << 36},
	}
	defer t.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b.ReportAllocs()
	b.SetParallelism(16) // 32 on two processors
	b.RunParallel(func(pb *testing.PB) {
		req := browserRequest()
		req.Account = new(cgi.Account)
		buf := make([]byte, 4096)
		for pb.Next() {
			resp, err := t.Respond(ctx, req)
			if err != nil {
				b.Error(err)
				return
			}
			n, _ := io.ReadFull(resp.Body, buf)
			if err := resp.Close(); err != nil || string(buf[:n]) != "hello" {
				b.Errorf("%q, %v", buf[:n], err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

// BenchmarkTransportAlone is one client: what a request costs without any waiting.
func BenchmarkTransportAlone(b *testing.B) {
	t := &fastcgi.Transport{Addresses: []string{"unix:" + startWorker(b)}, Connections: 1}
	defer t.Close()
	req := browserRequest()
	b.ReportAllocs()
	for b.Loop() {
		resp, err := t.Respond(context.Background(), req)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Close()
	}
}
