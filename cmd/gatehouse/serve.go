package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"gatehouse/internal/config"
	"gatehouse/internal/site"
	"gatehouse/process"
)

func serveCommand() *cli.Command {
	return &cli.Command{
		Name:      "serve",
		Usage:     "serve a folder, a program, a configuration or the demonstration site over HTTP",
		ArgsUsage: "[DIR | SCRIPT]",
		Description: "Without an argument the demonstration site is served. A folder is served with its files, the programs in its cgi-bin/ and those named *.cgi.\n" +
			"A program answers for every path. Ctrl-C lets the running requests finish and stops; a second Ctrl-C stops at once.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "serve what the configuration `FILE` says"},
			&cli.StringSliceFlag{Name: "listen", Usage: "listen on `ADDRESS`, in place of what the configuration says: 127.0.0.1:8080, unix:/run/gatehouse.sock; may be repeated"},
			&cli.StringFlag{Name: "root", Usage: "with SCRIPT: `DIR` is its DOCUMENT_ROOT"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() > 1 {
				return misused("serve takes one folder or program, not %d", c.NArg())
			}
			if err := notEmpty(c, 0); err != nil {
				return err
			}
			s, err := open(c.String("config"), c.Args().First(), c.String("root"), c.StringSlice("listen"))
			if err != nil {
				return err
			}
			return errors.Join(busyHint(serve(c.Context, s, c.App.ErrWriter)), s.close())
		},
	}
}

// busyHint adds what to do about an address that is taken.
func busyHint(err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return hinted{err, "another program listens there; --listen 127.0.0.1:0 takes a free port"}
	}
	return err
}

// serve runs until a signal, or ctx, ends it.
func serve(ctx context.Context, s *served, stderr io.Writer) error {
	log, err := openLog(s.config.Log, stderr)
	if err != nil {
		return err
	}
	defer log.close()
	access, err := openLog(s.config.AccessLog, stderr)
	if err != nil {
		return err
	}
	defer access.close()
	h, err := site.New(s.config, site.Options{
		Development: s.made && loopback(s.config.Listen), Software: software(),
		Log: slog.New(slog.NewTextHandler(log.w, nil)), AccessLog: access.w,
	})
	if err != nil {
		return err
	}
	ctx, hurry, stop := signals(ctx, stderr)
	defer stop()
	err = h.Serve(ctx, hurry, func(addrs []net.Addr) { announce(stderr, s, addrs) })
	return errors.Join(err, h.Close())
}

// announce tells what is served, where, and how to stop it.
func announce(w io.Writer, s *served, addrs []net.Addr) {
	fmt.Fprintf(w, "gatehouse: serving %s\n", s.what)
	if wrong := process.Check(s.program); s.program != "" && wrong != nil {
		fmt.Fprintf(w, "gatehouse: it cannot be run as it is: %s\n", wrong.Reason)
	}
	for _, a := range addrs {
		if a.Network() == "unix" {
			fmt.Fprintf(w, "gatehouse: on the Unix socket %s\n", a)
		} else {
			fmt.Fprintf(w, "gatehouse: on http://%s/\n", strings.Replace(a.String(), "[::]", "localhost", 1))
		}
	}
	fmt.Fprintf(w, "gatehouse: Ctrl-C stops it\n")
}

// endings returns the signals that are not ignored already: nohup is to work.
func endings(all ...os.Signal) (list []os.Signal) {
	for _, s := range all {
		if !signal.Ignored(s) {
			list = append(list, s)
		}
	}
	return list
}

// signals returns a context that the first SIGINT, SIGTERM or SIGHUP (the terminal
// has gone) ends, and one that the second ends.
func signals(ctx context.Context, stderr io.Writer) (first, second context.Context, stop func()) {
	first, endFirst := context.WithCancel(ctx)
	second, endSecond := context.WithCancel(context.WithoutCancel(ctx))
	got := make(chan os.Signal, 2)
	signal.Notify(got, endings(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)...)
	done := make(chan struct{})
	go func() {
		select {
		case <-got:
		case <-done:
			return
		}
		fmt.Fprintln(stderr, "gatehouse: stopping when the running requests have ended; once more stops at once")
		endFirst()
		select {
		case <-got:
			endSecond()
		case <-done:
		}
	}()
	return first, second, func() {
		signal.Stop(got)
		close(done)
		endFirst()
		endSecond()
	}
}

// loopback reports whether the listeners are for this machine's user: not for the
// rest of the world, nor for a server in front, which a Unix socket is made for.
func loopback(listen []config.Listen) bool {
	for _, l := range listen {
		if l.Network == "unix" {
			return false
		}
		host, _, err := net.SplitHostPort(l.Address)
		if err != nil {
			return false
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}

// logFile is where log lines go.
type logFile struct {
	w io.Writer // nil: nowhere
	f *os.File
}

func openLog(name string, stderr io.Writer) (*logFile, error) {
	switch name {
	case "stderr":
		return &logFile{w: stderr}, nil
	case "off":
		return &logFile{}, nil
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return &logFile{w: f, f: f}, nil
}

func (l *logFile) close() {
	if l.f != nil {
		_ = l.f.Close()
	}
}
