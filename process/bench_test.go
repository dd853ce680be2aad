package process_test

import (
	"context"
	"testing"
	"time"

	"gatehouse/process"
)

// BenchmarkSpawn is a process from its start until it is gone.
func BenchmarkSpawn(b *testing.B) {
	e := open(b, &process.Exec{Tag: "ID"})
	spawnParallel(b, e, "/bin/true")
}

// spawnParallel starts a program over and over, and waits until it is gone.
func spawnParallel(b *testing.B, s process.Spawner, path string) {
	b.RunParallel(func(pb *testing.PB) {
		c := &process.Command{Path: path, Env: []string{"ID=one"}}
		for pb.Next() {
			p, err := s.Spawn(context.Background(), c)
			if err != nil {
				b.Error(err)
				return
			}
			if !p.Await(time.Minute) {
				b.Error("it does not end")
			}
			p.End()
			<-p.Gone()
		}
	})
}

// BenchmarkStderr is one line of a log.
func BenchmarkStderr(b *testing.B) {
	s := process.Stderr{MaxLines: 1 << 30, Line: func(string) {}}
	line := []byte("[Sat Nov 21 12:00:00] script.cgi: something is not as it should be at line 100.\n")
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		_, _ = s.Write(line)
	}
}
