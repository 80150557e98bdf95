package supervisor

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// writePIDFile writes our pid where the operator wants it, whole or not at
// all, and returns what removes it again, if it is still ours. "": no file.
func writePIDFile(path string) (remove func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	text := []byte(strconv.Itoa(os.Getpid()) + "\n")
	part := path + ".new"
	if err := os.WriteFile(part, text, 0o644); err != nil {
		return nil, fmt.Errorf("write pid file: %w", err)
	}
	if err := os.Rename(part, path); err != nil {
		os.Remove(part)
		return nil, fmt.Errorf("write pid file: %w", err)
	}
	return func() {
		if now, err := os.ReadFile(path); err == nil && bytes.Equal(now, text) {
			os.Remove(path)
		}
	}, nil
}
