package scgi

import "time"

// A test that is held up for some seconds is not to find its connection reset.
func init() { lingerTime = 20 * time.Second }
