package cgi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Spool is a Responder that gives Next only requests whose body has a known
// length. A body of unknown length is read to its end first: into memory, then
// into a file without a name, which becomes the program's standard input itself
// (A56, A64). A body of known length is passed on as it comes, unless it has to be
// read first (Request.BodyFirst).
type Spool struct {
	Next Responder

	Memory int64  // bytes kept in memory; zero means 64 KiB
	Max    int64  // largest body of either kind, in bytes; 0 means no limit
	Dir    string // where the file is made; "" means os.TempDir
}

// Respond fails with Kind BodyTooLarge, BodyFailed or BodyTimeout where the body
// does, without having asked Next.
func (s *Spool) Respond(ctx context.Context, req *Request) (*Response, error) {
	if s.Max > 0 && req.ContentLength > s.Max {
		return nil, s.tooLarge()
	}
	if req.Body == nil || req.ContentLength >= 0 && !req.BodyFirst {
		return s.Next.Respond(ctx, req)
	}
	body, n, err := s.spool(req.Body)
	if err != nil {
		return nil, err
	}
	known := *req
	known.Env = req.Env.Clone()
	known.Env.Set("CONTENT_LENGTH", strconv.FormatInt(n, 10))
	known.Body, known.ContentLength = body, n
	resp, err := s.Next.Respond(ctx, &known)
	if c, ok := body.(io.Closer); ok {
		if err != nil {
			_ = c.Close()
			return nil, err
		}
		resp.OnClose(func() { _ = c.Close() })
	}
	return resp, err
}

func (s *Spool) tooLarge() error {
	return &Error{Kind: BodyTooLarge, Reason: fmt.Sprintf("the request's body is larger than the limit of %d bytes", s.Max)}
}

// spool reads all of r: into a *bytes.Reader, or an *os.File.
func (s *Spool) spool(r io.Reader) (io.Reader, int64, error) {
	memory := s.Memory
	if memory <= 0 {
		memory = 64 << 10
	}
	if s.Max > 0 {
		r = io.LimitReader(r, s.Max+1) // one more tells that there is more
		memory = min(memory, s.Max)
	}
	var head bytes.Buffer
	n, err := io.CopyN(&head, r, memory)
	if err == io.EOF {
		return bytes.NewReader(head.Bytes()), n, nil
	}
	if err != nil {
		return nil, 0, bodyError(err)
	}
	f, err := tempFile(s.Dir)
	if err != nil {
		return nil, 0, err
	}
	n, err = io.Copy(f, io.MultiReader(&head, r))
	switch {
	case err != nil:
		err = bodyError(err)
	case s.Max > 0 && n > s.Max:
		err = s.tooLarge()
	default:
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = f.Close()
		return nil, 0, err
	}
	return f, n, nil
}

// tempFile opens a file that has no name, so that nobody else can open it and it
// is gone when it is closed (A64).
func tempFile(dir string) (*os.File, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), dir+"/(spooled body)"), nil
	}
	f, err := os.CreateTemp(dir, "gatehouse-body-") // a file system without O_TMPFILE
	if err != nil {
		return nil, &Error{Kind: Internal, Reason: fmt.Sprintf("cannot spool the request's body: %v", err), Err: err}
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil, &Error{Kind: Internal, Reason: fmt.Sprintf("cannot spool the request's body: %v", err), Err: err}
	}
	return f, nil
}

// bodyError says what it means that the body could not be read (or kept).
func bodyError(err error) error {
	var e *Error
	var file *os.PathError
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), errors.Is(err, unix.EFBIG):
		return &Error{Kind: Internal, Status: 507, Reason: fmt.Sprintf("no room for the request's body: %v", err), Err: err}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &Error{Kind: BodyTimeout, Reason: "the client did not send the request's body in time", Err: err}
	case errors.As(err, &file): // no client's body is a file
		return &Error{Kind: Internal, Reason: fmt.Sprintf("cannot spool the request's body: %v", err), Err: err}
	}
	return &Error{Kind: BodyFailed, Reason: fmt.Sprintf("the request's body ended early: %v", err), Err: err}
}
