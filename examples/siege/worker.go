package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/lastcall/lastcall"
)

// serve is a worker: it serves until it is told to stop, and returns when
// nothing is in progress any more.
func serve(flags *flag.FlagSet, args []string) error {
	addr := flags.String("addr", "127.0.0.1:8080", "address to serve on, when no supervisor passes a socket")
	base := flags.Int("port-base", 0, "serve on port `BASE`+slot of 127.0.0.1 instead, a port for each worker")
	store := flags.String("redis", "127.0.0.1:4740", "address of redis")
	data := flags.String("data", "siege_data", "folder for the sets of files")
	way := flags.String("way", cmp.Or(os.Getenv("SIEGE_WAY"), wayClass), "what protects a job: class, section or gate (or SIEGE_WAY)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := os.MkdirAll(*data, 0o777); err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	slot, err := strconv.Atoi(cmp.Or(os.Getenv("LASTCALL_SLOT"), "0"))
	if err != nil {
		return fmt.Errorf("parse LASTCALL_SLOT: %w", err)
	}
	db := redis.NewClient(&redis.Options{Addr: *store})
	defer db.Close()
	name := cmp.Or(os.Getenv("LASTCALL_WORKER"), "siege.0")
	s := &site{slot: slot, data: *data, locks: newLocks(db, name, slot, os.Getpid())}

	released, err := s.locks.releaseDead(context.Background())
	if err != nil {
		return fmt.Errorf("release locks of earlier lives: %w", err)
	}
	if len(released) > 0 {
		say("child", slot, "released the locks of a dead worker:", list(released))
	}

	handler, err := s.routes(*way)
	if err != nil {
		return err
	}
	server := lastcall.Server{Addr: *addr, HTTP: &http.Server{Handler: handler}}
	if *base > 0 {
		server.Addr = fmt.Sprintf("127.0.0.1:%d", *base+slot)
	}
	w := lastcall.Worker{OnDrain: s.onDrain, OnExit: s.onExit}
	say("CHILD", slot, os.Getpid())
	return w.Serve(context.Background(), server)
}

// onDrain runs when the last call has been made.
func (s *site) onDrain(ctx context.Context) {
	say("-> stopping child", s.slot, "pid", os.Getpid())
	if err := s.locks.leave(ctx); err != nil {
		say("child", s.slot, "could not tell its locks:", err)
	}
}

// onExit runs when nothing is in progress any more.
func (s *site) onExit(ctx context.Context) {
	held, err := s.locks.all(ctx)
	if err != nil {
		say("child", s.slot, "loop stopped, locks: unknown:", err)
		return
	}
	say("child", s.slot, "loop stopped, locks:", list(held))
}
