package cgi

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// A Waiter is a body that can wait a short while. ReadWithin reads as Read does,
// but returns ErrNothingYet when nothing came within d. A front uses it to hand
// on what it has when the application has nothing more to give at the moment.
type Waiter interface {
	ReadWithin(p []byte, d time.Duration) (int, error)
}

// ErrNothingYet is what ReadWithin says when it has waited long enough.
var ErrNothingYet = errors.New("cgi: nothing to read yet")

// restBody is the part of a stream that follows what was already read of it.
type restBody struct {
	rest   []byte
	r      io.Reader
	pooled *headBuffer // rest is in it; nil where it is not
}

// consumed lets go of the buffer when nothing is left in it.
func (b *restBody) consumed() {
	if len(b.rest) > 0 {
		return
	}
	b.rest = nil
	if b.pooled != nil {
		headBuffers.Put(b.pooled)
		b.pooled = nil
	}
}

func (b *restBody) Read(p []byte) (int, error) {
	if len(b.rest) > 0 {
		n := copy(p, b.rest)
		b.rest = b.rest[n:]
		b.consumed()
		return n, nil
	}
	return b.r.Read(p)
}

func (b *restBody) ReadWithin(p []byte, d time.Duration) (int, error) {
	if w, ok := b.r.(Waiter); ok && len(b.rest) == 0 {
		return w.ReadWithin(p, d)
	}
	return b.Read(p)
}

// closeWhole implements wholeCloser.
func (b *restBody) closeWhole() error {
	if c, ok := b.r.(wholeCloser); ok {
		return c.closeWhole()
	}
	return b.Close()
}

func (b *restBody) Close() error {
	if c, ok := b.r.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// exactBody gives exactly the declared number of bytes: what is beyond is left
// unread, and what is missing is an error (A80).
type exactBody struct {
	body io.ReadCloser
	left int64
}

func (b *exactBody) Read(p []byte) (int, error) { return b.read(p, -1) }

func (b *exactBody) ReadWithin(p []byte, d time.Duration) (int, error) { return b.read(p, d) }

func (b *exactBody) read(p []byte, d time.Duration) (n int, err error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	if w, ok := b.body.(Waiter); ok && d >= 0 {
		n, err = w.ReadWithin(p, d)
	} else {
		n, err = b.body.Read(p)
	}
	b.left -= int64(n)
	if f, ok := b.body.(fulfilled); ok && b.left == 0 {
		f.fulfil()
	}
	if err == io.EOF && b.left > 0 {
		e := &Error{Kind: Truncated, Reason: fmt.Sprintf("its output ends %d bytes before the Content-Length that it declared", b.left)}
		if f, ok := b.body.(failer); ok {
			f.fail(e)
		}
		err = e
	}
	return n, err
}

// A fulfilled is told that it has given all that was declared.
type fulfilled interface{ fulfil() }

// fulfil implements fulfilled.
func (b *restBody) fulfil() {
	if f, ok := b.r.(fulfilled); ok {
		f.fulfil()
	}
}

// A failer is told what is wrong with what it gave, for its report.
type failer interface{ fail(error) }

// fail implements failer.
func (b *restBody) fail(err error) {
	if f, ok := b.r.(failer); ok {
		f.fail(err)
	}
}

// A wholeCloser is told at its end whether it was of use to the last byte.
type wholeCloser interface{ closeWhole() error }

func (b *exactBody) Close() error {
	if c, ok := b.body.(wholeCloser); ok && b.left == 0 {
		return c.closeWhole()
	}
	return b.body.Close()
}
