//go:build !linux

package proc

// Family returns the process alone: what descends from it cannot be seen.
func Family(pid int) []int { return []int{pid} }
