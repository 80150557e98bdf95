package main

import (
	"fmt"
	"os"
	"sync"
)

// A logFile is a file that is appended to, and can be opened anew when it has
// been moved away. Its methods may be called from any goroutine.
type logFile struct {
	path string
	mu   sync.Mutex
	file *os.File
}

func openLog(path string) (*logFile, error) {
	l := &logFile{path: path}
	return l, l.reopen()
}

// reopen goes on in the file that is at the path now. If that cannot be opened
// it goes on in the one it has.
func (l *logFile) reopen() error {
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return fmt.Errorf("open log: %w; make its directory, or choose another --log", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_ = l.file.Close() // what was written has been handed to the kernel
	}
	l.file = file
	return nil
}

func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Write(p)
}
