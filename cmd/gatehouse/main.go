// Command gatehouse runs CGI programs behind HTTP. See README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/urfave/cli/v2"

	"gatehouse/process"
)

// version is set when a release is built.
var version = "0.1"

func main() {
	unblockSignals()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400) // the heap is small: collecting it often costs more than it gives back
	}
	syscall.Umask(0o022) // of every program that is started (A96)
	os.Exit(run(context.Background(), os.Args, os.Stdin, os.Stdout, os.Stderr))
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

// failed is a failure that was reported in full already: exit status 1.
var errReported = errors.New("failed")

// hinted is an error with a line of advice below it.
type hinted struct {
	error
	hint string
}

// run is the whole program: args with the program's name first, the exit status
// as its result.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	app := &cli.App{
		Name:            "gatehouse",
		Usage:           "run CGI programs behind the web",
		UsageText:       "gatehouse serve                    the demonstration site, on http://127.0.0.1:8080/\ngatehouse serve DIR                a folder: its files, cgi-bin/ and *.cgi\ngatehouse serve SCRIPT             one program for every path\ngatehouse serve -c gatehouse.toml  a configuration\ngatehouse run SCRIPT               one request from the shell",
		Version:         versionText(),
		Reader:          stdin,
		Writer:          stdout,
		ErrWriter:       stderr,
		HideHelpCommand: true,
		Commands:        []*cli.Command{serveCommand(), runCommand(), explainCommand(), checkCommand()},
		ExitErrHandler:  func(*cli.Context, error) {}, // nothing below main exits
		OnUsageError:    func(_ *cli.Context, err error, _ bool) error { return misuse{err} },
		CommandNotFound: func(c *cli.Context, name string) {},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return hinted{misused("there is no command %q", c.Args().First()), "gatehouse --help lists the commands"}
			}
			return cli.ShowAppHelp(c)
		},
	}
	for _, cmd := range app.Commands {
		cmd.OnUsageError = app.OnUsageError
	}
	return report(stderr, app.RunContext(ctx, reorder(app, args)))
}

// report writes an error as a user reads it and returns the exit status.
func report(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	if !errors.Is(err, errReported) {
		fmt.Fprintf(w, "gatehouse: %v\n", err)
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
