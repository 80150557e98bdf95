package main

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// store starts a redis in memory and returns a client of it.
func store(t *testing.T) *redis.Client {
	t.Helper()
	db := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	t.Cleanup(func() { db.Close() })
	return db
}

func members(t *testing.T, db *redis.Client, key string) []string {
	t.Helper()
	names, err := db.ZRange(t.Context(), key, 0, -1).Result()
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestLockIsBusyUntilReleased(t *testing.T) {
	db, ctx := store(t), t.Context()
	a, b := newLocks(db, "web.1", 1, 100), newLocks(db, "web.2", 2, 200)
	if err := a.acquire(ctx, "x"); err != nil {
		t.Fatal(err)
	}
	if err := b.acquire(ctx, "x"); !errors.Is(err, errBusy) {
		t.Errorf("acquire of a taken lock: %v, want %v", err, errBusy)
	}
	if err := b.acquire(ctx, "y"); err != nil {
		t.Errorf("acquire of another: %v", err)
	}
	if got, err := a.all(ctx); err != nil || !slices.Equal(got, []string{"x", "y"}) {
		t.Errorf("all: %v, %v, want x and y", got, err)
	}
	if got := db.HGet(ctx, keyOwner, "x").Val(); got != "1:100" {
		t.Errorf("owner of x: %q, want 1:100", got)
	}
	if err := a.release(ctx, "x"); err != nil {
		t.Fatal(err)
	}
	if n := db.HExists(ctx, keyOwner, "x").Val(); n {
		t.Error("a released lock has an owner")
	}
	if err := b.acquire(ctx, "x"); err != nil {
		t.Errorf("acquire of a released lock: %v", err)
	}
}

// The gate asks for the set of the worker: it must hold what a draining life
// holds, from the first moment, and nothing of the life that replaces it.
func TestGateSeesLocksOfTheDrainingLifeOnly(t *testing.T) {
	db, ctx := store(t), t.Context()
	old, successor := newLocks(db, "web.2", 2, 100), newLocks(db, "web.2", 2, 200)
	for l, name := range map[*locks]string{old: "a", successor: "b"} {
		if err := l.acquire(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	if got := members(t, db, "locks:web.2"); len(got) > 0 {
		t.Errorf("before the drain the gate sees %q", got)
	}
	if err := old.leave(ctx); err != nil {
		t.Fatal(err)
	}
	if err := old.acquire(ctx, "c"); err != nil {
		t.Fatal(err)
	}
	if got := members(t, db, "locks:web.2"); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("during the drain the gate sees %q, want a and c", got)
	}
	for _, name := range []string{"a", "c"} {
		if err := old.release(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	if got := members(t, db, "locks:web.2"); len(got) > 0 {
		t.Errorf("after the drain the gate sees %q", got)
	}
}

// A worker that was killed leaves its locks; the next life in its slot gives
// them back, and touches nobody else's.
func TestLocksOfDeadWorkerAreReleased(t *testing.T) {
	db, ctx := store(t), t.Context()
	child := exec.Command(os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	dead, living := child.Process.Pid, os.Getpid()
	for _, l := range []struct {
		slot, pid int
		name      string
	}{{2, dead, "dead"}, {2, living, "draining"}, {1, dead, "other"}} {
		locks := newLocks(db, "web."+strconv.Itoa(l.slot), l.slot, l.pid)
		if err := locks.acquire(ctx, l.name); err != nil {
			t.Fatal(err)
		}
		if err := locks.leave(ctx); err != nil {
			t.Fatal(err)
		}
	}
	next := newLocks(db, "web.2", 2, 1<<30)
	got, err := next.releaseDead(ctx)
	if err != nil || !slices.Equal(got, []string{"dead"}) {
		t.Errorf("releaseDead: %q, %v, want dead", got, err)
	}
	if got := members(t, db, keyLocks); !slices.Equal(got, []string{"draining", "other"}) {
		t.Errorf("locks: %q, want draining and other", got)
	}
	if got := members(t, db, "locks:web.2"); !slices.Equal(got, []string{"draining"}) {
		t.Errorf("locks:web.2: %q, want draining", got)
	}
}

func TestList(t *testing.T) {
	for want, names := range map[string][]string{"[]": nil, "['a']": {"a"}, "['a', 'b']": {"a", "b"}} {
		if got := list(names); got != want {
			t.Errorf("list(%q) = %s, want %s", names, got, want)
		}
	}
}
