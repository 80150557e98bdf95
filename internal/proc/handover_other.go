//go:build !linux

package proc

import "errors"

// A Handover is a process as it is handed to another executable that takes the
// place of this one.
type Handover struct {
	PID    int
	Pidfd  int
	Group  bool
	Exited bool
	Exit   Exit
	Gone   bool
}

// HandOver fails: there is nothing here by which to find the processes again.
func (c *Children) HandOver([]*Process) ([]Handover, error) { return nil, errors.ErrUnsupported }

// Adopt fails, as HandOver does.
func (c *Children) Adopt(Handover) (*Process, error) { return nil, errors.ErrUnsupported }
