package site

import "time"

// What happens once in a while happens soon in tests, and a test that is held up for some
// seconds is not to lose its connection.
func init() {
	lookAgain = 20 * time.Millisecond
	handshakeTime, refuseTime, proxyHeaderTime = time.Minute, time.Minute, time.Minute
}
