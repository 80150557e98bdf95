package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// The lines of README.md that the figures stand between, and the two ends of the
// one that each of them begins with, which has its name.
const (
	figuresBegin = "<!-- figures: written by bench -write -->\n"
	figuresEnd   = "<!-- end of figures -->\n"
	figureMark   = "<!-- figure "
	markEnd      = " -->\n"
)

// writeFigure puts one figure in the place of the same one that the file has; of
// one that it has not, where it stands among those that it has. The others stay
// as they are.
func writeFigure(path, name, text string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("write figure: %w", err)
	}
	before, rest, begun := strings.Cut(string(b), figuresBegin)
	shown, after, ended := strings.Cut(rest, figuresEnd)
	if !begun || !ended {
		return fmt.Errorf("write figure: %s does not say where: it lacks the line %q or %q", path, figuresBegin, figuresEnd)
	}
	if shown, err = putFigure(shown, name, text); err != nil {
		return fmt.Errorf("write figure: %s: %w", path, err)
	}
	if err := os.WriteFile(path, []byte(before+figuresBegin+shown+figuresEnd+after), 0o644); err != nil {
		return fmt.Errorf("write figure: %w", err)
	}
	return nil
}

// putFigure returns what is shown, with the figure in it.
func putFigure(shown, name, text string) (string, error) {
	parts := strings.Split(shown, figureMark)
	if strings.TrimSpace(parts[0]) != "" {
		return "", errors.New("there is text before the first figure")
	}
	names := []string{""} // of the parts; the first is before any figure
	for _, part := range parts[1:] {
		of, _, ok := strings.Cut(part, markEnd)
		if !ok || slices.Contains(names, of) {
			return "", fmt.Errorf("the mark of a figure is not whole, or there twice: %s%.20q", figureMark, part)
		}
		names = append(names, of)
	}
	part := name + markEnd + text + "\n"
	at := slices.Index(names, name)
	if at >= 0 {
		parts[at] = part
	} else {
		order := figureNames()
		at = slices.IndexFunc(names, func(of string) bool { return slices.Index(order, of) > slices.Index(order, name) })
		if at < 0 {
			at = len(parts)
		}
		parts = slices.Insert(parts, at, part)
	}
	parts[0] = "\n"
	return strings.Join(parts, figureMark), nil
}
