package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "config", Category: "What is served", Aliases: []string{"c"}, Usage: "serve what the configuration `FILE` says"},
			&cli.StringSliceFlag{Name: "listen", Category: "Where it listens", Usage: "listen on `ADDRESS`, in place of what the configuration says: 127.0.0.1:8080, unix:/run/gatehouse.sock, systemd:, fd:0; with fastcgi: or scgi: in front for a web server; may be repeated"},
			&cli.StringFlag{Name: "listen-mode", Category: "Where it listens", Usage: "permissions of the Unix sockets, in octal: `MODE`", DefaultText: "0660"},
			&cli.StringFlag{Name: "listen-owner", Category: "Where it listens", Usage: "the Unix sockets belong to `USER`"},
			&cli.StringFlag{Name: "listen-group", Category: "Where it listens", Usage: "the Unix sockets belong to `GROUP`, such as that of the web server"},
			&cli.StringSliceFlag{Name: "trust", Category: "Where it listens", Usage: "believe the web server at `ADDRESS` about its clients: an address, a network, or unix for every Unix socket; may be repeated"},
			&cli.StringFlag{Name: "control", Category: "Where it listens", Usage: "the socket for reload, upgrade, stop and status is `PATH`, or off; see control in the configuration"},
			&cli.StringFlag{Name: "root", Category: "What is served", Usage: "with SCRIPT or an application: `DIR` is its DOCUMENT_ROOT"},
			warmFlag("What is served"),
		}, tlsFlags()...),
		Action: func(c *cli.Context) error {
			if c.NArg() > 1 {
				return misused("serve takes one folder or program, not %d", c.NArg())
			}
			if err := notEmpty(c, 0); err != nil {
				return err
			}
			up := newReadiness()
			err := serveCommanded(c, up)
			up.fail(err)
			return err
		},
	}
}

// serveCommanded serves what the flags and arguments name.
func serveCommanded(c *cli.Context, up *readiness) error {
	mode, err := warmMode(c)
	if err != nil {
		return err
	}
	read := func() (*served, error) {
		collectOften()
		s, err := open(c.String("config"), c.Args().First(), c.String("root"))
		if err != nil {
			return nil, err
		}
		if c.IsSet("warm") {
			s.warm(mode)
		}
		if err := s.listenOn(c); err != nil {
			return nil, errors.Join(err, s.close())
		}
		return s, nil
	}
	s, err := read()
	if err != nil {
		return err
	}
	if !c.IsSet("config") {
		read = nil
	}
	err = serve(c.Context, s, read, c.App.ErrWriter, up)
	if !c.IsSet("config") { // whose lines say it themselves
		err = busyHint(err)
	}
	return errors.Join(err, s.close())
}

// busyHint adds what to do about an address that is taken.
func busyHint(err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return hinted{err, "another program listens there; --listen 127.0.0.1:0 takes a free port"}
	}
	return err
}

// serve runs until a signal, or ctx, ends it. read is for a reload, nil where there is
// nothing to read again.
func serve(ctx context.Context, s *served, read func() (*served, error), stderr io.Writer, up *readiness) error {
	var h *site.Host
	h, err := site.New(s.config, site.Options{
		Development: s.made && loopback(s.config.Listen), Software: software(),
		Stderr: stderr, AccessLog: stderr,
		Retired: func() { tuneHeap(h.Config()) },
	})
	if err != nil {
		return err
	}
	tuneHeap(s.config)
	d := newService(h, h.Log(), read)
	return errors.Join(d.run(ctx, s, stderr, up), h.Close())
}

// announce tells what is served, where, and how to stop it.
func announce(w io.Writer, s *served, on []site.Listening, pages []string) {
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
		if !strings.HasPrefix(l.Protocol, "http") && !l.Believed {
			fmt.Fprintf(w, "gatehouse: what a web server says on %s of its clients (REMOTE_ADDR, HTTPS and the like) is not believed; %s changes that\n",
				l.Addr, trustHint(s, l.Addr))
		}
	}
	for _, page := range pages {
		fmt.Fprintf(w, "gatehouse: the status page on %s\n", page)
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
	case l.Protocol == "https" && unix:
		return "the Unix socket " + address + " with TLS" + inherited
	case l.Protocol == "http", l.Protocol == "https":
		return l.Protocol + "://" + address + "/" + inherited
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

// loopback reports whether the listeners are for this machine's user: not for the
// rest of the world, nor for a server in front, which a Unix socket is made for.
func loopback(listen []config.Listen) bool {
	for _, l := range listen {
		if l.Network != "tcp" || !strings.HasPrefix(l.Protocol, "http") {
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
