package cgi_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"

	"gatehouse/cgi"
)

// TestSpool: what the next Responder gets of a body, and what it is kept in.
// A front that stops sending when the response begins is read first, whatever length
// it has told.
func TestSpoolBodyFirst(t *testing.T) {
	for _, first := range []bool{false, true} {
		body, w := io.Pipe()
		go func() { // a front that sends the rest of the body only once it was asked
			_, _ = io.WriteString(w, "front and ")
			_, _ = io.WriteString(w, "centre")
			_ = w.Close()
		}()
		sp := &cgi.Spool{Next: cgi.ResponderFunc(func(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
			if req.ContentLength != 16 {
				t.Errorf("length %d, want 16", req.ContentLength)
			}
			if passed := req.Body == io.Reader(body); passed == first {
				t.Errorf("BodyFirst %v: the body was passed on as it comes: %v", first, passed)
			}
			if got, err := io.ReadAll(req.Body); string(got) != "front and centre" || err != nil {
				t.Errorf("body %q, %v", got, err)
			}
			return printing(ct+"\n")(ctx, req)
		})}
		req := request("POST", "")
		req.Body, req.ContentLength, req.BodyFirst = body, 16, first
		resp, err := sp.Respond(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Close()
	}
}

func TestSpool(t *testing.T) {
	rows := []struct {
		name     string
		spool    cgi.Spool
		size     int
		declared int64
		file     bool
		kind     cgi.Kind // of the failure, where there is a status
		status   int
	}{
		{"in memory", cgi.Spool{Memory: 10}, 9, -1, false, 0, 0},
		{"empty", cgi.Spool{}, 0, -1, false, 0, 0},
		{"in a file", cgi.Spool{Memory: 10}, 11, -1, true, 0, 0},
		{"default memory", cgi.Spool{}, 64<<10 - 1, -1, false, 0, 0},
		{"over the default memory", cgi.Spool{}, 64<<10 + 1, -1, true, 0, 0},
		{"at the limit, in memory", cgi.Spool{Memory: 30, Max: 20}, 19, -1, false, 0, 0},
		{"at the limit", cgi.Spool{Memory: 10, Max: 20}, 20, -1, true, 0, 0},
		{"over the limit", cgi.Spool{Memory: 10, Max: 20}, 21, -1, false, cgi.BodyTooLarge, 413},
		{"over the limit, less than memory", cgi.Spool{Memory: 100, Max: 20}, 21, -1, false, cgi.BodyTooLarge, 413},
		{"declared at the limit", cgi.Spool{Max: 20}, 20, 20, false, 0, 0},
		{"declared over the limit", cgi.Spool{Max: 20}, 21, 21, false, cgi.BodyTooLarge, 413},
		{"no folder", cgi.Spool{Memory: 10, Dir: "/no/such/folder"}, 11, -1, false, cgi.Internal, 500},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if row.spool.Dir == "" {
				row.spool.Dir = t.TempDir()
			}
			text := strings.Repeat("b", row.size)
			asked := false
			var body io.Reader
			row.spool.Next = cgi.ResponderFunc(func(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
				asked, body = true, req.Body
				if got, err := io.ReadAll(req.Body); err != nil || string(got) != text || req.ContentLength != int64(row.size) {
					t.Errorf("%d bytes, length %d, %v; want %d", len(got), req.ContentLength, err, row.size)
				}
				if row.declared < 0 && req.Env.Get("CONTENT_LENGTH") != strconv.Itoa(row.size) {
					t.Errorf("CONTENT_LENGTH %q, want %d", req.Env.Get("CONTENT_LENGTH"), row.size)
				}
				return printing(ct+"\n")(ctx, req)
			})
			req := request("POST", "")
			req.Body, req.ContentLength = iotest.HalfReader(strings.NewReader(text)), row.declared
			resp, err := row.spool.Respond(t.Context(), req)
			if asked != (row.status == 0) {
				t.Fatalf("asked the next: %v", asked)
			}
			if row.status != 0 {
				if e := isError(t, err, row.kind); e.StatusCode() != row.status {
					t.Errorf("status %d, want %d", e.StatusCode(), row.status)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			file, isFile := body.(*os.File)
			if isFile != row.file {
				t.Fatalf("body is a %T, want a file: %v", body, row.file)
			}
			if isFile { // A64
				if names, _ := os.ReadDir(row.spool.Dir); len(names) != 0 {
					t.Errorf("the file has a name: %v", names)
				}
				if st, err := file.Stat(); err != nil || st.Mode().Perm() != 0o600 {
					t.Errorf("%v, %v; want mode 0600", st, err)
				}
			}
			_ = resp.Close()
			if isFile && !errors.Is(file.Close(), os.ErrClosed) {
				t.Error("the file is still open after Close")
			}
			if req.Env.Get("CONTENT_LENGTH") != "" {
				t.Error("the caller's request was changed")
			}
		})
	}
}

// TestSpoolBodyFails: the program is never started for a body that ends early (A60).
func TestSpoolBodyFails(t *testing.T) {
	for _, row := range []struct {
		err    error
		kind   cgi.Kind
		status int
	}{
		{io.ErrUnexpectedEOF, cgi.BodyFailed, 400},
		{os.ErrDeadlineExceeded, cgi.BodyTimeout, 408},
		{&cgi.Error{Kind: cgi.BodyTooLarge}, cgi.BodyTooLarge, 413},
		{unix.ENOSPC, cgi.Internal, 507},
		{&os.PathError{Op: "write", Path: "x", Err: unix.EIO}, cgi.Internal, 500},
	} {
		for _, already := range []int{0, 5, 100} { // none, some in memory, some in the file
			spool := cgi.Spool{Memory: 10, Dir: t.TempDir(), Next: cgi.ResponderFunc(func(context.Context, *cgi.Request) (*cgi.Response, error) {
				t.Error("the next was asked")
				return nil, errors.New("asked")
			})}
			req := request("POST", "")
			req.Body, req.ContentLength = io.MultiReader(strings.NewReader(strings.Repeat("b", already)), iotest.ErrReader(row.err)), -1
			_, err := spool.Respond(t.Context(), req)
			if e := isError(t, err, row.kind); e.StatusCode() != row.status {
				t.Errorf("%v: status %d, want %d", row.err, e.StatusCode(), row.status)
			}
		}
	}
}

// TestSpoolToProgram: the file is the program's standard input itself, and is closed
// also where the program cannot be started.
func TestSpoolToProgram(t *testing.T) {
	p, _ := program(t, fakeNamed(t, "stdin"))
	dir := t.TempDir()
	ask := func() (string, error) {
		req := request("POST", "")
		req.Body, req.ContentLength = strings.NewReader(strings.Repeat("b", 100<<10)), -1
		_, body, err := answer(t, &cgi.Spool{Next: p, Dir: dir}, req)
		return body, err
	}
	body, err := ask()
	if err != nil || !strings.HasPrefix(body, dir+"/") || !strings.HasSuffix(body, " 102400 <nil>") {
		t.Errorf("%q, %v; want a file below %s with 102400 bytes", body, err, dir)
	}
	p.Path = filepath.Join(dir, "missing")
	_, err = ask()
	isError(t, err, cgi.NotFound)
	for _, fd := range descriptors() {
		if strings.Contains(fd, dir) {
			t.Errorf("%s is left", fd)
		}
	}
}
