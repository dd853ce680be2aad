package main

import (
	"os"
	"runtime/debug"
	"runtime/metrics"

	"gatehouse/internal/config"
)

// The heap of a host with a few sites is small, so that collecting it often costs more
// than it gives back; with ten thousand sites it is not, and what it may grow by must
// not grow with it. GOGC in the environment stands above all this.

const (
	rarely  = 400      // percent
	often   = 50       // the same
	garbage = 32 << 20 // bytes, between two collections of a large heap
)

// collectRarely is for a heap of which nothing is known.
func collectRarely() { collectAt(rarely) }

// collectOften is for a configuration to be read: ten thousand sites leave twice what they
// need behind, in the gaps of which nothing else fits.
func collectOften() { collectAt(often) }

func collectAt(percent int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

// tuneHeap fits the collection to the configuration in force, and gives back to the system
// what it took to read many sites.
func tuneHeap(cfg *config.Config) {
	if len(cfg.Sites) < 500 {
		collectRarely()
		return
	}
	debug.FreeOSMemory()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	percent := uint64(rarely)
	if live[0].Value.Kind() == metrics.KindUint64 {
		percent = uint64(garbage) * 100 / max(live[0].Value.Uint64(), 1)
	}
	collectAt(int(min(max(percent, often), rarely)))
}
