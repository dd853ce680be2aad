// Command gatehouse runs CGI programs and FastCGI and SCGI applications behind the
// web. See README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"gatehouse/process"
)

// version is set when a release is built.
var version = "0.1"

func main() {
	unblockSignals()
	tuneRuntime()
	syscall.Umask(0o022) // of every program that is started (A96)
	os.Exit(run(context.Background(), os.Args, os.Stdin, os.Stdout, os.Stderr))
}

// tuneRuntime sets what the environment does not say. A start holds one of the
// runtime's processors until the program is loaded, and there may be as many starts
// at once as the machine has processors: twice as many leave the others for HTTP
// (BenchmarkStaticWhileCGI in internal/site shows what for). The heap
// is small, so that collecting it often costs more than it gives back.
func tuneRuntime() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2 * runtime.GOMAXPROCS(0))
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}

// unblockSignals sees to it that programs do not inherit blocked signals from
// whoever started this one (F31): Go hands its initial mask on to children, so
// the only way is to begin again without it.
func unblockSignals() {
	blocked, err := process.BlockedSignals()
	if err != nil || blocked == 0 || os.Getenv("GATEHOUSE_UNBLOCKED") != "" {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if process.UnblockSignals() != nil {
		return
	}
	if exe, err := os.Executable(); err == nil {
		_ = syscall.Exec(exe, os.Args, append(os.Environ(), "GATEHOUSE_UNBLOCKED=1"))
	}
}

// misuse is an error of whoever typed the command: exit status 2.
type misuse struct{ error }

func misused(format string, args ...any) error { return misuse{fmt.Errorf(format, args...)} }

// errReported is a failure that was told in full already: exit status 1.
var errReported = errors.New("failed")

// hinted is an error with a line of advice below it.
type hinted struct {
	error
	hint string
}

const usageText = `gatehouse serve                    the demonstration site, on http://127.0.0.1:8080/
gatehouse serve DIR                a folder: its files, cgi-bin/, *.cgi and *.php
gatehouse serve SCRIPT             one program for every path
gatehouse serve app.py:NAME        a WSGI application; also package.module:NAME
gatehouse serve fcgi://HOST:PORT   a FastCGI application; also unix:/PATH and scgi://HOST:PORT
gatehouse serve -c gatehouse.toml  a configuration
gatehouse run SCRIPT [PATH?QUERY]  one request from the shell
gatehouse explain URL [DIR]        what would answer it, and what is wrong with that
gatehouse check [FILE]             the mistakes of a configuration
gatehouse wrap --root DIR          the CGI scripts that nginx names, as fcgiwrap runs them
gatehouse call ADDRESS [PATH]      one request to a FastCGI or SCGI responder
gatehouse wsgi-shim                the program that runs WSGI applications, for use without this one`

// run is the whole program: args with the program's name first, the exit status
// as its result.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	app := &cli.App{
		Name:                      "gatehouse",
		Usage:                     "run CGI programs behind the web",
		UsageText:                 usageText,
		Version:                   versionText(),
		Reader:                    stdin,
		Writer:                    stdout,
		ErrWriter:                 stderr,
		HideHelpCommand:           true,
		DisableSliceFlagSeparator: true, // "Accept: a, b" is one header field
		Commands:                  []*cli.Command{serveCommand(), runCommand(), explainCommand(), checkCommand(), wrapCommand(), callCommand(), shimCommand()},
		ExitErrHandler:            func(*cli.Context, error) {}, // nothing below main exits
		OnUsageError:              usageError,
		CommandNotFound:           func(c *cli.Context, name string) {},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return noCommand(c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
	}
	for _, cmd := range app.Commands {
		cmd.OnUsageError = usageError
		cmd.HideHelpCommand = true // "gatehouse serve help" serves a folder of that name
	}
	args = unbundled(app, spelled(args))
	if len(args) == 3 && args[2] == "--help" && app.Command(args[1]) == nil {
		return report(stderr, noCommand(args[1])) // the library would show the help of a command that is not there
	}
	return report(stderr, app.RunContext(ctx, reorder(app, args)))
}

func noCommand(name string) error {
	return hinted{misused("there is no command %q", name), "gatehouse --help lists the commands"}
}

// usageError says what the library found wrong with the flags.
func usageError(c *cli.Context, err error, _ bool) error {
	help := "gatehouse --help lists the flags"
	if c.Command != nil && c.Command.Name != "" && c.Command.Name != "gatehouse" {
		help = "gatehouse " + c.Command.Name + " --help lists the flags"
	}
	if name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: "); ok {
		return hinted{misused("there is no flag %q", name), help}
	}
	if name, ok := strings.CutPrefix(err.Error(), "flag needs an argument: "); ok {
		return hinted{misused("the flag %q needs a value", name), help}
	}
	return hinted{misuse{err}, help}
}

// report writes an error as a user reads it, one line for each mistake, and
// returns the exit status.
func report(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if line != errReported.Error() {
			fmt.Fprintf(w, "gatehouse: %s\n", line)
		}
	}
	var h hinted
	if errors.As(err, &h) {
		fmt.Fprintf(w, "  %s\n", h.hint)
	}
	var m misuse
	if errors.As(err, &m) {
		return 2
	}
	return 1
}

func (h hinted) Unwrap() error { return h.error }

func (m misuse) Unwrap() error { return m.error }

func versionText() string {
	text := version
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				text += " (" + s.Value[:12] + ")"
			}
		}
		text += " " + info.GoVersion
	}
	return text
}

// software is what the server calls itself (A17).
func software() string { return "gatehouse/" + version }
