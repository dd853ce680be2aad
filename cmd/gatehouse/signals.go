package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// stopping is how a server is stopped.
type stopping struct {
	first  context.Context // done when it is to let its requests come to their end
	second context.Context // done when it is not to wait for them any longer
	stop   func()          // the first call ends first, the others second
	finish func()          // has to be called at the end; it waits for what signals have begun
}

// actions are what a signal does in place of stopping the server. What is begun tells its
// failure to the log.
type actions map[os.Signal]func(context.Context) error

// endings returns the signals that are not ignored already: nohup is to work.
func endings(all ...os.Signal) (list []os.Signal) {
	for _, s := range all {
		if !signal.Ignored(s) {
			list = append(list, s)
		}
	}
	return list
}

// signals has SIGINT, SIGTERM and SIGHUP (the terminal has gone) stop the server, the first
// with and the second without patience, unless a signal does something else.
func signals(ctx context.Context, stderr io.Writer, other actions) *stopping {
	e := new(stopping)
	first, endFirst := context.WithCancel(ctx)
	second, endSecond := context.WithCancel(context.WithoutCancel(ctx))
	e.first, e.second = first, second
	got := make(chan os.Signal, 8)
	asked := endings(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	for s := range other {
		asked = append(asked, endings(s)...)
	}
	signal.Notify(got, asked...)
	// Who reads the log may go away: that must not end the server, and leave its workers.
	// Nor is a file to that grows beyond RLIMIT_FSIZE: its write fails as on a full disk.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE, syscall.SIGXFSZ)
	var once sync.Once
	e.stop = func() {
		again := true
		once.Do(func() {
			again = false
			fmt.Fprintln(stderr, "gatehouse: stopping when the running requests have ended; once more stops at once")
			endFirst()
		})
		if again {
			endSecond()
		}
	}
	done := make(chan struct{})
	var begun sync.WaitGroup
	begun.Go(func() {
		for {
			select {
			case s := <-got:
				if do := other[s]; do != nil {
					begun.Go(func() { _ = do(first) })
				} else {
					e.stop()
				}
			case <-done:
				return
			}
		}
	})
	e.finish = func() {
		signal.Stop(got)
		close(done)
		endFirst()
		endSecond()
		begun.Wait()
	}
	return e
}
