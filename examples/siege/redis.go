package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
)

// redisServer becomes redis-server; the pid stays. Where none is installed
// this process serves the protocol itself, so that the demo needs nothing.
func redisServer(flags *flag.FlagSet, args []string) error {
	port := flags.Int("port", 4740, "port on 127.0.0.1")
	builtin := flags.Bool("builtin", false, "do not look for a redis-server")
	if err := flags.Parse(args); err != nil {
		return err
	}
	say("REDIS", os.Getpid())
	path, err := exec.LookPath("redis-server")
	if err != nil || *builtin {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		return serveRedis(ctx, fmt.Sprintf("127.0.0.1:%d", *port))
	}
	argv := []string{"redis-server", "--port", strconv.Itoa(*port), "--bind", "127.0.0.1",
		"--save", "", "--appendonly", "no", "--loglevel", "warning"}
	if err := syscall.Exec(path, argv, os.Environ()); err != nil {
		return fmt.Errorf("start redis-server: %w", err)
	}
	return nil
}

// serveRedis serves in memory until ctx ends or a client says SHUTDOWN.
func serveRedis(ctx context.Context, addr string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	m := miniredis.NewMiniRedis()
	if err := m.StartAddr(addr); err != nil {
		return fmt.Errorf("start redis: %w", err)
	}
	defer m.Close()
	err := m.Server().Register("SHUTDOWN", func(c *server.Peer, _ string, _ []string) {
		c.Close() // the protocol's answer: none, the connection ends
		stop()
	})
	if err != nil {
		return fmt.Errorf("start redis: %w", err)
	}
	<-ctx.Done()
	return nil
}

// redisStop asks redis to end. That it has ended is for the supervisor to see.
func redisStop(flags *flag.FlagSet, args []string) error {
	port := flags.Int("port", 4740, "port on 127.0.0.1")
	if err := flags.Parse(args); err != nil {
		return err
	}
	say("! parent shutting down redis")
	// A second try would find nobody there, and call that an error.
	db := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", *port), MaxRetries: -1, DialerRetries: 1})
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := db.ShutdownNoSave(ctx).Err()
	if err != nil && !errors.Is(err, syscall.ECONNRESET) { // an abrupt end is one too
		return fmt.Errorf("stop redis: %w", err)
	}
	return nil
}
