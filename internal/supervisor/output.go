package supervisor

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// lastLines is how many lines of a life are kept for those who ask why it
// ended.
const lastLines = 20

// longestLine is where a line is broken in two.
const longestLine = 64 << 10

// readSize is how much of an output is read at once: there are two for each of
// what may be a thousand workers.
const readSize = 1024

// A tail keeps the last lines of a life's output. Its methods may be called
// from any goroutine.
type tail struct {
	mu    sync.Mutex
	lines []string
}

func (t *tail) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == lastLines {
		t.lines = append(t.lines[:0], t.lines[1:]...)
	}
	t.lines = append(t.lines, strings.TrimRight(line, "\r\n"))
}

func (t *tail) last() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.lines...)
}

// A stream is one output of a life: a pipe whose lines go to an output of the
// supervisor.
type stream struct {
	pipe source // the reading end
	to   io.Writer
	part string // of a line, read before the reading was interrupted
}

// openStream returns a stream and the writing end of its pipe.
func (s *Supervisor) openStream(to io.Writer) (*stream, *os.File, error) {
	r, w, err := s.system.pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("open pipe: %w", err)
	}
	return &stream{pipe: r, to: to}, w, nil
}

// outputs makes the streams of a life, and returns their writing ends.
func (s *Supervisor) outputs(l *life) (stdout, stderr *os.File, err error) {
	out, stdout, err := s.openStream(s.options.Stdout)
	if err != nil {
		return nil, nil, err
	}
	errs, stderr, err := s.openStream(s.options.Stderr)
	if err != nil {
		out.pipe.Close()
		stdout.Close()
		return nil, nil, err
	}
	l.streams = []*stream{out, errs}
	return stdout, stderr, nil
}

// follow passes on the lines of a stream, each in one write, so that lines of
// different workers are never mixed, and into the life's tail. The channel it
// returns is closed when nothing more can come, or reading was interrupted.
func (s *Supervisor) follow(l *life, st *stream) <-chan struct{} {
	prefix := ""
	if s.options.Terminal {
		prefix = l.id.Worker() + " | "
	}
	end := make(chan struct{})
	// The loop looks at st while it is read, before an upgrade.
	part := st.part
	st.part = ""
	go func() {
		defer close(end)
		lines := bufio.NewReaderSize(st.pipe, readSize)
		for {
			line, err := readLine(lines)
			line, part = part+line, ""
			if errors.Is(err, os.ErrDeadlineExceeded) {
				st.part, part = line, line
			}
			if s.parks(l, end, err) {
				continue
			}
			if line != "" {
				l.tail.add(line)
				s.wrote(l, line)
				if !strings.HasSuffix(line, "\n") {
					line += "\n" // the next line may be another worker's
				}
				// Output that cannot be written has nowhere else to go.
				_, _ = io.WriteString(st.to, prefix+line)
			}
			if err != nil {
				st.pipe.Close()
				return
			}
		}
	}()
	return end
}

// readLine returns the next line, its newline included, or a part of a line
// that is too long or the last.
func readLine(r *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		part, err := r.ReadSlice('\n')
		b.Write(part)
		if err != bufio.ErrBufferFull || b.Len() >= longestLine {
			if err == bufio.ErrBufferFull {
				err = nil
			}
			return b.String(), err
		}
	}
}
