package site

import (
	"strings"
	"time"

	"gatehouse/internal/config"
	"gatehouse/process"
	"gatehouse/scripts"
)

// newWarm is what runs the warm scripts of all sites. Whatever it cannot run, cold does.
func (a *assembly) newWarm(c *config.Helpers) *process.Warm {
	return &process.Warm{
		Cold: a.spawner, Log: a.log,
		Constant:    []string{"GATEWAY_INTERFACE", "SERVER_SOFTWARE"}, // CGI.pm looks at both
		Servers:     map[string][]byte{"python": scripts.WarmPython(), "perl": scripts.WarmPerl()},
		IdleTimeout: time.Duration(c.IdleTimeout), MaxForks: c.MaxForks, MaxMemory: int64(c.MaxMemory),
		MaxHelpers: c.Helpers, Spares: c.Spares, Patience: a.options.WarmPatience,
	}
}

// starter is the Spawner of a route's programs. Without warmth it is the cold one, and
// nothing is told of how its programs were started.
func (a *assembly) starter(c *config.Warm) process.Spawner {
	if c.Mode == config.WarmOff {
		return a.spawner
	}
	mode := process.WarmAuto
	if c.Mode == config.WarmOn {
		mode = process.WarmOn
	}
	return a.warm.With(process.WarmOptions{Mode: mode, Preload: preloads(c.Preload), NoLearn: c.NoLearn})
}

// preloads turns modules' names into those that the interpreters go by. One that could
// be of either language is given to both; the other does not find it.
func preloads(modules []string) (names []string) {
	for _, m := range modules {
		if !strings.Contains(m, "::") {
			names = append(names, m)
		}
		if !strings.Contains(m, ".") {
			names = append(names, strings.ReplaceAll(m, "::", "/")+".pm")
		}
	}
	return names
}

// howStarted tells which way a program would be started, and why.
func howStarted(s process.Spawner, c *process.Command) string {
	if warm, ok := s.(*process.WarmSpawner); ok {
		return warm.Explain(c)
	}
	return "cold: warm = false"
}

// Helpers tells of the interpreters that run warm scripts.
func (h *Host) Helpers() []process.HelperStatus { return h.inForce().warm.Status() }
