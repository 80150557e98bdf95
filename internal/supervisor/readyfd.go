package supervisor

import (
	"bytes"
	"fmt"
	"os"
	"slices"

	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/proc"
	"github.com/lastcall/lastcall/internal/wire"
)

// placed puts a descriptor under the number that a worker is to find it by.
func placed(files []int, number, fd int) []int {
	at := number - wire.FirstFD
	for len(files) <= at {
		files = append(files, proc.NoFile)
	}
	files = slices.Clone(files)
	files[at] = fd
	return files
}

// giveNewline adds the descriptor by which a life tells that it is ready, if that
// is how it does, to those that it is given. newline is to be closed when it has
// them; nil: there is none.
func (s *Supervisor) giveNewline(l *life, files []int) (all []int, newline *os.File, err error) {
	number := l.program.ReadyBy.FD
	if number == 0 {
		return files, nil, nil
	}
	if l.newline, newline, err = s.system.pipe(); err != nil {
		return nil, nil, fmt.Errorf("open pipe: %w", err)
	}
	return placed(files, number, int(newline.Fd())), newline, nil // Fd makes it blocking, as a program expects
}

// hearNewline waits for a newline on the descriptor by which a life tells that
// it is ready, as s6 does. What else is written there is read, and means nothing:
// s6 closes its end after the newline, and a second one kills the writer. The
// channel it returns is closed when nothing more can come.
func (s *Supervisor) hearNewline(l *life) <-chan struct{} {
	end := make(chan struct{})
	go func() {
		defer close(end)
		defer l.newline.Close()
		buf := make([]byte, 128)
		for said := false; ; {
			n, err := l.newline.Read(buf)
			if !said && bytes.IndexByte(buf[:n], '\n') >= 0 {
				said = true
				s.call(l.ctx, func() { s.step(pool.Ready{ID: l.id}) })
			}
			if s.parks(l, end, err) {
				continue
			}
			if err != nil { // closed, by all who had it
				s.call(l.ctx, func() { l.mute = true })
				return
			}
		}
	}()
	return end
}
