package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"gatehouse/environ"
	"gatehouse/internal/config"
	"gatehouse/internal/site"
)

func wrapCommand() *cli.Command {
	limits := config.Default().Limits
	return &cli.Command{
		Name:      "wrap",
		Usage:     "run the CGI scripts that a web server in front names, as fcgiwrap does",
		ArgsUsage: "[ADDRESS]",
		Description: "For an nginx configuration that was made for fcgiwrap: the options -c, -f, -s and -p are those of fcgiwrap. Only scripts that lie beneath\n" +
			"a folder of --root, and those of -p, are run. Without -s and ADDRESS it serves the socket that it was started with: by systemd, or as\n" +
			"standard input by spawn-fcgi. ADDRESS is one as serve has it, fastcgi: unless it says scgi:.",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "root", Category: "What is run", Usage: "run scripts beneath `DIR`; may be repeated; \"/\" is every script that this user may run"},
			&cli.StringSliceFlag{Name: "p", Category: "What is run", Usage: "run the script `FILE`; may be repeated"},
			&cli.StringFlag{Name: "s", Category: "Where it listens", Usage: "listen on `SOCKET`: unix:/path, tcp:ip:port or tcp6:[ip]:port"},
			&cli.IntFlag{Name: "c", Category: "Limits", Value: limits.Processes, Usage: "run `NUMBER` scripts at once", DefaultText: "4 for each processor core"},
			&cli.BoolFlag{Name: "f", Category: "What is run", Usage: "send what scripts write to their standard error to the web server, for its log"},
			&cli.StringSliceFlag{Name: "trust", Category: "Where it listens", Usage: "on TCP, do what the web server at `ADDRESS` says, an address or a network, in place of those on this machine; may be repeated"},
			&cli.StringFlag{Name: "listen-mode", Category: "Where it listens", Usage: "permissions of a Unix socket that is made, in octal: `MODE`", DefaultText: "0660"},
			&cli.StringFlag{Name: "listen-owner", Category: "Where it listens", Usage: "it belongs to `USER`"},
			&cli.StringFlag{Name: "listen-group", Category: "Where it listens", Usage: "it belongs to `GROUP`, such as that of the web server"},
			&cli.StringSliceFlag{Name: "env", Category: "What is run", Usage: "give scripts the variable `NAME=VALUE`, or NAME as it is in the environment here; may be repeated"},
			&cli.BoolFlag{Name: "pass-authorization", Category: "What is run", Usage: "give scripts the Authorization field of the request"},
			warmFlag("What is run"),
			&cli.IntFlag{Name: "queue", Category: "Limits", Value: limits.Queue, Usage: "let `NUMBER` requests wait for a script to end"},
			durationFlag("queue-timeout", limits.QueueTimeout, "how long each may wait, `DURATION`"),
			durationFlag("timeout", limits.Timeout, "how long a script may take in all, `DURATION`; 0s for no limit"),
			durationFlag("header-timeout", limits.HeaderTimeout, "how long until its header is complete, `DURATION`; 0s for no limit"),
			durationFlag("idle-timeout", limits.IdleTimeout, "how long it may pause in its output, `DURATION`; 0s for no limit"),
		},
		Action: func(c *cli.Context) error {
			cfg, w, err := wrapConfig(c)
			if err != nil {
				return err
			}
			return busyHint(wrap(c.Context, cfg, *w, c.App.ErrWriter))
		},
	}
}

func durationFlag(name string, value config.Duration, usage string) cli.Flag {
	return &cli.DurationFlag{Name: name, Category: "Limits", Value: time.Duration(value), Usage: usage}
}

// wrapConfig reads the command line.
func wrapConfig(c *cli.Context) (*config.Config, *site.Wrap, error) {
	cfg := config.Default()
	cfg.TrustUnix = true     // as fcgiwrap: who may connect to the socket
	cfg.RequestIDHeader = "" // the front's, if it has one, is passed on as it is
	w := &site.Wrap{
		Roots: c.StringSlice("root"), Programs: c.StringSlice("p"),
		PassAuthorization: c.Bool("pass-authorization"), ScriptStderr: c.Bool("f"),
	}
	if len(w.Roots)+len(w.Programs) == 0 {
		return nil, nil, hinted{misused("wrap runs nothing unless it is told what: name the folder of your scripts with --root, or single scripts with -p"),
			"gatehouse wrap --root /usr/lib/cgi-bin; --root / runs whatever a request names, as fcgiwrap does"}
	}
	if slices.Contains(w.Roots, "") || slices.Contains(w.Programs, "") {
		return nil, nil, hinted{misused("the name of a folder or script is empty"), "is a variable of the shell unset?"}
	}
	var err error
	if cfg.Warm.Mode, err = warmMode(c); err != nil {
		return nil, nil, err
	}
	l := &cfg.Limits
	l.Processes, l.Queue = c.Int("c"), c.Int("queue")
	for _, d := range []struct {
		name string
		to   *config.Duration
	}{{"queue-timeout", &l.QueueTimeout}, {"timeout", &l.Timeout}, {"header-timeout", &l.HeaderTimeout}, {"idle-timeout", &l.IdleTimeout}} {
		if *d.to = config.Duration(c.Duration(d.name)); *d.to < 0 {
			return nil, nil, misused("--%s %v: not a length of time", d.name, *d.to)
		}
	}
	switch {
	case l.Processes < 1:
		return nil, nil, misused("-c %d: at least one script is to run", l.Processes)
	case l.Queue < 0:
		return nil, nil, misused("--queue %d: less than none", l.Queue)
	case !c.IsSet("trust"):
		cfg.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	}
	if err := errors.Join((&served{config: cfg}).listenOn(c), wrapListen(c, cfg), wrapEnv(c, cfg)); err != nil {
		return nil, nil, err
	}
	return cfg, w, nil
}

// wrapListen finds out where to listen.
func wrapListen(c *cli.Context, cfg *config.Config) error {
	where, told := c.Args().First(), "address "+strconv.Quote(c.Args().First())
	switch {
	case c.NArg() > 1 || c.NArg() == 1 && c.IsSet("s"):
		return hinted{misused("wrap listens on one address"), "gatehouse wrap --root DIR -s unix:/path"}
	case c.NArg() == 0 && c.IsSet("s"):
		var err error
		if where, err = fcgiwrapSocket(c.String("s")); err != nil {
			return err
		}
		told = "-s " + strconv.Quote(c.String("s"))
	case c.NArg() == 0:
		if where = inheritedSocket(); where == "" {
			return hinted{misused("no socket: standard input is none, and systemd has passed none"), "name one: gatehouse wrap --root DIR -s unix:/path"}
		}
	case strings.HasPrefix(where, "http:"):
		return misused("address %q: wrap stands behind a web server, by fastcgi: or scgi:", where)
	}
	if !strings.HasPrefix(where, "fastcgi:") && !strings.HasPrefix(where, "scgi:") {
		where = "fastcgi:" + where
	}
	l, err := config.ParseListen(where)
	if err != nil {
		return misused("%s: %s", told, strings.TrimPrefix(err.Error(), "config: "))
	}
	cfg.Listen = []config.Listen{l}
	return nil
}

// fcgiwrapSocket reads the value of fcgiwrap's -s.
func fcgiwrapSocket(url string) (string, error) {
	kind, rest, _ := strings.Cut(url, ":")
	switch kind {
	case "unix":
		return url, nil
	case "tcp", "tcp6":
		if a, err := netip.ParseAddrPort(rest); err == nil && a.Addr().Is6() == (kind == "tcp6") {
			return rest, nil
		}
	}
	return "", hinted{misused("-s %q is no socket", url), "expected unix:/path, tcp:ip:port or tcp6:[ip]:port"}
}

// inheritedSocket names the socket that this process was started with: by systemd
// (sd_listen_fds(3)), or on descriptor 0 (FastCGI 1.0 2.2).
func inheritedSocket() string {
	if pid := os.Getenv("LISTEN_PID"); pid == strconv.Itoa(os.Getpid()) && os.Getenv("LISTEN_FDS") != "" {
		return "systemd:"
	}
	if listens, err := unix.GetsockoptInt(0, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err == nil && listens != 0 {
		return "fd:0"
	}
	return ""
}

// wrapEnv reads the variables that scripts get besides. Here it is the one who
// starts the server that speaks, so that LANG as well as PERL5LIB may be given.
func wrapEnv(c *cli.Context, cfg *config.Config) error {
	var seen environ.Env
	for _, text := range c.StringSlice("env") {
		name, value, given := strings.Cut(text, "=")
		if !given {
			if value, given = os.LookupEnv(name); !given {
				continue
			}
		}
		if err := seen.AddConfigured(name, value); err != nil {
			return misused("--env %q: %s", text, strings.TrimPrefix(err.Error(), "environ: "))
		}
	}
	for name, value := range seen.All() {
		cfg.Env = append(cfg.Env, config.Var{Name: name, Value: value})
	}
	return nil
}

// wrap serves until a signal, or ctx, ends it.
func wrap(ctx context.Context, cfg *config.Config, w site.Wrap, stderr io.Writer) error {
	h, err := site.NewWrap(cfg, w, site.Options{Software: software(), Stderr: stderr})
	if err != nil {
		return err
	}
	end := signals(ctx, stderr, nil)
	defer end.finish()
	err = h.Serve(end.first, end.second, func(on []site.Listening) {
		fmt.Fprintf(stderr, "gatehouse: running scripts %s, at most %s at once\n", allowedScripts(&w), count(cfg.Limits.Processes, "script"))
		for _, l := range on {
			fmt.Fprintf(stderr, "gatehouse: on %s\n", place(l))
		}
		fmt.Fprintf(stderr, "gatehouse: Ctrl-C stops it\n")
	})
	return errors.Join(err, h.Close())
}

func allowedScripts(w *site.Wrap) string {
	text := ""
	if len(w.Roots) > 0 {
		text = "beneath " + strings.Join(w.Roots, ", ")
	}
	if len(w.Programs) > 0 {
		if text != "" {
			text += ", and "
		}
		text += strings.Join(w.Programs, ", ")
	}
	return text
}

// unbundled takes apart what getopt(3) takes together, as in "-c4" and "-fc4": that
// is how fcgiwrap's options may be written.
func unbundled(app *cli.App, args []string) []string {
	if len(args) < 3 || args[1] != "wrap" {
		return args
	}
	out := slices.Clone(args[:2])
	for n := 2; n < len(args); n++ {
		arg := args[n]
		if arg == "--" {
			return append(out, args[n:]...)
		}
		if len(arg) > 2 && !isFlag(app.Command("wrap"), arg) {
			for len(arg) > 2 && strings.HasPrefix(arg, "-f") {
				out, arg = append(out, "-f"), "-"+arg[2:]
			}
			if len(arg) > 2 && arg[0] == '-' && strings.IndexByte("cps", arg[1]) >= 0 {
				out = append(out, arg[:2])
				arg = arg[2:]
			}
		} else if takesValue(app.Command("wrap"), arg) && n+1 < len(args) {
			out = append(out, arg)
			n++
			arg = args[n]
		}
		out = append(out, arg)
	}
	return out
}

// isFlag reports whether the argument is a flag as the library knows it.
func isFlag(cmd *cli.Command, arg string) bool {
	name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	return slices.ContainsFunc(cmd.Flags, func(f cli.Flag) bool { return arg[0] == '-' && slices.Contains(f.Names(), name) })
}
