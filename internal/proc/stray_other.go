//go:build !linux

package proc

// Strays returns nil: there is no subreaper here, and so no stray.
func (c *Children) Strays() []*Process { return nil }

// Spare does nothing.
func (c *Children) Spare([]int) {}

// Spared returns nil.
func (c *Children) Spared() []int { return nil }
