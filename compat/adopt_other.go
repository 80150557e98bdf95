//go:build !linux

package main

import "errors"

func adoptOrphans() error { return errors.New("the servers are run on Linux only") }

func orphans() []string { return nil }
