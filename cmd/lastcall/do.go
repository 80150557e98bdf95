package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/lastcall/lastcall/internal/control"
)

// do gives a command, prints its progress on stderr, then its verdict: on
// stdout if all is well, else on stderr.
func (c *cli) do(ctx context.Context, r control.Request) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	v, err := client.Do(ctx, r, c.progress)
	if err != nil {
		return err
	}
	return c.verdict(r, v)
}

// maxProgress bounds the lines of one report: hundreds of workers drain at
// once, and a terminal has some forty lines.
const maxProgress = 10

func (c *cli) progress(list []control.Progress) {
	for i, p := range list {
		if i == maxProgress {
			fmt.Fprintf(c.stderr, "and %d more\n", len(list)-i)
			return
		}
		fmt.Fprintln(c.stderr, progressLine(p))
	}
}

func progressLine(p control.Progress) string {
	var parts []string
	switch {
	case p.Waiting != "" && p.Count > 1:
		parts = append(parts, fmt.Sprintf("%s and %d more", plain(p.Waiting), p.Count-1))
	case p.Waiting != "":
		parts = append(parts, plain(p.Waiting))
	case p.Count > 0:
		parts = append(parts, fmt.Sprintf("%d in progress", p.Count))
	}
	if p.Left > 0 {
		parts = append(parts, span(p.Left)+" left")
	}
	line := p.Worker + " " + p.State
	if len(parts) > 0 {
		line += ": " + strings.Join(parts, ", ")
	}
	return line
}

func (c *cli) verdict(r control.Request, v control.Verdict) error {
	text := v.Text
	if text == "" {
		text = strings.TrimSpace(r.Verb+" "+r.Target) + ": " + meaning(v.Code)
	}
	if v.Code == control.Done {
		fmt.Fprintln(c.stdout, plain(text))
		return nil
	}
	fmt.Fprintln(c.stderr, "lastcall: "+plain(text))
	for _, o := range v.Cut {
		fmt.Fprintln(c.stderr, "  cut: "+operationLine(o))
	}
	for _, line := range v.Last {
		fmt.Fprintln(c.stderr, "  | "+plain(line))
	}
	code := v.Code
	if code < 0 || code > 125 { // from 126 on the codes are the shell's
		code = exitFailure
	}
	return &exit{code: code}
}

func meaning(code int) string {
	switch code {
	case control.Done:
		return "done"
	case control.NotRunning:
		return "not running"
	case control.NoSuch:
		return "no such program or worker"
	case control.Cut:
		return "done, but a deadline cut work"
	case control.Died:
		return "done, but something died or had to be killed"
	case control.RolledBack:
		return "rolled back: the old workers serve on"
	}
	return "failed"
}

func operationLine(o control.Operation) string {
	details := []string{o.Class}
	for _, s := range []string{o.State, o.Client} {
		if s != "" {
			details = append(details, s)
		}
	}
	return plain(fmt.Sprintf("%s %s (%s, %s old)", o.Worker, title(o), strings.Join(details, ", "), span(o.Age)))
}

// title names an operation as people do: "POST /work/a", "writing files".
func title(o control.Operation) string { return strings.TrimSpace(o.Name + " " + o.Route) }
