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
		Usage:     "serve a folder, a program, an application, a configuration or the demonstration site",
		ArgsUsage: "[DIR | SCRIPT | app.py[:NAME] | MODULE:NAME | fcgi://HOST:PORT | scgi://HOST:PORT | unix:/PATH]",
		Description: "Without an argument the demonstration site is served. A folder is served with its files, the programs in its cgi-bin/ and those named *.cgi,\n" +
			"and with *.php where there is a php-cgi to run them. A program answers for every path, and so does a WSGI application (app.py, app.py:NAME,\n" +
			"package.module:NAME), which is loaded anew when its sources change, a FastCGI application (fcgi://, unix:) or an SCGI application (scgi://);\n" +
			"where the folder of --root holds PHP files, the latter two answer for those. It listens for HTTP, or as an application for a web server in\n" +
			"front. Ctrl-C lets the running requests finish and stops; a second Ctrl-C stops at once.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "serve what the configuration `FILE` says"},
			&cli.StringSliceFlag{Name: "listen", Usage: "listen on `ADDRESS`, in place of what the configuration says: 127.0.0.1:8080, unix:/run/gatehouse.sock, systemd:, fd:0; with fastcgi: or scgi: in front for a web server; may be repeated"},
			&cli.StringFlag{Name: "listen-mode", Usage: "permissions of the Unix sockets, in octal: `MODE`; 0660 when nothing else is said"},
			&cli.StringFlag{Name: "listen-owner", Usage: "the Unix sockets belong to `USER`"},
			&cli.StringFlag{Name: "listen-group", Usage: "the Unix sockets belong to `GROUP`, such as that of the web server"},
			&cli.StringSliceFlag{Name: "trust", Usage: "believe the web server at `ADDRESS` about its clients: an address, a network, or unix for every Unix socket; may be repeated"},
			&cli.StringFlag{Name: "root", Usage: "with SCRIPT or an application: `DIR` is its DOCUMENT_ROOT"},
			warmFlag(),
		},
		Action: func(c *cli.Context) error {
			if c.NArg() > 1 {
				return misused("serve takes one folder or program, not %d", c.NArg())
			}
			if err := notEmpty(c, 0); err != nil {
				return err
			}
			mode, err := warmMode(c)
			if err != nil {
				return err
			}
			s, err := open(c.String("config"), c.Args().First(), c.String("root"))
			if err != nil {
				return err
			}
			if c.IsSet("warm") {
				s.warm(mode)
			}
			if err := s.listenOn(c); err != nil {
				return errors.Join(err, s.close())
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
	err = h.Serve(ctx, hurry, func(on []site.Listening) { announce(stderr, s, on) })
	return errors.Join(err, h.Close())
}

// announce tells what is served, where, and how to stop it.
func announce(w io.Writer, s *served, on []site.Listening) {
	if s.python { // as one is used to
		fmt.Fprintf(w, "Serving %s on %s\n", s.what, place(on[0]))
	} else {
		fmt.Fprintf(w, "gatehouse: serving %s\n", s.what)
	}
	if wrong := process.Check(s.program); s.program != "" && wrong != nil {
		fmt.Fprintf(w, "gatehouse: it cannot be run as it is: %s\n", wrong.Reason)
	}
	if s.missing != "" {
		fmt.Fprintf(w, "gatehouse: %s\n", s.missing)
	}
	for n, l := range on {
		if n > 0 || !s.python {
			fmt.Fprintf(w, "gatehouse: on %s\n", place(l))
		}
	}
	for _, l := range on {
		if l.Protocol != "http" && !l.Believed {
			fmt.Fprintf(w, "gatehouse: what a web server says on %s of its clients (REMOTE_ADDR, HTTPS and the like) is not believed; %s changes that\n",
				l.Addr, trustHint(s, l.Addr))
		}
	}
	fmt.Fprintf(w, "gatehouse: Ctrl-C stops it\n")
}

// place says where a listener is, as the one who connects to it needs it.
func place(l site.Listening) string {
	address := strings.Replace(l.Addr.String(), "[::]", "localhost", 1)
	inherited := ""
	if l.Network == "systemd" || l.Network == "fd" {
		inherited = ", inherited"
	}
	switch unix := l.Addr.Network() == "unix"; {
	case l.Protocol == "http" && unix:
		return "the Unix socket " + address + inherited
	case l.Protocol == "http":
		return "http://" + address + "/" + inherited
	case unix:
		return "the Unix socket " + address + " as " + applications[l.Protocol] + inherited
	default:
		return address + " as " + applications[l.Protocol] + inherited
	}
}

// applications are what a web server calls those that it talks to by a protocol.
var applications = map[string]string{"fastcgi": "a FastCGI application", "scgi": "an SCGI application"}

// trustHint is how to have the peers of a listener believed.
func trustHint(s *served, addr net.Addr) string {
	who := "ADDRESS"
	if addr.Network() == "unix" {
		who = "unix"
	}
	if s.made {
		return "--trust " + who
	}
	return fmt.Sprintf("trusted_proxies = [%q]", who)
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
	// Who reads the log may go away: that must not end the server, and leave its workers.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
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
		if l.Network != "tcp" || l.Protocol != "http" {
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
