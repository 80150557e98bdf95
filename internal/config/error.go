package config

import (
	"fmt"
	"strings"
	"unicode"
)

// An Error says what is wrong with a configuration, and what to do about it.
type Error struct {
	File    string // as it was named; "": the command line
	Line    int    // from 1; 0: the file as a whole
	Column  int    // from 1, in bytes; 0: unknown
	Key     string // "program.web.workers"; for a key that is not known, its table
	Problem string
	Remedy  string // may be ""
}

// Error is one line, whatever the file holds:
// FILE:LINE: KEY: PROBLEM; REMEDY.
func (e *Error) Error() string {
	at := place{file: e.File, line: e.Line}
	return sentence(at.position(), e.Key, e.Problem, e.Remedy)
}

// A UsageError says what is wrong with the flags or how they are combined.
type UsageError struct {
	Flag    string // "--workers"; "COMMAND"
	Problem string
	Remedy  string // may be ""
}

// Error is one line: FLAG: PROBLEM; REMEDY.
func (e *UsageError) Error() string { return sentence("", e.Flag, e.Problem, e.Remedy) }

func sentence(at, key, problem, remedy string) string {
	var b strings.Builder
	for _, part := range []string{at, key} {
		if part != "" {
			b.WriteString(part + ": ")
		}
	}
	b.WriteString(problem)
	if remedy != "" {
		b.WriteString("; " + remedy)
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, b.String())
}

// A place is where something was said, for the errors about it. The zero
// place, with a key or without, is the command line.
type place struct {
	file         string
	line, column int
	key          string
}

// position is FILE:LINE, or FILE if that is all; "" for the command line.
func (p place) position() string {
	if p.line > 0 {
		return fmt.Sprintf("%s:%d", p.file, p.line)
	}
	return p.file
}

func (p place) fail(remedy, problem string, args ...any) *Error {
	return &Error{
		File: p.file, Line: p.line, Column: p.column, Key: p.key,
		Problem: fmt.Sprintf(problem, args...), Remedy: remedy,
	}
}

// did returns the remedy for a name that is not known: the nearest one that
// is, or all of them.
func did(name string, known []string) string {
	if near := nearest(name, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "known: " + strings.Join(known, ", ")
}

// nearest returns the known name that name was most likely meant to be, "" if
// none is near: at most one slip for every three letters.
func nearest(name string, known []string) string {
	best, found := (len(name)+2)/3+1, ""
	for _, k := range known {
		if max(len(name)-len(k), len(k)-len(name)) >= best {
			continue
		}
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < best {
			best, found = d, k
		}
	}
	return found
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour to get from a to b.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
