package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/lastcall/lastcall/internal/supervisor"
)

// cut is what a program may need beyond its deadline: what is cut unwinds, and
// who does not end by itself is killed half a second later.
func cut(p supervisor.Program) time.Duration {
	return max(time.Second, p.UnwindTimeout+500*time.Millisecond)
}

// Budget tells whether a stop fits into the time that what runs the supervisor
// gives it before it kills. It returns in one line how long a stop takes at the
// most, as a sum; or an *Error that names the program to be shortened and the
// value that would fit.
func Budget(c supervisor.Config, gives time.Duration) (string, error) {
	takes, longest := longestStop(c.Programs)
	for _, l := range longest {
		takes += cut(l.program)
	}
	sum := fmt.Sprintf("%v at the most: %s", takes, addends(longest))
	if takes <= gives {
		return fmt.Sprintf("a stop takes %s; the budget is %v", sum, gives), nil
	}
	worst := longest[0]
	for _, l := range longest {
		if longestDrain(l.program) > longestDrain(worst.program) {
			worst = l
		}
	}
	remedy := fmt.Sprintf("give lastcall %v before it is killed", takes)
	if left := longestDrain(worst.program) - (takes - gives); left > 0 {
		remedy = fmt.Sprintf("set %s = %q, or %s", drainKey(worst.program), left, remedy)
	} else {
		remedy = "shorten several of these, or " + remedy
	}
	return "", &Error{
		Key:     "program." + worst.program.Name,
		Problem: fmt.Sprintf("a stop takes %s, and the budget is %v", sum, gives),
		Remedy:  remedy,
	}
}

// longestDrain is how long a drain takes at the most, and drainKey what says so.
func longestDrain(p supervisor.Program) time.Duration {
	return max(p.DrainTimeout, p.DrainTimeoutMax)
}

func drainKey(p supervisor.Program) string {
	if p.DrainTimeoutMax > p.DrainTimeout {
		return "drain_timeout_max"
	}
	return "drain_timeout"
}

// addends writes a chain as a sum of what its programs were configured with.
func addends(longest chain) string {
	var parts []string
	for _, l := range longest {
		p := l.program
		var of []string
		if p.LameDuck > 0 {
			of = append(of, fmt.Sprintf("lame_duck %v", p.LameDuck))
		}
		of = append(of, fmt.Sprintf("%s %v", drainKey(p), longestDrain(p)))
		if len(p.StopCommand) > 0 || p.CloseSignal != 0 {
			of = append(of, fmt.Sprintf("stop_timeout %v", p.StopTimeout))
		}
		parts = append(parts, fmt.Sprintf("%s %s + %v to cut what is left", p.Name, strings.Join(of, " + "), cut(p)))
	}
	return strings.Join(parts, ", then ")
}
