package main

import (
	"fmt"
	"strings"

	"gatehouse/process"
)

// Bounds of what a difference is looked for in, and of how it is shown.
const (
	maxCells = 4 << 20 // of the table below: lines times lines
	maxShown = 60      // lines
	maxWidth = 200     // bytes of a line
	around   = 2       // lines that are equal, shown before and after a change
)

// An edit is a line of one text or of both.
type edit struct {
	sign byte // '-', '+' or ' '
	text string
}

// difference is a short unified difference of two texts.
func difference(a, b []string) string {
	edits := edits(a, b)
	near := make([]bool, len(edits)) // to be shown
	for n, e := range edits {
		if e.sign != ' ' {
			for i := max(n-around, 0); i <= min(n+around, len(edits)-1); i++ {
				near[i] = true
			}
		}
	}
	var out strings.Builder
	line, shown := 1, 0 // of a
	for n, e := range edits {
		if near[n] && (n == 0 || !near[n-1]) {
			fmt.Fprintf(&out, "@@ line %d @@\n", line)
		}
		if near[n] {
			if shown++; shown > maxShown {
				fmt.Fprintf(&out, "(and so on)\n")
				break
			}
			text := process.Printable(e.text)
			if len(text) > maxWidth {
				text = text[:maxWidth] + "..."
			}
			fmt.Fprintf(&out, "%c%s\n", e.sign, text)
		}
		if e.sign != '+' {
			line++
		}
	}
	return out.String()
}

// edits makes b of a with as few changes as there can be, unless the parts that differ
// are so long that it would take too much.
func edits(a, b []string) (all []edit) {
	keep := func(lines []string) {
		for _, l := range lines {
			all = append(all, edit{' ', l})
		}
	}
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	keep(a[:head])
	all = append(all, changes(a[head:len(a)-tail], b[head:len(b)-tail])...)
	keep(a[len(a)-tail:])
	return all
}

// changes is edits of what differs at both ends: by the longest common subsequence.
func changes(a, b []string) (all []edit) {
	var common [][]int32 // of a[i:] and b[j:]
	if (len(a)+1)*(len(b)+1) <= maxCells {
		common = table(a, b)
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case common != nil && i < len(a) && j < len(b) && a[i] == b[j]:
			all = append(all, edit{' ', a[i]})
			i++
			j++
		case i < len(a) && (common == nil || j == len(b) || common[i+1][j] >= common[i][j+1]):
			all = append(all, edit{'-', a[i]})
			i++
		default:
			all = append(all, edit{'+', b[j]})
			j++
		}
	}
	return all
}

func table(a, b []string) [][]int32 {
	common := make([][]int32, len(a)+1)
	for i := range common {
		common[i] = make([]int32, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	return common
}
