package cgi

import (
	"sync/atomic"

	"gatehouse/process"
)

// Phase is what is being done for a request.
type Phase int32

const (
	Arriving  Phase = iota // it is routed, or its body is read
	Queued                 // it waits for its turn, or for a connection
	Starting               // its program is being started
	Answering              // its program has it, and has not finished the header
	Sending                // the response goes to the client
)

func (p Phase) String() string {
	if names := [...]string{"arriving", "queued", "starting", "answering", "sending"}; p >= 0 && int(p) < len(names) {
		return names[p]
	}
	return "unknown"
}

// Progress is where the answering of one request is, for those who look on while others
// answer. Its methods may be called by several goroutines at once; those that change
// something do nothing where there is no Progress.
type Progress struct {
	phase     atomic.Int32
	pid, sent atomic.Int64
	stderr    atomic.Pointer[process.Stderr]
}

// Now says what is done from now on.
func (p *Progress) Now(phase Phase) {
	if p != nil {
		p.phase.Store(int32(phase))
	}
}

// Has says which process has the request from now on, 0 where that is not known.
func (p *Progress) Has(pid int) {
	if p != nil {
		p.pid.Store(int64(pid))
		p.phase.Store(int32(Answering))
	}
}

// Says gives what keeps the end of what the application writes to its standard error.
func (p *Progress) Says(errs *process.Stderr) {
	if p != nil {
		p.stderr.Store(errs)
	}
}

// Stderr is the end of what the application has written to its standard error.
func (p *Progress) Stderr() string {
	if errs := p.stderr.Load(); errs != nil {
		return errs.Tail()
	}
	return ""
}

func (p *Progress) add(n int) {
	if p != nil {
		p.sent.Add(int64(n))
	}
}

// Phase is what is being done.
func (p *Progress) Phase() Phase { return Phase(p.phase.Load()) }

// Pid is 0 while no process has the request.
func (p *Progress) Pid() int { return int(p.pid.Load()) }

// Sent is how many bytes of the response's body were handed to the client.
func (p *Progress) Sent() int64 { return p.sent.Load() }
