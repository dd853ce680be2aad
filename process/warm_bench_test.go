package process_test

import (
	"testing"

	"gatehouse/process"
)

// BenchmarkWarmSpawn is a process from its start until it is gone, forked by a helper
// for an empty script. Nearly all of it is the helper's; see BenchmarkSpawn.
func BenchmarkWarmSpawn(b *testing.B) {
	e := open(b, &process.Exec{Tag: "ID"})
	w := warm(b, &process.Warm{Cold: e, Servers: servers(b, "run")})
	s := always{w.With(process.WarmOptions{Mode: process.WarmOn})}
	spawnParallel(b, s, newScript(b, "#!"+python+"\n"))
}

// BenchmarkWarmExplain is the decision alone: the look at the script and its
// interpreter.
func BenchmarkWarmExplain(b *testing.B) {
	e := open(b, &process.Exec{})
	s := warm(b, &process.Warm{Cold: e, Servers: map[string][]byte{"python": []byte("x")}}).With(process.WarmOptions{})
	c := &process.Command{Path: newScript(b, "#!/usr/bin/env python3\n"), Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin"}}
	b.ReportAllocs()
	for b.Loop() {
		s.Explain(c)
	}
}
