package fastcgi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Resolver looks names up. A *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
}

func (t *Transport) resolver() Resolver {
	if t.Resolver != nil {
		return t.Resolver
	}
	return net.DefaultResolver
}

// found is one endpoint that a name leads to.
type found struct {
	target           string // "ip:port"
	priority, weight int
}

// maxFound bounds the endpoints of one name.
const maxFound = 64

// resolveNames looks up the names once, and then again and again beside the requests,
// until ctx is done.
func (t *Transport) resolveNames(ctx context.Context, names []address) {
	answers := make([][]found, len(names))
	failing := make([]bool, len(names))
	every := orElse(t.ResolveEvery, 30*time.Second)
	round := func() (wait time.Duration) {
		wait = every
		for n, name := range names {
			answer, err := t.lookup(ctx, name)
			if err == nil && len(answer) > 0 {
				answers[n], failing[n] = answer, false
				continue
			}
			if answers[n] == nil { // there is nothing to go by yet
				wait = min(every, time.Second)
			}
			if !failing[n] && ctx.Err() == nil { // once, not every time
				failing[n] = true
				t.log().Warn("cannot look up an application's address, the last answer is kept",
					"application", t.name(), "name", name.target, "known", len(answers[n]), "reason", err)
			}
			if err != nil {
				t.pool.cannotResolve(err)
			}
		}
		t.update(slices.Concat(answers...))
		return wait
	}
	t.pool.cannotResolve(errors.New("its name was not looked up yet"))
	wait := round()
	t.running.Go(func() {
		for timer := time.NewTimer(wait); ; timer.Reset(round()) {
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return
			}
		}
	})
}

// lookup asks once for a name. The answer is sorted and holds no target twice.
func (t *Transport) lookup(ctx context.Context, name address) ([]found, error) {
	ctx, cancel := context.WithTimeout(ctx, t.connectTimeout())
	defer cancel()
	if name.scheme == schemeDNS {
		host, port, _ := net.SplitHostPort(name.target)
		return t.lookupHost(ctx, host, port, 0, 0)
	}
	_, records, err := t.resolver().LookupSRV(ctx, "", "", name.target)
	if err != nil {
		return nil, err
	}
	var all []found
	for _, r := range records {
		if r.Target == "." { // RFC 2782: the service is not to be had there
			continue
		}
		some, oneErr := t.lookupHost(ctx, strings.TrimSuffix(r.Target, "."), strconv.Itoa(int(r.Port)), int(r.Priority), int(r.Weight))
		if oneErr != nil {
			err = oneErr
		}
		all = append(all, some...)
	}
	if len(all) > 0 {
		err = nil
	} else if err == nil {
		err = fmt.Errorf("fastcgi: %s names no server", name.target)
	}
	return all[:min(len(all), maxFound)], err
}

func (t *Transport) lookupHost(ctx context.Context, host, port string, priority, weight int) ([]found, error) {
	ips, err := t.resolver().LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	var all []found
	for _, ip := range ips[:min(len(ips), maxFound)] {
		all = append(all, found{net.JoinHostPort(ip.Unmap().String(), port), priority, weight})
	}
	return all, nil
}

// cannotResolve notes why there is no endpoint.
func (p *pool) cannotResolve(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unresolved = err
}

// update makes the pool's endpoints with a name those of the answer. One that is no
// longer in it loses its unused connections at once and the others after their use.
func (t *Transport) update(answer []found) {
	p := &t.pool
	wanted := map[string]found{}
	for _, f := range answer {
		if old, twice := wanted[f.target]; !twice || f.priority < old.priority {
			wanted[f.target] = f
		}
	}
	var old []*poolConn
	p.mu.Lock()
	kept := p.endpoints[:0:0]
	for _, ep := range p.endpoints {
		f, still := wanted[ep.address]
		switch {
		case !ep.named || still:
			if still && ep.named {
				ep.priority, ep.weight = f.priority, f.weight
				delete(wanted, ep.address)
			}
			kept = append(kept, ep)
		default:
			ep.removed = true
			old = append(old, ep.idle...)
			ep.idle = nil
		}
	}
	p.endpoints = kept
	p.mu.Unlock()
	for _, f := range answer { // in its order
		if _, missing := wanted[f.target]; missing {
			delete(wanted, f.target)
			ep := t.endpointAt("tcp", f.target)
			ep.named, ep.priority, ep.weight = true, f.priority, f.weight
			p.add(ep)
		}
	}
	for _, c := range old {
		c.closeWhole()
	}
}
