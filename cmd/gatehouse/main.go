// Command gatehouse runs CGI programs and FastCGI and SCGI applications behind the
// web. See README.md.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"gatehouse/process"
)

func main() {
	unblockSignals()
	tuneRuntime()
	syscall.Umask(0o022) // of every program that is started (A96)
	os.Exit(run(context.Background(), os.Args, os.Stdin, os.Stdout, os.Stderr))
}

// tuneRuntime sets what the environment does not say. A start holds one of the
// runtime's processors until the program is loaded, and there may be as many starts
// at once as the machine has processors: twice as many leave the others for HTTP
// (BenchmarkStaticWhileCGI in internal/site shows what for).
func tuneRuntime() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2 * runtime.GOMAXPROCS(0))
	}
	collectRarely()
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

// commands are all that there are, each with its flags.
func commands() []*cli.Command {
	return []*cli.Command{
		serveCommand(),
		runCommand(),
		explainCommand(),
		checkCommand(),
		configCommand(),
		initCommand(),
		statusCommand(),
		endCommand(),
		reloadCommand(),
		upgradeCommand(),
		reopenCommand(),
		stopCommand(),
		wrapCommand(),
		callCommand(),
		shimCommand(),
		versionCommand(),
		completionCommand(),
		manCommand(),
	}
}

// newApp is the command line. Nothing below main exits.
func newApp(stdin io.Reader, stdout, stderr io.Writer) *cli.App {
	app := &cli.App{
		Name:                      "gatehouse",
		Usage:                     "run CGI programs behind the web",
		Version:                   version,
		HideVersion:               true, // the library's -v; --version is a word for "version"
		Reader:                    stdin,
		Writer:                    stdout,
		ErrWriter:                 stderr,
		HideHelp:                  true, // it is shown before the library looks
		HideHelpCommand:           true, // "gatehouse serve help" serves a folder of that name
		DisableSliceFlagSeparator: true, // "Accept: a, b" is one header field
		Commands:                  commands(),
		ExitErrHandler:            func(*cli.Context, error) {},
		OnUsageError:              usageError,
	}
	app.Action = func(c *cli.Context) error { return noCommand(app, c.Args().First()) }
	for _, cmd := range app.Commands {
		cmd.OnUsageError = usageError
		cmd.HideHelp, cmd.HideHelpCommand = true, true
	}
	return app
}

// run is the whole program: args with the program's name first, the exit status
// as its result.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	app := newApp(stdin, stdout, stderr)
	if len(args) > 1 && args[1] == completing {
		return report(stderr, written(stdout, func(w io.Writer) { complete(w, app, args[2:]) }))
	}
	args = unbundled(app, spelled(args))
	switch cmd, ok, err := asksForHelp(app, args); {
	case err != nil:
		return report(stderr, err)
	case ok && cmd == nil:
		return report(stderr, written(stdout, func(w io.Writer) { programHelp(w, app) }))
	case ok:
		return report(stderr, written(stdout, func(w io.Writer) { commandHelp(w, cmd) }))
	}
	return report(stderr, app.RunContext(ctx, reorder(app, args)))
}

// written writes a text to w in one piece.
func written(w io.Writer, write func(io.Writer)) error {
	var b bytes.Buffer
	write(&b)
	_, err := b.WriteTo(w)
	return err
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
