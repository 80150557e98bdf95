package supervisor

import (
	"bufio"
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

// outputs makes the pipes for a life's output. The channels are closed when
// nothing more can come from them.
func (s *Supervisor) outputs(l *life) (stdout, stderr *os.File, said []<-chan struct{}, err error) {
	stdout, outEnd, err := s.pipe(l, s.options.Stdout)
	if err != nil {
		return nil, nil, nil, err
	}
	stderr, errEnd, err := s.pipe(l, s.options.Stderr)
	if err != nil {
		stdout.Close()
		return nil, nil, nil, err
	}
	return stdout, stderr, []<-chan struct{}{outEnd, errEnd}, nil
}

// pipe returns the writing end of a pipe whose lines go to an output of the
// supervisor, each in one write, so that lines of different workers are never
// mixed, and into the life's tail.
func (s *Supervisor) pipe(l *life, to io.Writer) (*os.File, <-chan struct{}, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("open pipe: %w", err)
	}
	prefix := ""
	if s.options.Terminal {
		prefix = l.id.Worker() + " | "
	}
	end := make(chan struct{})
	go func() {
		defer close(end)
		defer r.Close()
		lines := bufio.NewReaderSize(r, 4096)
		for {
			line, err := readLine(lines)
			if line != "" {
				l.tail.add(line)
				if !strings.HasSuffix(line, "\n") {
					line += "\n" // the next line may be another worker's
				}
				// Output that cannot be written has nowhere else to go.
				_, _ = io.WriteString(to, prefix+line)
			}
			if err != nil {
				return
			}
		}
	}()
	return w, end, nil
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
