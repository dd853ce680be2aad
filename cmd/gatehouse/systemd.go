package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// notifier tells systemd how the server is (sd_notify(3)); without NOTIFY_SOCKET it does
// nothing.
type notifier struct {
	log   *slog.Logger
	every time.Duration // of the watchdog; 0: there is none

	cancel context.CancelFunc
	watch  sync.WaitGroup
}

func newNotifier(log *slog.Logger) *notifier {
	n := &notifier{log: log}
	every, err := sd.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("systemd's watchdog cannot be served", "error", err)
	}
	if n.every = every / 2; every > 0 && n.every < time.Millisecond {
		n.every = time.Millisecond
	}
	return n
}

func (n *notifier) send(state string) {
	if _, err := sd.SdNotify(false, state); err != nil {
		n.log.Warn("systemd cannot be told", "error", err)
	}
}

// begin says that the server is ready, and begins to say that it is alive, as long as
// alive returns nil, and without asking once stopping is done.
func (n *notifier) begin(stopping context.Context, status string, alive func(context.Context) error) {
	n.ready(status)
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	context.AfterFunc(stopping, func() {
		if ctx.Err() == nil {
			n.send(sd.SdNotifyStopping)
		}
	})
	if n.every <= 0 {
		return
	}
	n.watch.Go(func() { // until end
		t := time.NewTicker(n.every)
		defer t.Stop()
		for {
			n.pat(ctx, stopping, alive)
			select {
			case <-t.C:
			case <-ctx.Done():
				return
			}
		}
	})
}

// pat resets the watchdog if the server answers within its time.
func (n *notifier) pat(ctx, stopping context.Context, alive func(context.Context) error) {
	within, cancel := context.WithTimeout(ctx, n.every)
	defer cancel()
	if err := alive(within); err != nil && stopping.Err() == nil {
		if ctx.Err() == nil {
			n.log.Error("the watchdog is not reset", "error", err)
		}
		return
	}
	n.send(sd.SdNotifyWatchdog)
}

// reloading says that a reload has begun; ready ends it.
func (n *notifier) reloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		n.log.Warn("systemd cannot be told", "error", err)
		return
	}
	n.send(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", sd.SdNotifyReloading, now.Nano()/1000))
}

func (n *notifier) ready(status string) { n.send(sd.SdNotifyReady + "\nSTATUS=" + status) }

// handed says that another process is the service from now on.
func (n *notifier) handed(pid int) { n.send("MAINPID=" + strconv.Itoa(pid)) }

// end waits until nothing is sent any more.
func (n *notifier) end() {
	if n.cancel != nil {
		n.cancel()
		n.watch.Wait()
	}
}

// withoutOwn leaves out of an environment what is true of this process only.
func withoutOwn(env []string) []string {
	own := map[string]bool{"WATCHDOG_PID": true, "LISTEN_PID": true, "LISTEN_FDS": true, "LISTEN_FDNAMES": true}
	return slices.DeleteFunc(env, func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return own[name]
	})
}
