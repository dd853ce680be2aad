//go:build race

package gatehouse_test

// raceDetector says that the tests, and so the binary that they start, look for
// data races.
const raceDetector = true
