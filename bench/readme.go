package main

import (
	"fmt"
	"os"
	"strings"
)

// The lines of README.md that the figures stand between.
const (
	figuresBegin = "<!-- figures: written by bench -write -->\n"
	figuresEnd   = "<!-- end of figures -->\n"
)

// writeFigures puts the figures in the place of those that the file has.
func writeFigures(path, figures string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	before, rest, begun := strings.Cut(string(b), figuresBegin)
	_, after, ended := strings.Cut(rest, figuresEnd)
	if !begun || !ended {
		return fmt.Errorf("write figures: %s does not say where: it lacks the line %q or %q", path, figuresBegin, figuresEnd)
	}
	text := before + figuresBegin + "\n" + figures + "\n" + figuresEnd + after
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	return nil
}
