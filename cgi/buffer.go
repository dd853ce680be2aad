package cgi

import (
	"context"
	"os"
	"sync"
	"time"
)

// Buffer is a Responder that does not let a slow client hold what Next uses to
// answer (A104). Once a response has become long it is read ahead of the client:
// into memory, and where the client makes no progress, into a file without a name.
// When all of it is there, Next's response is closed, and a process's place free,
// however long the client takes for the rest. Beyond Memory and Max the response
// waits for the client.
type Buffer struct {
	Next Responder

	Memory int    // bytes read ahead in memory; zero means 256 KiB
	Max    int64  // bytes kept in the file; zero means that no file is used
	Dir    string // where the file is made; "" means os.TempDir

	// Patience is how long a full memory waits for the client before the file
	// is used: a client that takes what comes costs no disk. Zero means a second.
	Patience time.Duration
}

// aheadAfter is the length of a response from which on it is read ahead. Less than
// that a socket takes at once, however slow the client.
const aheadAfter = 16 << 10

func (b *Buffer) memory() int { return orDefault(b.Memory, 256<<10) }

func (b *Buffer) patience() time.Duration {
	if b.Patience > 0 {
		return b.Patience
	}
	return time.Second
}

// Respond returns Next's response with a body that reads ahead. Closing it early
// cancels the context that Next was given.
func (b *Buffer) Respond(ctx context.Context, req *Request) (*Response, error) {
	ctx, cancel := context.WithCancel(ctx)
	inner, err := b.Next.Respond(ctx, req)
	if err != nil {
		cancel()
		return nil, err
	}
	if _, direct := inner.Body.(PieceWriter); direct { // a file has no need of it
		inner.OnClose(cancel)
		return inner, nil
	}
	return &Response{
		Status: inner.Status, Reason: inner.Reason, Header: inner.Header, ContentLength: inner.ContentLength,
		Raw: inner.Raw, Gone: inner.Gone, implied: inner.implied, satisfied: inner.satisfied,
		Body: &aheadBody{b: b, inner: inner, cancel: cancel, begun: time.Now()},
	}, nil
}

// aheadBody is read directly at first, and through a goroutine once it is long.
type aheadBody struct {
	b      *Buffer
	inner  *Response
	cancel context.CancelFunc
	begun  time.Time
	direct int // bytes read directly

	done  chan struct{} // closed when the goroutine has ended; nil: there is none
	data  chan struct{} // there may be something to read
	space chan struct{} // there may be room again

	mu     sync.Mutex
	queue  [][]byte // read ahead, in memory
	bufs   []*[]byte
	queued int
	file   *os.File // what follows the queue; nil until it is needed
	from   int64    // the file's part that was not given out yet
	to     int64
	noFile bool  // none can be had
	err    error // how the inner body ended
	closed bool
}

func (a *aheadBody) Read(p []byte) (int, error) { return a.read(p, -1) }

// ReadWithin implements Waiter.
func (a *aheadBody) ReadWithin(p []byte, d time.Duration) (int, error) { return a.read(p, d) }

func (a *aheadBody) read(p []byte, within time.Duration) (int, error) {
	if a.done == nil {
		if a.direct < aheadAfter && time.Since(a.begun) < quick {
			return a.readDirect(p, within)
		}
		a.done = make(chan struct{})
		a.data, a.space = make(chan struct{}, 1), make(chan struct{}, 1)
		go a.pump()
	}
	var late <-chan time.Time
	for {
		n, err := a.take(p)
		if n > 0 || err != nil {
			return n, err
		}
		if within >= 0 && late == nil {
			t := time.NewTimer(within)
			defer t.Stop()
			late = t.C
		}
		select {
		case <-a.data:
		case <-late:
			return 0, ErrNothingYet
		}
	}
}

func (a *aheadBody) readDirect(p []byte, within time.Duration) (n int, err error) {
	if w, ok := a.inner.Body.(Waiter); ok && within >= 0 {
		n, err = w.ReadWithin(p, within)
	} else {
		n, err = a.inner.Body.Read(p)
	}
	a.direct += n
	return n, err
}

// take gives out what there is, without waiting.
func (a *aheadBody) take(p []byte) (n int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case len(a.queue) > 0:
		n = copy(p, a.queue[0])
		if a.queue[0] = a.queue[0][n:]; len(a.queue[0]) == 0 {
			copyBuffers.Put(a.bufs[0])
			a.queue, a.bufs = a.queue[1:], a.bufs[1:]
		}
		a.queued -= n
	case a.from < a.to:
		n, err = a.file.ReadAt(p[:min(int64(len(p)), a.to-a.from)], a.from)
		if n > 0 {
			err = nil
		}
		if a.from += int64(n); a.from == a.to { // all given out: begin anew
			a.from, a.to = 0, 0
			_ = a.file.Truncate(0)
		}
	default:
		return 0, a.err
	}
	poke(a.space)
	return n, err
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// pump reads the inner body to its end and closes the inner response. It ends when
// the body does; Close sees to it that it does.
func (a *aheadBody) pump() {
	defer close(a.done)
	defer poke(a.data)
	var err error
	for err == nil {
		buf := copyBuffers.Get().(*[]byte)
		var n int
		n, err = a.inner.Body.Read(*buf)
		if n == 0 || !a.put(buf, n) {
			copyBuffers.Put(buf)
		}
	}
	_ = a.inner.Close() // before the end is told: the account is complete then
	a.mu.Lock()
	a.err = err
	a.mu.Unlock()
}

// put adds what was read to the queue or the file, and waits while there is no
// room. It reports whether it keeps buf.
func (a *aheadBody) put(buf *[]byte, n int) (kept bool) {
	patience := time.NewTimer(a.b.patience())
	defer patience.Stop()
	for tired := false; ; {
		stored, kept := a.store(buf, n, tired)
		if stored {
			poke(a.data)
			return kept
		}
		select {
		case <-a.space:
		case <-patience.C:
			tired = true
		}
	}
}

// store is put without the waiting. What is behind bytes in the file goes there as
// well, to keep the order.
func (a *aheadBody) store(buf *[]byte, n int, tired bool) (stored, kept bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closed: // nobody reads it any more
		return true, false
	case a.from == a.to && a.queued < a.b.memory():
		a.queue, a.bufs = append(a.queue, (*buf)[:n]), append(a.bufs, buf)
		a.queued += n
		return true, true
	case !tired && a.from == a.to, int64(n) > a.b.Max-a.to, a.noFile:
		return false, false
	}
	var err error
	if a.file == nil {
		a.file, err = tempFile(a.b.Dir)
	}
	if err == nil {
		_, err = a.file.WriteAt((*buf)[:n], a.to)
	}
	if err != nil { // a full disk, perhaps: wait for the client from now on
		a.noFile = true
		return false, false
	}
	a.to += int64(n)
	return true, false
}

// Close ends the inner response, if it has not ended, and waits for the goroutine.
func (a *aheadBody) Close() error {
	if a.done == nil {
		err := a.inner.Close()
		a.cancel()
		return err
	}
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.cancel()
	poke(a.space)
	<-a.done
	for _, buf := range a.bufs {
		copyBuffers.Put(buf)
	}
	if a.file != nil {
		_ = a.file.Close()
	}
	return nil
}
