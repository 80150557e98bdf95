package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// describeMachine says where the figures come from, and how busy it was: on a
// busy machine they say little.
func describeMachine(now time.Time) string {
	parts := []string{now.Format(time.DateOnly), fmt.Sprintf("%d CPUs%s", runtime.NumCPU(), model())}
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		parts = append(parts, unix.ByteSliceToString(u.Sysname[:])+" "+unix.ByteSliceToString(u.Release[:]))
	}
	parts = append(parts, runtime.Version()+" "+runtime.GOARCH)
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		load, _, _ := strings.Cut(string(b), " ")
		parts = append(parts, "load average before "+load)
	}
	return strings.Join(parts, " · ")
}

// model returns the processor's name, in parentheses, where it is known.
func model() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return " (" + strings.TrimSpace(value) + ")"
		}
	}
	return ""
}
