package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gatehouse/internal/config"
	"gatehouse/internal/site"
)

// readyVar names the descriptor on which a program that takes over says that it serves,
// or why it does not.
const readyVar = "GATEHOUSE_READY"

const (
	readyText   = "ready\n"
	mostReason  = 64 << 10 // bytes of why it does not
	upgradeTime = 2 * time.Minute
)

// ownPath is where this program was started from: an upgrade starts what is there by then.
var ownPath = findOwn()

// findOwn follows no symbolic link: it may lead to another version by then.
func findOwn() string {
	if path, err := exec.LookPath(os.Args[0]); err == nil {
		if path, err = filepath.Abs(path); err == nil {
			return path
		}
	}
	path, _ := os.Executable()
	return path
}

// readiness is the other end's half: what the process that is to be taken over from waits
// for. A nil *readiness is told nothing.
type readiness struct{ f *os.File }

// newReadiness returns it if this process is to take over from another.
func newReadiness() *readiness {
	text, ok := os.LookupEnv(readyVar)
	if !ok {
		return nil
	}
	_ = os.Unsetenv(readyVar)
	fd, err := strconv.ParseUint(text, 10, 16)
	if err != nil || fd < 3 {
		return nil
	}
	unix.CloseOnExec(int(fd))
	return &readiness{os.NewFile(uintptr(fd), "ready")}
}

// ready says that this process serves.
func (r *readiness) ready() { r.say(readyText) }

// fail says why it does not, unless it did already.
func (r *readiness) fail(err error) {
	if err != nil {
		r.say(err.Error())
	}
}

func (r *readiness) say(text string) {
	if r == nil || r.f == nil {
		return
	}
	_, _ = io.WriteString(r.f, text) // whoever waits may have given up
	_ = r.f.Close()
	r.f = nil
}

// upgrade has the program that is now in our place take over. When it returns nil that
// serves, and this process has begun to stop; when it returns an error nothing has changed.
// A reload that runs is waited for.
func (d *service) upgrade(ctx context.Context) error {
	if !d.upgrades.TryLock() {
		return errors.New("another upgrade is under way")
	}
	defer d.upgrades.Unlock()
	d.work.Lock()
	defer d.work.Unlock()
	err := d.takenOver(ctx)
	if err != nil {
		d.log.Error("the new program does not serve; this one goes on")
		for line := range strings.SplitSeq(err.Error(), "\n") {
			d.log.Error("upgrade", "error", line)
		}
	}
	return err
}

func (d *service) takenOver(ctx context.Context) error {
	if os.Getpid() == 1 {
		return errors.New("the first process of a container cannot be replaced: the container ends with it")
	}
	ctx, cancel := context.WithTimeout(ctx, upgradeTime)
	defer cancel()
	go func() { // a stop is not to be followed by a successor; ends with cancel
		select {
		case <-d.end.first.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	resume, err := d.pauseControl()
	if err != nil {
		return err
	}
	successor, err := d.startSuccessor()
	if err == nil {
		err = successor.await(ctx)
	}
	resume(err != nil)
	if err != nil {
		return err
	}
	pid := successor.cmd.Process.Pid
	d.host.Yield()
	d.yieldStatus()
	d.systemd.handed(pid)
	d.log.Info("another process has taken over; this one ends with its last connection", "pid", pid)
	d.end.stop()
	return nil
}

// pauseControl takes no more orders until it is known whose they are: they wait in the
// socket's queue. resume closes or goes on with the socket.
func (d *service) pauseControl() (resume func(goOn bool), err error) {
	ln, path := d.control.Listener(), d.control.Path()
	if ln == nil {
		return func(bool) {}, nil
	}
	if d.paused, err = site.CopyListener(ln); err != nil {
		return nil, err
	}
	d.pausedName = controlName(path)
	site.UnlinkOnClose(ln, false)
	d.control.Move("", nil)
	return func(goOn bool) {
		f := d.paused
		d.paused = nil
		defer f.Close() // FileListener has a copy
		if !goOn {
			return
		}
		ln, err := net.FileListener(f)
		if err != nil {
			d.log.Error("the control socket is lost", "path", path, "error", err)
			return
		}
		site.UnlinkOnClose(ln, true)
		d.control.Move(path, ln)
	}, nil
}

// yieldStatus closes the listeners of the status page, whose sockets are the successor's.
// Answers that are being written are not cut.
func (d *service) yieldStatus() {
	d.status.Each(func(_ config.Listen, ln net.Listener) { site.UnlinkOnClose(ln, false) })
	if err := d.status.Listen(nil, nil); err != nil {
		d.log.Warn("the status page is still served", "error", err)
	}
}

// successor is a process that is to take over.
type successor struct {
	cmd   *exec.Cmd
	says  *os.File
	ended chan struct{}
	err   error // of its end; read it after ended
}

func (d *service) startSuccessor() (*successor, error) {
	sockets, err := d.sockets()
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, s := range sockets {
			_ = s.File.Close()
		}
	}()
	says, said, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer said.Close()
	cmd := exec.Command(ownPath, os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{said}
	for _, s := range sockets {
		cmd.ExtraFiles = append(cmd.ExtraFiles, s.File)
	}
	cmd.Env = append(withoutOwn(os.Environ()), readyVar+"=3", site.SocketsVariable(sockets, 4))
	if err := cmd.Start(); err != nil {
		_ = says.Close()
		return nil, err
	}
	n := &successor{cmd: cmd, says: says, ended: make(chan struct{})}
	go func() { // ends with the process, or with this one
		n.err = cmd.Wait()
		close(n.ended)
	}()
	return n, nil
}

// sockets are copies of all that this process listens on.
func (d *service) sockets() ([]site.Socket, error) {
	list, err := d.host.Sockets()
	if err != nil {
		return nil, err
	}
	add := func(name string, ln net.Listener) {
		f, e := site.CopyListener(ln)
		if e != nil {
			err = errors.Join(err, e)
			return
		}
		list = append(list, site.Socket{Name: name, File: f})
	}
	if d.paused != nil {
		f, e := again(d.paused)
		err = errors.Join(err, e)
		if e == nil {
			list = append(list, site.Socket{Name: d.pausedName, File: f})
		}
	}
	d.status.Each(func(l config.Listen, ln net.Listener) { add(site.SocketName("admin", l), ln) })
	if err != nil {
		for _, s := range list {
			_ = s.File.Close()
		}
		return nil, err
	}
	return list, nil
}

// again is another descriptor of the same file.
func again(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// await waits until it serves. When it does not, it has ended by the time of the return.
func (n *successor) await(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = n.says.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	defer n.says.Close()
	text, err := io.ReadAll(io.LimitReader(n.says, mostReason))
	switch {
	case err == nil && string(text) == readyText:
		return nil
	case err != nil:
		n.kill()
		switch {
		case errors.Is(ctx.Err(), context.Canceled):
			return errors.New("the server is stopping")
		case ctx.Err() != nil:
			return fmt.Errorf("the new program did not serve within %v", upgradeTime)
		}
		return err
	case len(text) > 0:
		n.wait()
		return errors.New(strings.TrimSpace(string(text)))
	}
	n.wait()
	return fmt.Errorf("the new program ended before it served: %v", n.ending())
}

// wait waits for the end of one that has said that it ends, not for ever.
func (n *successor) wait() {
	select {
	case <-n.ended:
	case <-time.After(10 * time.Second):
		n.kill()
	}
}

func (n *successor) kill() {
	_ = n.cmd.Process.Kill()
	<-n.ended
}

func (n *successor) ending() string {
	if n.err == nil {
		return "exit status 0"
	}
	return n.err.Error()
}
