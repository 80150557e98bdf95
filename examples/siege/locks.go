package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// The keys in redis. locks is the truth: a name in it is locked, its score is
// the time it was taken. The others say whose the locks are.
const (
	keyLocks = "locks"       // sorted set, name by unix time
	keyOwner = "locks:owner" // hash, name to "slot:pid"
)

// errBusy is the answer to a second job of the same name.
var errBusy = errors.New("stream is busy")

// acquireScript takes a lock if it is free, in one step.
const acquireScript = `if redis.call('zscore', 'locks', KEYS[1]) then return 0 end
redis.call('zadd', 'locks', ARGV[1], KEYS[1])
redis.call('hset', 'locks:owner', KEYS[1], ARGV[2])
return 1`

// locks are named locks in redis, shared by all workers. Its methods may be
// called from any goroutine.
type locks struct {
	db    *redis.Client
	slot  int
	owner string // "slot:pid"
	// leaving is the sorted set "locks:web.2", which the gate in lastcall.toml
	// asks for. Locks are entered in it from the drain on, and not when they
	// are taken: on a rolling restart two lives share the slot and so this
	// key, and the old one must not wait for the jobs of its successor.
	leaving string

	mu       sync.Mutex
	held     map[string]float64
	draining bool
}

func newLocks(db *redis.Client, worker string, slot, pid int) *locks {
	return &locks{
		db: db, slot: slot,
		owner:   fmt.Sprintf("%d:%d", slot, pid),
		leaving: keyLocks + ":" + worker,
		held:    map[string]float64{},
	}
}

// acquire takes the lock. It tries for 0.1 s and then returns errBusy.
func (l *locks) acquire(ctx context.Context, name string) error {
	start := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		now := float64(time.Now().UnixMilli()) / 1000
		got, err := l.db.Eval(ctx, acquireScript, []string{name}, now, l.owner).Int()
		if err != nil {
			return fmt.Errorf("acquire lock: %w", err)
		}
		if got == 1 {
			return l.enter(ctx, name, now)
		}
		if time.Since(start) > 100*time.Millisecond {
			return errBusy
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("acquire lock: %w", context.Cause(ctx))
		}
	}
}

func (l *locks) enter(ctx context.Context, name string, at float64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[name] = at
	if !l.draining {
		return nil
	}
	return l.show(ctx)
}

// leave enters the locks held, and those taken from now on, in the sorted set
// that the gate asks for.
func (l *locks) leave(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draining = true
	return l.show(ctx)
}

func (l *locks) show(ctx context.Context) error {
	if len(l.held) == 0 {
		return nil
	}
	var members []redis.Z
	for name, at := range l.held {
		members = append(members, redis.Z{Member: name, Score: at})
	}
	if err := l.db.ZAdd(ctx, l.leaving, members...).Err(); err != nil {
		return fmt.Errorf("show locks: %w", err)
	}
	return nil
}

// release gives a lock back.
func (l *locks) release(ctx context.Context, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, name)
	_, err := l.db.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.ZRem(ctx, keyLocks, name)
		p.ZRem(ctx, l.leaving, name)
		p.HDel(ctx, keyOwner, name)
		return nil
	})
	if err != nil {
		return fmt.Errorf("release lock: %w", err)
	}
	return nil
}

// releaseDead gives back the locks that an earlier life of this slot took and
// died with, and returns their names. A life that still drains keeps its own.
func (l *locks) releaseDead(ctx context.Context) ([]string, error) {
	owners, err := l.db.HGetAll(ctx, keyOwner).Result()
	if err != nil {
		return nil, fmt.Errorf("list owners: %w", err)
	}
	var released []string
	for _, name := range slices.Sorted(maps.Keys(owners)) {
		slot, pid, _ := strings.Cut(owners[name], ":")
		if slot != strconv.Itoa(l.slot) || owners[name] == l.owner || alive(pid) {
			continue
		}
		if err := l.release(ctx, name); err != nil {
			return released, err
		}
		released = append(released, name)
	}
	return released, nil
}

// alive reports whether a process has the pid. It may be another one by now;
// then the lock stays, which is the safe mistake.
func alive(pid string) bool {
	n, err := strconv.Atoi(pid)
	return err == nil && n > 0 && !errors.Is(syscall.Kill(n, 0), syscall.ESRCH)
}

// all returns the names of all locks, of all workers.
func (l *locks) all(ctx context.Context) ([]string, error) {
	names, err := l.db.ZRange(ctx, keyLocks, 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("list locks: %w", err)
	}
	return names, nil
}

// list writes names as the program of 2014 did: ['a', 'b'].
func list(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = "'" + n + "'"
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
