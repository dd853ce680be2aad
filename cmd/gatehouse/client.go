package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"gatehouse/internal/admin"
	"gatehouse/internal/config"
)

// controlFlags say which running gatehouse a command is for.
func controlFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "control", Usage: "the control socket is `PATH`"},
		&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "the control socket is the one that the configuration `FILE` names"},
	}
}

// client talks to a running gatehouse through its control socket. Close it when done.
type client struct {
	path string
	http http.Client
}

// controlled returns a client for the gatehouse that --control or -c names, or for the
// one at the place where it is when nothing is said. It does not connect yet.
func controlled(c *cli.Context) (*client, error) {
	path, err := controlPath(c)
	if err != nil {
		return nil, err
	}
	return newClient(path), nil
}

func newClient(path string) *client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &client{path: path, http: http.Client{Transport: &http.Transport{DialContext: dial}}}
}

func controlPath(c *cli.Context) (string, error) {
	file := c.String("config")
	switch {
	case c.IsSet("control") && c.IsSet("config"):
		return "", misused("--control and -c together: each of them names the socket")
	case c.IsSet("control") && c.String("control") == "":
		return "", misused("--control is empty: it is the path of a socket")
	case c.IsSet("control"):
		return c.String("control"), nil
	case c.IsSet("config"):
		cfg, err := config.Load(file)
		if err != nil {
			return "", hinted{err, "--control PATH names the socket whatever the configuration says"}
		}
		if cfg.Control == config.NoControl {
			return "", fmt.Errorf("%s: control = %q: a gatehouse with this configuration has no control socket", file, cfg.Control)
		}
		if cfg.Control != "" {
			return cfg.Control, nil
		}
	}
	if path := admin.DefaultSocket(); path != "" {
		return path, nil
	}
	folder := "/run/gatehouse, the folder where it is unless something else is said, does not exist"
	if os.Geteuid() != 0 {
		folder = "XDG_RUNTIME_DIR, the folder where it is unless something else is said, names none that exists"
	}
	return "", hinted{errors.New("there is no control socket: " + folder),
		`set control = "/path" in the configuration, and name it here with --control or -c`}
}

// close lets go of its connections.
func (c *client) close() { c.http.CloseIdleConnections() }

// do makes one request, of path as in "/reload". The answer's status is for the caller
// to see, and its body is the caller's to close. Errors say what is wrong in a user's words.
func (c *client) do(ctx context.Context, method, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	return resp, nil
}

// explain says what a failed request means.
func (c *client) explain(err error) error {
	const start = "is it running, and with this control socket? gatehouse serve -c FILE starts one"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return hinted{fmt.Errorf("no gatehouse at %s: there is no such socket", c.path), start}
	case errors.Is(err, syscall.ECONNREFUSED):
		return hinted{fmt.Errorf("no gatehouse at %s: nobody listens there", c.path), start}
	case errors.Is(err, fs.ErrPermission):
		return hinted{fmt.Errorf("%s: permission denied", c.path), "it is for root and the user that gatehouse runs as"}
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("the gatehouse at %s has gone without an answer", c.path)
	}
	return fmt.Errorf("control socket %s: %w", c.path, unwrapped(err))
}

// unwrapped takes away what net/http says of a URL that no user knows.
func unwrapped(err error) error {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		if op, ok := inner.(*net.OpError); ok {
			return op.Err
		}
	}
	return err
}

// ask makes a request that does something, and returns why it was not done.
func (c *client) ask(ctx context.Context, method, path string) error {
	_, err := c.text(ctx, method, path)
	return err
}

// text is ask with the answer's text, of which 1 MiB is read at most.
func (c *client) text(ctx context.Context, method, path string) (string, error) {
	resp, err := c.do(ctx, method, path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return "", c.explain(err)
	}
	text := string(bytes.TrimSpace(b))
	if resp.StatusCode/100 != 2 {
		if text == "" {
			text = "answered " + strings.ToLower(resp.Status)
		}
		return "", errors.New(text)
	}
	return text, nil
}

// within returns a context that ends after the time of --timeout, if that is not 0.
func within(c *cli.Context) (context.Context, context.CancelFunc) {
	if d := c.Duration("timeout"); d > 0 {
		return context.WithTimeout(c.Context, d)
	}
	return context.WithCancel(c.Context)
}

func timeoutFlag(what string, value time.Duration) cli.Flag {
	return &cli.DurationFlag{Name: "timeout", Value: value, Usage: what + " at most `DURATION`; 0s waits without an end"}
}
