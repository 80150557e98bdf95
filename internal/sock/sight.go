package sock

// A Sight is what can be seen of whether a process takes connections.
type Sight int

const (
	AcceptsNot Sight = iota // it does not, at this moment
	Accepts                 // it waits for them
	Busy                    // a thread of it runs, and does not wait for anything
	Unseen                  // it may wait in a way that cannot be seen
)
