package supervisor

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/guard"
	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/proc"
	"github.com/lastcall/lastcall/internal/sock/steer"
	"github.com/lastcall/lastcall/internal/wire"
)

// A handover is a whole supervisor as plain data and descriptors, for another
// executable that takes the place of this one. The numbers of descriptors are
// those of this process; -1 is none.
type handover struct {
	Format    int
	Version   string // of who wrote it, for people
	Upgrades  int    // how many there have been, this one included
	Core      pool.Saved
	Config    Config
	Began     time.Time
	Terminal  bool
	Names     map[string]string
	Fresh     map[string]bool
	Spared    []int
	Control   int
	Guard     guard.Handover
	Listeners []savedListener
	Versions  []savedVersion
	Lives     []savedLife
	Tickets   ticketKeys
	NotifyDir string           // "", as from builds before: all notify sockets have abstract names
	Signals   []syscall.Signal // that came and were not taken any more
	Told      savedTold
}

// handoverFormat is the format that this build writes and reads.
const handoverFormat = 1

// savedTold is what of a reload the parent has yet to hear the end of.
type savedTold struct {
	Hangup  bool
	Verdict string
	Line    int // the descriptor for it; 0, as builds before have it, or -1: none
}

type savedListener struct {
	Name    string
	Sockets []steer.Handover
	Slots   map[string]int
	Config  Listener
	Kept    keeper
	Closing bool
	Closed  bool
}

type savedVersion struct {
	Generation int
	Program    Program
	Pinned     int
}

type savedLife struct {
	ID         pool.ID
	Generation int // whose version it is of
	Process    proc.Handover
	Env        wire.Env
	Sockets    map[string]int
	Channel    int
	Notify     int
	Streams    []savedStream // stdout and stderr
	Line       bool          // its output has yet to tell that it is ready
	Newline    *savedStream  // and that descriptor; nil: there is none, or no more
	Tail       [][]byte      // of whatever bytes, which a string in JSON is not
	Hello      bool
	Spoke      bool
	Status     string
	Cut        []control.Operation
	Moved      int
	Reloads    bool
	MainPID    int
	Work       *savedWork // nil: it has never said what it does
}

type savedStream struct {
	Pipe int
	Part []byte
}

// readHandover reads what a predecessor has written, and tells whether this
// build can go on from it. The descriptors are not looked at.
func readHandover(r io.Reader) (*handover, *pool.Pool, error) {
	var h handover
	if err := json.NewDecoder(r).Decode(&h); err != nil {
		return nil, nil, fmt.Errorf("read state: %w", err)
	}
	if h.Format != handoverFormat {
		return nil, nil, fmt.Errorf("read state: format %d, written by %s; this is %d", h.Format, h.Version, handoverFormat)
	}
	core, err := pool.Restore(h.Core)
	if err != nil {
		return nil, nil, fmt.Errorf("read state: %w", err)
	}
	return &h, core, h.complete(core)
}

// complete checks that nothing the core knows of is missing.
func (h *handover) complete(core *pool.Pool) error {
	listeners, lives := map[string]bool{}, map[pool.ID]bool{}
	for _, l := range h.Listeners {
		if !l.Closed && len(l.Sockets) == 0 {
			return fmt.Errorf("read state: the socket of listener %s is missing", l.Name)
		}
		listeners[l.Name] = true
	}
	for _, l := range h.Lives {
		lives[l.ID] = true
	}
	snap := core.Snapshot()
	for _, l := range snap.Listeners {
		if !listeners[l.Name] {
			return fmt.Errorf("read state: listener %s is missing", l.Name)
		}
	}
	for _, p := range snap.Programs {
		for _, slot := range p.Slots {
			for _, l := range slot.Lives {
				if !lives[l.ID] {
					return fmt.Errorf("read state: life %s is missing", l.ID)
				}
			}
		}
	}
	for _, l := range h.Lives {
		if h.version(l.ID.Program, l.Generation) == nil {
			return fmt.Errorf("read state: generation %d of %s is missing", l.Generation, l.ID.Program)
		}
	}
	return nil
}

func (h *handover) version(program string, generation int) *savedVersion {
	for i, v := range h.Versions {
		if v.Program.Name == program && v.Generation == generation {
			return &h.Versions[i]
		}
	}
	return nil
}

// CheckState tells whether this build could go on from the state in r, which
// another build has written: nil, or in one line why not. It touches nothing. What
// it writes to w then is the proof that an upgrade wants to see: that a program
// ends well says little about programs that read no state.
func CheckState(r io.Reader, w io.Writer) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	if _, _, err := readHandover(bytes.NewReader(text)); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(w, proofOf(text)); err != nil {
		return fmt.Errorf("write proof: %w", err)
	}
	return nil
}

// proofOf is what an executable says that has read a state.
func proofOf(state []byte) string {
	return fmt.Sprintf("can go on from state %x", sha256.Sum256(state))
}
