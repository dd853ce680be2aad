package cgi

import (
	"io"
	"net/http"
)

// A sender is a front's way to its client, for copyBody.
type sender interface {
	arm()         // a write follows, or something was written
	flush() error // what was written is to go out now
}

// copyBody sends the body as it comes: what was written is flushed when the source
// has nothing more to give at the moment, so large output is not slowed by it. progress,
// which may be nil, is told of each piece.
func copyBody(w io.Writer, to sender, body io.Reader, flush bool, progress *Progress) (sent int64, whole bool) {
	if pw, ok := body.(PieceWriter); ok {
		return copyPieces(w, to, pw, progress)
	}
	waiter, _ := body.(Waiter)
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	for pending := true; ; { // the header is pending
		var n int
		var err error
		if waiter != nil && pending && flush {
			n, err = waiter.ReadWithin(*buf, FlushAfter)
		} else {
			n, err = body.Read(*buf)
		}
		if n > 0 {
			to.arm()
			k, werr := w.Write((*buf)[:n])
			sent += int64(k)
			progress.add(k)
			if werr != nil {
				return sent, false
			}
			pending = true
		}
		switch {
		case err == ErrNothingYet:
			to.arm()
			if to.flush() != nil {
				return sent, false
			}
			pending = false
		case err == io.EOF:
			return sent, true
		case err != nil:
			_ = to.flush() // what there is, before the end that is none
			return sent, false
		}
	}
}

// A PieceWriter is a body that can write itself piece by piece, in a way better
// than by Read: files, by sendfile(2). It returns io.EOF after the last piece.
type PieceWriter interface {
	WritePiece(w io.Writer) (int64, error)
}

func copyPieces(w io.Writer, to sender, body PieceWriter, progress *Progress) (sent int64, whole bool) {
	for {
		to.arm()
		n, err := body.WritePiece(w)
		sent += n
		progress.add(int(n))
		if err != nil {
			return sent, err == io.EOF
		}
	}
}

// bodiless reports whether a response to that method, or of that status, has no
// body, whatever the application printed (A85, A87).
func bodiless(method string, status int) bool {
	return method == http.MethodHead || status == 204 || status == 205 || status == 304
}
