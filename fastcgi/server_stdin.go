package fastcgi

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The protocol has no flow control for a single request, and one that does not read
// its STDIN must not hold up the others of its connection (B66). What the front
// sends and the application has not read is kept in memory, up to MaxStdin. Beyond that
//
//   - where it is the connection's only request and the front never showed that it
//     multiplexes, nothing more is read from the connection: the front waits. That is
//     nginx, Apache, lighttpd. Its closing of the connection is still noticed;
//   - otherwise, and when the application has not read for a second, it goes to a file
//     without a name, up to MaxSpool;
//   - beyond that the connection waits again if the request is alone on it, and otherwise
//     the request ends with OVERLOADED.

// stdinBlock is the piece in which memory for STDIN is taken.
const stdinBlock = 16 << 10

var stdinBlocks = sync.Pool{New: func() any { return new([stdinBlock]byte) }}

// errEnded is what Read returns when the request has ended.
var errEnded = errors.New("fastcgi: request has ended")

// stdin is what came of one request's STDIN and was not read. The connection's reader
// fills it, the request's goroutines Read.
type stdin struct {
	srv      *Server
	mu       sync.Mutex
	more     sync.Cond           // something came, or the end
	blocks   []*[stdinBlock]byte // what came first; then the file
	head     int                 // blocks[0][head:] is not read
	tail     int                 // the last block is filled up to here
	filling  bool                // the reader writes to the last block
	file     *os.File
	from, to int64 // file[from:to] is not read
	end      bool  // the empty record has come
	err      error // what Read returns, sticky
	released bool
	waits    bool   // the reader waits for room
	room     func() // tells it

	came    time.Time   // when the last of it came
	stalled bool        // its end is not waited for
	watch   *time.Timer // of that
	waiting int         // output that waits for its end
	settled func()      // called once when that need not wait any more
}

// space returns memory to fill; the caller fills n bytes of it and calls commit(n). It is
// nil if there is to be no more in memory. over means that the server has no memory left.
func (s *stdin) space() (p []byte, over bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.released || s.to > s.from {
		return nil, false
	}
	if len(s.blocks) == 0 || s.tail == stdinBlock {
		if s.fullLocked() {
			return nil, false
		}
		if s.srv.full(stdinBlock) {
			s.srv.memory.Add(-stdinBlock)
			return nil, true
		}
		s.blocks = append(s.blocks, stdinBlocks.Get().(*[stdinBlock]byte))
		s.tail = 0
	}
	s.filling = true
	return s.blocks[len(s.blocks)-1][s.tail:], false
}

// fullLocked reports whether memory is to take no more: something is in the file, or
// as many blocks as there may be are full.
func (s *stdin) fullLocked() bool {
	return s.to > s.from || s.tail == stdinBlock && len(s.blocks) >= max(1, s.srv.maxStdin()/stdinBlock)
}

func (s *stdin) commit(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filling = false
	s.tail += n
	s.came = time.Now()
	if s.released {
		s.freeLocked()
		return
	}
	s.more.Broadcast()
}

// fits reports whether n more bytes may go to the file.
func (s *stdin) fits(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	used := s.to // what was read counts until all was
	if s.from == s.to {
		used = 0
	}
	return int64(n) <= s.srv.maxSpool()-used && s.srv.spooled.Load() < spoolTotal*s.srv.maxSpool()
}

// spoolTotal times MaxSpool is what the files of all requests may hold.
const spoolTotal = 16

// spool appends p to the file.
func (s *stdin) spool(p []byte) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.released {
		return nil
	}
	if s.from == s.to {
		s.srv.spooled.Add(-s.to)
		s.from, s.to = 0, 0
	}
	if s.file == nil {
		if s.file, err = namelessFile(); err != nil {
			return err
		}
	}
	n, err := s.file.WriteAt(p, s.to)
	s.to += int64(n)
	s.came = time.Now()
	s.srv.spooled.Add(int64(n))
	s.more.Broadcast()
	return err
}

// ended reports whether nobody reads any more.
func (s *stdin) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.released || s.err != nil
}

// finish tells Read that nothing more comes; fail, that it shall fail with err.
func (s *stdin) finish() {
	s.mu.Lock()
	s.end = true
	s.settleLocked()
	s.mu.Unlock()
}

func (s *stdin) fail(err error) {
	s.mu.Lock()
	if s.err == nil {
		s.err = err
	}
	s.settleLocked()
	s.tellLocked()
	s.mu.Unlock()
}

// Read implements io.Reader.
func (s *stdin) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.err != nil:
			return 0, s.err
		case len(p) == 0:
			return 0, nil
		case s.bufferedLocked() > 0:
			return s.takeLocked(p), nil
		case s.to > s.from:
			n, err := s.file.ReadAt(p[:min(int64(len(p)), s.to-s.from)], s.from)
			s.from += int64(n)
			s.tellLocked()
			if n > 0 {
				err = nil
			}
			return n, err
		case s.end:
			return 0, io.EOF
		}
		s.more.Wait()
	}
}

// Buffered is how much came that nobody has read.
func (s *stdin) Buffered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bufferedLocked() + int(s.to-s.from)
}

func (s *stdin) bufferedLocked() int {
	if len(s.blocks) == 0 {
		return 0
	}
	return (len(s.blocks)-1)*stdinBlock + s.tail - s.head
}

// takeLocked copies what is in memory to p and frees blocks that were read.
func (s *stdin) takeLocked(p []byte) (n int) {
	for n < len(p) && len(s.blocks) > 0 {
		end := stdinBlock
		last := len(s.blocks) == 1
		if last {
			end = s.tail
		}
		c := copy(p[n:], s.blocks[0][s.head:end])
		n += c
		if s.head += c; s.head < end || last && s.filling {
			break
		}
		stdinBlocks.Put(s.blocks[0])
		s.srv.memory.Add(-stdinBlock)
		s.blocks = s.blocks[:copy(s.blocks, s.blocks[1:])]
		s.head = 0
	}
	s.tellLocked()
	return n
}

func (s *stdin) tellLocked() {
	if s.waits {
		s.waits = false
		s.room()
	}
}

// await has room called when there is room, or none is needed any more; it reports
// false if that is so already. prepare is called before, so that it is not too late.
func (s *stdin) await(prepare func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.released || s.err != nil || !s.fullLocked() {
		return false
	}
	s.waits = true
	prepare()
	return true
}

// release frees everything. Reads fail from now on.
func (s *stdin) release() {
	s.fail(errEnded)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.released {
		return
	}
	s.released = true
	if !s.filling {
		s.freeLocked()
	}
	if s.file != nil {
		_ = s.file.Close()
		s.srv.spooled.Add(-s.to)
		s.file, s.from, s.to = nil, 0, 0
	}
}

func (s *stdin) freeLocked() {
	for _, b := range s.blocks {
		stdinBlocks.Put(b)
	}
	s.srv.memory.Add(-int64(len(s.blocks)) * stdinBlock)
	s.blocks, s.head, s.tail = nil, 0, 0
}

// Output waits until all of STDIN has come: nginx stops sending it when the response
// begins, and waits for the response, while a program that printed its header first waits
// for its body (git-http-backend does). The wait is over when the front sends nothing for
// holdLimit, or when there is no room for more. The end of a request waits for nothing.
const holdLimit = 5 * time.Second

func (s *stdin) settledLocked() bool { return s.end || s.err != nil || s.stalled }

// settleLocked is called when something came about that may end the wait.
func (s *stdin) settleLocked() {
	s.more.Broadcast()
	if s.settledLocked() {
		if s.settled != nil && s.err == nil {
			go s.settled() // it writes, which the reader must not; it ends as writing does
		}
		s.settled = nil
		if s.watch != nil {
			s.watch.Stop()
		}
	}
}

// whenSettled has f called when output need not wait any more, and reports whether it is
// to wait at all.
func (s *stdin) whenSettled(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settledLocked() {
		return false
	}
	s.settled = f
	s.watchLocked()
	return true
}

// waitSettled waits. The reader need not leave room to the application meanwhile.
func (s *stdin) waitSettled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting++
	for !s.settledLocked() {
		s.watchLocked()
		s.tellLocked()
		s.more.Wait()
	}
	s.waiting--
}

// holds reports whether output is to wait.
func (s *stdin) holds() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.settledLocked()
}

// blocksOutput reports whether output waits.
func (s *stdin) blocksOutput() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting > 0 && !s.settledLocked()
}

// stall ends the wait.
func (s *stdin) stall() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stalled = true
	s.settleLocked()
}

// watchLocked starts the watch for a front that sends nothing. Its last run is soon after
// the wait is over.
func (s *stdin) watchLocked() {
	if s.watch != nil {
		return
	}
	s.came = time.Now()
	s.watch = time.AfterFunc(holdLimit, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		silent := time.Since(s.came)
		if s.settledLocked() {
			return
		}
		if silent < holdLimit {
			s.watch.Reset(holdLimit - silent)
			return
		}
		s.stalled = true
		s.settleLocked()
	})
}

// namelessFile is a temporary file that nobody else can open and that is gone when
// it is closed (A64).
func namelessFile() (*os.File, error) {
	dir := os.TempDir()
	if fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600); err == nil {
		return os.NewFile(uintptr(fd), dir+"/(stdin)"), nil
	}
	f, err := os.CreateTemp(dir, "gatehouse-stdin-") // a file system without O_TMPFILE
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}
