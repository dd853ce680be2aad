package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
)

func reloadCommand() *cli.Command {
	return asking("reload", "have a running gatehouse read its configuration again",
		"The configuration is read and everything that it needs is made before anything changes: with a mistake in it all stays as it is,\n"+
			"and the mistakes are shown. Applications, helpers and listeners that are the same live on, and no request is lost. SIGHUP does the same.",
		timeoutFlag("wait for it", time.Minute))
}

func upgradeCommand() *cli.Command {
	return asking("upgrade", "have a running gatehouse replaced by the program that is now in its place",
		"The new program is started with the sockets of the running one, which goes on until the new one serves, then takes no more requests\n"+
			"and ends with its last. When the new one does not come to serve, the running one goes on, and why is shown. SIGUSR2 does the same.",
		timeoutFlag("wait for it", 3*time.Minute))
}

func reopenCommand() *cli.Command {
	return asking("reopen", "have a running gatehouse open its log files anew",
		"For after the files were moved away, as logrotate(8) does. SIGUSR1 does the same.",
		timeoutFlag("wait for it", time.Minute))
}

// asking is a command that is one request of the same name.
func asking(name, usage, description string, flags ...cli.Flag) *cli.Command {
	return &cli.Command{
		Name: name, Usage: usage, Description: description, ArgsUsage: " ",
		Flags: append(controlFlags(), flags...),
		Action: func(c *cli.Context) error {
			return withClient(c, func(ctx context.Context, cl *client) error {
				return late(ctx, cl.ask(ctx, "POST", "/"+name))
			})
		},
	}
}

// withClient calls do with a client and a context that --timeout bounds.
func withClient(c *cli.Context, do func(context.Context, *client) error) error {
	if c.NArg() > 0 {
		return misused("%s takes no argument", c.Command.Name)
	}
	cl, err := controlled(c)
	if err != nil {
		return err
	}
	defer cl.close()
	ctx, cancel := within(c)
	defer cancel()
	return do(ctx, cl)
}

// late says so where the time was up.
func late(ctx context.Context, err error) error {
	// A connection's own timer, set to the same time, may be the first.
	if errors.Is(err, context.DeadlineExceeded) || err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return hinted{errors.New("no answer in time; what was asked for goes on"), "--timeout sets how long to wait"}
	}
	return err
}

func stopCommand() *cli.Command {
	return &cli.Command{
		Name: "stop", Usage: "have a running gatehouse finish its requests and stop",
		ArgsUsage: " ",
		Description: "It takes no more requests, waits for those that run at most as long as shutdown_timeout says, and ends. The command waits for that.\n" +
			"SIGTERM and SIGINT do the same.",
		Flags: append(controlFlags(),
			timeoutFlag("wait for its end", time.Minute),
			&cli.BoolFlag{Name: "now", Usage: "do not wait for requests that run: end them"}),
		Action: func(c *cli.Context) error {
			return withClient(c, func(ctx context.Context, cl *client) error { return cl.stop(ctx, c.Bool("now")) })
		},
	}
}

// stop asks for the end and waits until the process is gone.
func (c *client) stop(ctx context.Context, now bool) error {
	text, err := c.text(ctx, "GET", "/pid")
	if err != nil {
		return late(ctx, err)
	}
	pid, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("the gatehouse at %s does not tell which process it is", c.path)
	}
	// Before it is asked, so that the number cannot be another's by then.
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil { // it is in another container than this command
		fd = -1
	} else {
		defer unix.Close(fd)
	}
	times := 1
	if now {
		times = 2 // as with signals
	}
	for n := range times {
		if err := c.ask(ctx, "POST", "/stop"); err != nil && n == 0 { // it may have gone by the second time
			return late(ctx, err)
		}
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if c.gone(fd) {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return hinted{fmt.Errorf("process %d still runs: its requests have not ended", pid), "--now ends them; --timeout sets how long to wait"}
		}
	}
}

// gone reports whether the process of the descriptor has ended, or, without one, whether
// nobody listens any more.
func (c *client) gone(fd int) bool {
	if fd < 0 {
		conn, err := net.Dial("unix", c.path)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(poll, 0)
	return err == nil && n > 0
}
