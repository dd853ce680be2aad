//go:build !race

package gatehouse_test

const raceDetector = false
