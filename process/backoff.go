package process

import (
	"math/rand/v2"
	"time"
)

const (
	// tolerated failures in a row are answered by a start at once; the next one
	// is the beginning of a crash loop.
	tolerated = 2

	// longestPause bounds the time between two starts in a crash loop.
	longestPause = 30 * time.Second

	// forgetAfter is how far apart two failures are that have nothing to do with
	// each other.
	forgetAfter = time.Minute

	// settled is the age at which a worker that nobody has asked anything is
	// taken to work.
	settled = 5 * time.Second
)

// backoff counts failures in a row and spaces the starts after them: n squared
// seconds for the n-th beyond those tolerated, with jitter (B22, F49).
type backoff struct {
	failures int
	first    int       // number of the worker begun last when the first of them was known
	mark     int       // the same for the last of them
	last     time.Time // of the failures
	until    time.Time // no start before
	looping  bool
}

// failed counts the failure, at now, of the worker with a number, and reports
// whether a crash loop begins with it. Those that had been begun before the failure
// before was known are of the same round, and not counted again. begun is the
// number of the worker begun last.
func (b *backoff) failed(number, begun int, now time.Time) (begins bool) {
	if number <= b.mark {
		return false
	}
	if !b.looping && now.Sub(b.last) > forgetAfter {
		b.failures = 0
	}
	if b.failures == 0 {
		b.first = begun
	}
	b.failures++
	b.mark, b.last = begun, now
	n := b.failures - tolerated
	if n <= 0 {
		return false
	}
	pause := min(time.Duration(n*n)*time.Second, longestPause)
	b.until = now.Add(pause - pause/10 + rand.N(pause/5))
	begins = !b.looping
	b.looping = true
	return begins
}

// works says that the worker with a number does its work, and reports whether a
// crash loop ends with it. One older than all the failures proves nothing: the
// program may have been replaced since.
func (b *backoff) works(number int) (ends bool) {
	if b.failures == 0 || number <= b.first {
		return false
	}
	ends = b.looping
	*b = backoff{mark: b.mark}
	return ends
}

// hurry allows one start now: something that did work has ended.
func (b *backoff) hurry() { b.until = time.Time{} }

// wait is how long no start is allowed, 0 or less when one is.
func (b *backoff) wait(now time.Time) time.Duration {
	if b.until.IsZero() {
		return 0
	}
	return b.until.Sub(now)
}
