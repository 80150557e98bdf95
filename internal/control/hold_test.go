package control

import (
	"context"
	"testing"
	"time"
)

// Who was taken before a Hold is waited for until the answer is written; who
// connects meanwhile is answered after it.
func TestHold(t *testing.T) {
	begun, verdict := make(chan struct{}, 1), make(chan struct{})
	s, path := start(t, &fake{do: func(context.Context, Request, func([]Progress)) Verdict {
		begun <- struct{}{}
		<-verdict
		return Verdict{Text: "done"}
	}})
	for range 2 { // a Hold leaves nothing behind
		answered := make(chan error, 1)
		go func() {
			_, err := Dial(path).Do(limited(t), Request{Verb: "restart"}, nil)
			answered <- err
		}()
		await(t, begun, "the request does not come")
		quiet := s.Hold()
		late := make(chan error, 1)
		go func() {
			_, err := Dial(path).Status(limited(t))
			late <- err
		}()
		select {
		case <-quiet:
			t.Error("quiet while a client waits for its verdict")
		case <-late:
			t.Error("a client is answered in spite of the Hold")
		case <-time.After(50 * time.Millisecond): // nothing happens, and so nothing tells
		}
		verdict <- struct{}{}
		await(t, quiet, "never quiet")
		if err := <-answered; err != nil {
			t.Error(err)
		}
		s.Release()
		if err := <-late; err != nil {
			t.Error(err)
		}
	}
}

// Whoever has asked for an upgrade is answered by another process.
func TestHoldWithUpgrade(t *testing.T) {
	begun, verdict := make(chan struct{}, 1), make(chan struct{})
	s, path := start(t, &fake{do: func(context.Context, Request, func([]Progress)) Verdict {
		begun <- struct{}{}
		<-verdict
		return Verdict{Text: "refused"}
	}})
	answered := make(chan error, 1)
	go func() {
		_, err := Dial(path).Do(limited(t), Request{Verb: "upgrade"}, nil)
		answered <- err
	}()
	await(t, begun, "the request does not come")
	await(t, s.Hold(), "never quiet: who waits for the upgrade is waited for")
	s.Release()
	close(verdict)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	await(t, s.Hold(), "never quiet") // start closes it so
}
