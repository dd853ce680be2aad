package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// An adopted process is one that a helper has forked ahead and left to this process,
// the subreaper: it is our child, leads a session and a group of its own, and waits
// for work. Once it has begun some it is to Exec what a started process is.

// adopter is a Spawner that can do so. Exec is one.
type adopter interface {
	Spawner
	tagName() string
	adopt(pid int) (*child, error)
}

// adopt takes in the process pid. Until begin or disown is called the child keeps the
// orphans' rule away from it. It refuses what is not our child or leads no session: a
// signal to its group would be a signal to others.
func (e *Exec) adopt(pid int) (*child, error) {
	if err := e.init(); err != nil {
		return nil, err
	}
	if sid, err := unix.Getsid(pid); err != nil || sid != pid {
		return nil, fmt.Errorf("process: %d leads no session", pid)
	}
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil {
		return nil, fmt.Errorf("process: %d is no child of this process", pid)
	}
	lf, err := e.leaves.get()
	if err != nil {
		return nil, err
	}
	if err := lf.add(pid); err != nil {
		e.leaves.put(lf)
		return nil, err
	}
	ch := &child{e: e, leaf: lf}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.adopted[pid] != nil || e.live[pid] != nil {
		e.leaves.put(lf)
		return nil, fmt.Errorf("process: %d cannot be adopted", pid)
	}
	e.adopted[pid] = ch
	return ch, nil
}

// begin makes an adopted process the one that c asks for. Its limits are set first,
// so that they hold from the first instruction of what send, the last step, has it
// do. When begin fails the process is still adopted.
func (ch *child) begin(pid int, c *Command, begun time.Time, send func() error) (*Process, error) {
	e := ch.e
	e.forks.RLock() // Close waits, and finds it in the table
	defer e.forks.RUnlock()
	e.mu.Lock()
	closed := e.closed
	e.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	if err := c.Limits.set(pid); err != nil {
		return nil, err
	}
	if err := send(); err != nil {
		return nil, err
	}
	ch.keep, ch.tag = c.KeepChildren, tagOf(c.Env, e.mark())
	ch.p = newProcess(ch, pid, begun, c.Grace)
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.adopted, pid)
	e.enlistLocked(ch)
	return ch.p, nil
}

// disown leaves an adopted process, which ends by itself, to the orphans' rule.
func (ch *child) disown(pid int) {
	e := ch.e
	e.mu.Lock()
	delete(e.adopted, pid)
	e.mu.Unlock()
	e.leaves.put(ch.leaf)
	e.orphans.poke()
}

// add moves a process into the leaf.
func (lf *leaf) add(pid int) error {
	if lf == nil {
		return nil
	}
	path := filepath.Join(lf.dir.Name(), "cgroup.procs")
	if err := os.WriteFile(path, []byte(strconv.Itoa(pid)), 0); err != nil {
		return fmt.Errorf("process: cgroup: %w", err)
	}
	return nil
}
