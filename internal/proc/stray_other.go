//go:build !linux

package proc

// Strays returns nil: there is no subreaper here, and so no stray.
func (c *Children) Strays() []*Process { return nil }
