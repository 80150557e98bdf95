package config

import (
	"fmt"
	"syscall"
	"time"

	"github.com/lastcall/lastcall/internal/supervisor"
)

// stopSignals reads what asks a worker to end: a signal, or an array of signals
// and the waits between them, as ["QUIT", "10s", "TERM"].
func stopSignals(first *syscall.Signal, steps *[]supervisor.StopStep) func(*node) error {
	return func(n *node) error {
		if n.kind != anArray {
			return stopSignal(first)(n)
		}
		if len(n.items) == 0 {
			return n.fail(`write a signal, as "TERM", or leave it out`, "is empty")
		}
		if len(n.items)%2 == 0 {
			return n.items[len(n.items)-1].fail(`write signals and the waits between them, as ["QUIT", "10s", "TERM"]; after the last comes KILL, at drain_timeout`, "a wait must stand between two signals")
		}
		if err := stopSignal(first)(n.items[0]); err != nil {
			return err
		}
		for i := 1; i < len(n.items); i += 2 {
			var step supervisor.StopStep
			if err := duration(&step.After, "leave the signal before it out")(n.items[i]); err != nil {
				return err
			}
			if err := stopSignal(&step.Signal)(n.items[i+1]); err != nil {
				return err
			}
			*steps = append(*steps, step)
		}
		return nil
	}
}

// stops checks that each signal has its time before the KILL, and that a drain
// that may be longer is.
func (d *draft) stops() error {
	var waits time.Duration
	for _, step := range d.StopSteps {
		waits += step.After
	}
	if len(d.StopSteps) > 0 && waits >= d.DrainTimeout {
		return d.where("stop_signal").fail("raise drain_timeout, or wait less", "its waits take %v, and at drain_timeout (%v) comes KILL: the last signal would never be sent", waits, d.DrainTimeout)
	}
	if d.DrainTimeoutMax > 0 && d.DrainTimeoutMax < d.DrainTimeout {
		return d.where("drain_timeout_max").fail(fmt.Sprintf("write %q or more, or leave it out", d.DrainTimeout), "is less than drain_timeout, %v", d.DrainTimeout)
	}
	return nil
}
