package fastcgi

import (
	"errors"
	"io"
	"sync"
)

// bufferSize is the size of a Reader's buffer.
const bufferSize = 8 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// A Reader takes records from a connection through a buffer of 8 KiB. It is for one
// goroutine. Content that is read into a larger slice does not pass the buffer.
//
// An error of the source is returned as it is, and is not kept: after a deadline, Next
// or Read can be called again and continue where they were. A *ProtocolError is final.
type Reader struct {
	src  io.Reader
	buf  *[bufferSize]byte // nil while nothing is buffered and Release was called
	r, w int               // buf[r:w] is read from the source and not consumed
	err  error             // that came from the source together with bytes
	left int               // content of the current record that was not read
	skip int               // its padding, still to come
	bad  *ProtocolError
}

// NewReader returns a Reader of r.
func NewReader(r io.Reader) *Reader { return &Reader{src: r} }

// Reset makes r read from src, as NewReader does, and keeps the buffer.
func (r *Reader) Reset(src io.Reader) { *r = Reader{src: src, buf: r.buf} }

// Release gives the buffer to other Readers if it is empty; the next read takes one.
func (r *Reader) Release() {
	if r.buf != nil && r.r == r.w {
		buffers.Put(r.buf)
		r.buf, r.r, r.w = nil, 0, 0
	}
}

// Buffered is how many bytes were read from the source and not consumed.
func (r *Reader) Buffered() int { return r.w - r.r }

// Next returns the header of the next record; what is left of the record before is
// skipped, with its padding (B05). It returns io.EOF if the source ends between two
// records and io.ErrUnexpectedEOF if it does within one, and the errors of ParseHeader.
func (r *Reader) Next() (Header, error) {
	if r.bad != nil {
		return Header{}, r.bad
	}
	for r.left+r.skip > 0 {
		if r.r == r.w {
			if err := r.fill(); err != nil {
				return Header{}, cutShort(err)
			}
		}
		n := min(r.left+r.skip, r.w-r.r)
		r.r += n
		fromContent := min(n, r.left)
		r.left -= fromContent
		r.skip -= n - fromContent
	}
	for r.w-r.r < HeaderLen {
		if err := r.fill(); err != nil {
			if r.w > r.r {
				err = cutShort(err)
			}
			return Header{}, err
		}
	}
	h, err := ParseHeader(r.buf[r.r:r.w])
	if err != nil {
		errors.As(err, &r.bad)
		return Header{}, err
	}
	r.r += HeaderLen
	r.left, r.skip = h.ContentLength, h.PaddingLength
	return h, nil
}

// Read reads content of the current record, and returns io.EOF at its end.
func (r *Reader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	p = p[:min(len(p), r.left)]
	if r.r == r.w && len(p) >= bufferSize {
		n, err := r.direct(p)
		r.left -= n
		return n, err
	}
	if r.r == r.w {
		if err := r.fill(); err != nil {
			return 0, cutShort(err)
		}
	}
	n := copy(p, r.buf[r.r:r.w])
	r.r += n
	r.left -= n
	return n, nil
}

// direct reads from the source into p.
func (r *Reader) direct(p []byte) (int, error) {
	n, err := r.pull(p)
	if n > 0 {
		return n, nil
	}
	return 0, cutShort(err)
}

// fill reads more into the buffer, which has room: at most a part of a header is in it.
func (r *Reader) fill() error {
	if late, ok := r.src.(lateSource); ok && r.buf == nil && r.err == nil {
		return late.readLate(r)
	}
	if r.buf == nil {
		r.buf = buffers.Get().(*[bufferSize]byte)
	}
	if r.r > 0 {
		r.w = copy(r.buf[:], r.buf[r.r:r.w])
		r.r = 0
	}
	n, err := r.pull(r.buf[r.w:])
	r.w += n
	if n > 0 {
		return nil
	}
	return err
}

// A lateSource is a source that can wait until there is something to read before a
// buffer is needed. It fills r.buf as fill does.
type lateSource interface{ readLate(r *Reader) error }

// peek returns the header of the record behind the current one if it is buffered, what is
// left of the current one with it.
func (r *Reader) peek() (Header, bool) {
	if r.w-r.r-HeaderLen < r.left+r.skip {
		return Header{}, false
	}
	h, err := ParseHeader(r.buf[r.r+r.left+r.skip : r.w])
	return h, err == nil
}

// pull reads once from the source; an error that comes with bytes waits for the next
// call. A source that gives neither time and again is broken.
func (r *Reader) pull(p []byte) (int, error) {
	if err := r.err; err != nil {
		r.err = nil
		return 0, err
	}
	for range 100 {
		n, err := r.src.Read(p)
		if n > 0 {
			r.err = err
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
	return 0, io.ErrNoProgress
}

// cutShort is the error for a source that ends within a record.
func cutShort(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
