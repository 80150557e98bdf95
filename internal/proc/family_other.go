//go:build !linux

package proc

// Family returns the process alone: what descends from it cannot be seen.
func Family(pid int) []int { return []int{pid} }

// Descends tells whether the two are one: more cannot be seen.
func Descends(pid, from int) bool { return pid == from }

// Memory returns 0: it cannot be seen.
func Memory(int) int64 { return 0 }
