//go:build !linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ends are the ends of the processes of a tree, which only Linux shows to
// others than the parent.
type ends struct{}

func watch(int) (*ends, error) { return nil, fmt.Errorf("watch processes: %w", errors.ErrUnsupported) }

func (*ends) wait(context.Context) (time.Time, error) { return time.Time{}, errors.ErrUnsupported }

func (*ends) close() {}
