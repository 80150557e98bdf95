package supervisor

import (
	"testing"

	"github.com/lastcall/lastcall/internal/sock"
	"github.com/lastcall/lastcall/internal/sock/steer"
)

// Who has spoken before an upgrade, and is not ready yet, is not looked at after
// it either.
func TestWhoHasSpokenIsNotLookedAt(t *testing.T) {
	s := &Supervisor{
		system:    system{wrapping: func(int, []*sock.Listener, bool) (*wrapping, bool) { return nil, true }},
		listeners: map[string]*listener{"web": {Group: &steer.Group{}}},
	}
	l := &life{ctx: t.Context(), program: &Program{Listen: []string{"web"}}, process: &fakeProcess{}, hello: true}
	s.watchWrapping(l)
	if l.trust != nil {
		t.Error("it is looked at")
	}
}
