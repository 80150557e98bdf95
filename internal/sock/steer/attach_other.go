//go:build !linux

package steer

import (
	"errors"

	"golang.org/x/net/bpf"
)

func attach(int, []bpf.Instruction) error { return errors.ErrUnsupported }
