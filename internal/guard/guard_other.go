//go:build !linux

package guard

import (
	"log/slog"
	"syscall"

	"github.com/lastcall/lastcall/internal/proc"
)

// Guard stands for a guard that is not there.
type Guard struct{}

// Life stands for a life that is not guarded.
type Life struct{}

// Start returns nil: there is no guard.
func Start(*proc.Children, []string, string, *slog.Logger) *Guard { return nil }

// PID returns 0.
func (*Guard) PID() int { return 0 }

// Close does nothing.
func (*Guard) Close() {}

// Add returns nil.
func (*Guard) Add(Rule, *proc.Process, syscall.RawConn) *Life { return nil }

// Ruled does nothing.
func (*Life) Ruled(Rule) {}

// Drains does nothing.
func (*Life) Drains() {}

// Busy does nothing.
func (*Life) Busy(bool) {}

// Turned does nothing.
func (*Life) Turned(Turn) {}

// Forget does nothing.
func (*Life) Forget() {}

// Handover is that of no guard.
type Handover struct{ Pidfd, Link int }

// HandOver returns that there is none.
func (*Guard) HandOver() (Handover, error) { return Handover{-1, -1}, nil }

// TakeBack does nothing.
func (*Guard) TakeBack(Handover) {}

// Forget does nothing.
func (*Guard) Forget() {}

// Retire does nothing.
func Retire(Handover) {}
