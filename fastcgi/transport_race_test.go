//go:build race

package fastcgi_test

func raceEnabled() bool { return true }
