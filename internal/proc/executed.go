package proc

import (
	"path/filepath"
	"strings"
)

// Seen is a process as it can be seen from outside.
type Seen struct {
	PID       int
	Dir       string   // where it is
	Exe       string   // the file it executes
	Args      []string // its arguments, or the title it has given itself
	ListenPID int      // LISTEN_PID as it was executed with; 0: without
}

// Name returns the base name of what it was called by, or is titled: "npm" of
// "npm start", "nginx" of "nginx: master process".
func (s Seen) Name() string {
	if len(s.Args) == 0 || strings.TrimSpace(s.Args[0]) == "" {
		return filepath.Base(s.Exe)
	}
	called := s.Args[0]
	if len(s.Args) == 1 {
		called = strings.TrimSuffix(strings.Fields(called)[0], ":")
	}
	return filepath.Base(called)
}
