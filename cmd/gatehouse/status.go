package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"gatehouse/internal/admin"
	"gatehouse/internal/config"
	"gatehouse/internal/site"
)

func statusCommand() *cli.Command {
	return &cli.Command{
		Name: "status", Usage: "show what a running gatehouse does", ArgsUsage: " ",
		Description: "The requests that run, recent failures, sites, applications with their workers, and interpreters for warm scripts: what the status page\n" +
			"shows, as text. Times under \"last hour\" are of the hour until now. gatehouse end ends one of the requests by its ID.",
		Flags: append(controlFlags(),
			timeoutFlag("wait for the answer", 10*time.Second),
			&cli.BoolFlag{Name: "watch", Aliases: []string{"w"}, Usage: "show it anew each second, until q or Ctrl-C"},
			&cli.BoolFlag{Name: "json", Usage: "print it as JSON, with all there is to know"}),
		Action: func(c *cli.Context) error {
			if c.Bool("watch") && c.Bool("json") {
				return misused("--watch and --json together: one is for people, the other for programs")
			}
			return withClient(c, func(ctx context.Context, cl *client) error {
				switch {
				case c.Bool("json"):
					return late(ctx, cl.copyStatus(ctx, c.App.Writer))
				case c.Bool("watch"):
					return watchStatus(c, cl)
				}
				s, err := cl.status(ctx)
				if err != nil {
					return late(ctx, err)
				}
				width, _, isTerminal := terminal(c.App.Writer)
				return written(c.App.Writer, func(w io.Writer) {
					_, _ = io.WriteString(w, strings.Join((&screen{width: width, color: isTerminal && os.Getenv("NO_COLOR") == ""}).lines(s), "\n")+"\n")
				})
			})
		},
	}
}

// pages tells where the status page is.
func (d *service) pages() (list []string) {
	d.status.Each(func(_ config.Listen, ln net.Listener) {
		list = append(list, place(site.Listening{Listen: config.Listen{Protocol: "http"}, Addr: ln.Addr()}))
	})
	return list
}

func endCommand() *cli.Command {
	return &cli.Command{
		Name: "end", Usage: "end one request that runs", ArgsUsage: "REQUEST-ID",
		Description: "Its program gets SIGTERM and, after kill_grace, SIGKILL; a worker of an application is replaced. The client is answered with 503 if no\n" +
			"response had begun, and cut off if one had. gatehouse status lists the IDs, and the access log has them as well.",
		Flags: append(controlFlags(), timeoutFlag("wait for the answer", 10*time.Second)),
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 || c.Args().First() == "" {
				return hinted{misused("end takes the ID of one request"), "gatehouse status lists them"}
			}
			cl, err := controlled(c)
			if err != nil {
				return err
			}
			defer cl.close()
			ctx, cancel := within(c)
			defer cancel()
			return late(ctx, cl.end(ctx, c.Args().First()))
		},
	}
}

// end has a request ended.
func (c *client) end(ctx context.Context, id string) error {
	resp, err := c.do(ctx, "POST", "/requests/"+url.PathEscape(id)+"/end")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return hinted{fmt.Errorf("no request with the ID %q runs", id), "gatehouse status lists those that do"}
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New("answered " + strings.ToLower(resp.Status))
	}
	return nil
}

// maxStatus bounds what is read of an answer, in bytes.
const maxStatus = 256 << 20

// open asks for status.json. The body is the caller's to close.
func (c *client) open(ctx context.Context) (io.ReadCloser, error) {
	resp, err := c.do(ctx, "GET", "/status.json")
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, errors.New("answered " + strings.ToLower(resp.Status))
	}
	return resp.Body, nil
}

func (c *client) status(ctx context.Context) (*admin.Status, error) {
	body, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	s := new(admin.Status)
	if err := json.NewDecoder(io.LimitReader(body, maxStatus)).Decode(s); err != nil {
		return nil, c.explain(err)
	}
	if s.View == nil {
		return nil, errors.New("the answer is no status")
	}
	return s, nil
}

func (c *client) copyStatus(ctx context.Context, w io.Writer) error {
	body, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(w, io.LimitReader(body, maxStatus))
	return err
}

// terminal tells the size of the terminal that w is; width 0 is any, for what is none.
func terminal(w any) (width, height int, ok bool) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, 0, false
	}
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24, true
	}
	return width, height, true
}

const (
	watchEvery = time.Second
	watchLook  = 100 * time.Millisecond // for keys and another size
)

// watchStatus shows the status on a screen of its own until a key, a signal or the end of
// the input.
func watchStatus(c *cli.Context, cl *client) error {
	out, ok := c.App.Writer.(*os.File)
	if _, _, isTerminal := terminal(c.App.Writer); !ok || !isTerminal {
		return hinted{misused("--watch needs a terminal"), "without it the status is printed once"}
	}
	ctx, stop := signal.NotifyContext(c.Context, endings(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)...)
	defer stop()
	keys := -1
	if in, ok := c.App.Reader.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		old, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			return err
		}
		defer func() { _ = term.Restore(int(in.Fd()), old) }()
		keys = int(in.Fd())
	}
	_, _ = io.WriteString(out, "\x1b[?1049h\x1b[?25l")
	defer func() { _, _ = io.WriteString(out, "\x1b[?25h\x1b[?1049l") }()
	for ctx.Err() == nil {
		asked, cancel := context.WithTimeout(ctx, 10*time.Second)
		s, err := cl.status(asked)
		cancel()
		next := time.Now().Add(watchEvery)
		for width, height := -1, -1; ctx.Err() == nil && time.Now().Before(next); {
			if w, h, _ := terminal(out); w != width || h != height {
				width, height = w, h
				if _, werr := io.WriteString(out, frame(s, err, w, h)); werr != nil {
					return werr
				}
			}
			if pressed(keys) {
				return nil
			}
		}
	}
	return nil
}

// frame is what draws one screen over the one before.
func frame(s *admin.Status, err error, width, height int) string {
	var lines []string
	if err != nil {
		lines = []string{cut("gatehouse: "+err.Error(), width), "", cut("It is asked again each second; q ends.", width)}
	} else {
		lines = (&screen{width: width, color: os.Getenv("NO_COLOR") == ""}).lines(s)
	}
	if len(lines) > height {
		left := len(lines) - height + 1
		lines = append(lines[:height-1], cut(fmt.Sprintf("… %d more lines", left), width))
	}
	var b strings.Builder
	b.WriteString("\x1b[H")
	for n, line := range lines {
		if n > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(line + "\x1b[K")
	}
	b.WriteString("\x1b[J")
	return b.String()
}

// pressed waits a moment for a key and reports whether it is one that ends. fd may be -1.
func pressed(fd int) bool {
	if fd < 0 {
		time.Sleep(watchLook)
		return false
	}
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(poll, int(watchLook/time.Millisecond)); n <= 0 || err != nil {
		return false
	}
	var b [64]byte
	n, err := unix.Read(fd, b[:])
	if n <= 0 || err != nil {
		return err != unix.EINTR && err != unix.EAGAIN // the terminal has gone
	}
	return strings.ContainsAny(string(b[:n]), "qQ\x03\x04")
}
