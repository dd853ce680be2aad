package process

import "time"

// born is when this process was.
var born = time.Now()

// ticks is how long after that now is, in nanoseconds, by the clock that nobody sets: for
// times that are kept as a number.
func ticks(now time.Time) int64 { return int64(now.Sub(born)) }
