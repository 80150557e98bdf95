package supervisor

import "github.com/lastcall/lastcall/internal/sock"

// saw keeps what the latest look at a life has shown, from any goroutine, and
// returns it.
func (l *life) saw(sight sock.Sight) sock.Sight {
	l.sight.Store(int64(sight))
	return sight
}

// evidence names what a life that has become ready was taken for ready by.
func (l *life) evidence() string {
	switch {
	case l.program.Ready != nil:
		return "probe"
	case l.hello && l.program.ownWord():
		return "package"
	case l.program.ReadyBy.Sign != AnySign:
		return string(l.program.ReadyBy.Sign)
	case l.spokeUp:
		return "notify"
	case sock.Sight(l.sight.Load()) == sock.Accepts:
		return "accepting"
	}
	return "uptime"
}
