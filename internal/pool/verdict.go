package pool

// Outcome is how a command or the whole run ended. A larger one is worse.
type Outcome int

// The outcomes, the best first.
const (
	Done       Outcome = iota
	WasCut             // a deadline cut work
	Died               // something died, or had to be killed
	RolledBack         // a new life did not come up; the old ones serve on
	NoSuch             // there is no such program or worker
	Refused            // not done, for the reason given
	GaveUpAll          // a program has no slot left
	NeverUp            // a program did not start
	outcomes           // how many there are
)

func (o Outcome) String() string {
	return [outcomes]string{"done", "cut", "died", "rolled back", "no such worker", "refused", "gave up", "did not start"}[o]
}

// Verdict is an outcome in words, and the life it is about, if it is about one.
type Verdict struct {
	Outcome Outcome
	Text    string
	Life    ID
}

// worsen keeps the worse of two verdicts, and of equals the earlier.
func (v *Verdict) worsen(w Verdict) {
	if w.Outcome > v.Outcome {
		*v = w
	}
}
