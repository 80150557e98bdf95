package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// A caller calls a procedure; end closes its connection.
type caller struct {
	call func(ctx context.Context, slow bool) error
	end  func()
}

// callAll is a load of calls, by callers that open makes.
func callAll(ctx context.Context, keep bool, open func() (caller, error)) (func() (tally, error), error) {
	ctx, cancel := context.WithCancel(ctx)
	var mu sync.Mutex
	var t tally
	count := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			t.lost++
		} else {
			t.answered++
		}
	}
	var all sync.WaitGroup
	for range connections {
		all.Go(func() {
			for ctx.Err() == nil {
				c, err := open()
				if err != nil {
					count(err)
					continue
				}
				for again := true; again && ctx.Err() == nil; again = keep {
					count(c.within())
				}
				c.end()
			}
		})
	}
	return func() (tally, error) {
		cancel()
		all.Wait()
		return t, nil
	}, nil
}

// within makes one call. The load's end does not end it: it is let finish.
func (c caller) within() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return c.call(ctx, false)
}

// askOnce is one call on a connection of its own.
func askOnce(ctx context.Context, slow bool, open func() (caller, error)) error {
	c, err := open()
	if err != nil {
		return err
	}
	defer c.end()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return c.call(ctx, slow)
}

// A grpcClient is that of grpc-go. It sends a call again that the server has
// said it has not begun, as the protocol has it, and no other.
type grpcClient struct{}

func (grpcClient) open(addr string) func() (caller, error) {
	return func() (caller, error) {
		c, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
		if err != nil {
			return caller{}, fmt.Errorf("make client: %w", err)
		}
		health := healthpb.NewHealthClient(c)
		return caller{
			call: func(ctx context.Context, slow bool) error {
				var r healthpb.HealthCheckRequest
				if slow {
					r.Service = "slow"
				}
				answer, err := health.Check(ctx, &r)
				if err == nil && answer.GetStatus() != healthpb.HealthCheckResponse_SERVING {
					err = fmt.Errorf("answer: %v", answer.GetStatus())
				}
				return err
			},
			end: func() { _ = c.Close() }, // its only error is that it was closed before
		}, nil
	}
}

func (g grpcClient) ask(ctx context.Context, addr string, slow bool) error {
	return askOnce(ctx, slow, g.open(addr))
}

func (g grpcClient) load(ctx context.Context, addr string, keep bool) (func() (tally, error), error) {
	return callAll(ctx, keep, g.open(addr))
}

// A connectClient is that of connect-go, over HTTP/1.1. Its requests are POSTs.
type connectClient struct{}

func (connectClient) open(addr string) func() (caller, error) {
	return func() (caller, error) {
		transport := &http.Transport{IdleConnTimeout: time.Minute}
		c := connect.NewClient[wrapperspb.StringValue, wrapperspb.StringValue](&http.Client{Transport: transport}, "http://"+addr+"/compat.Echo/Say")
		return caller{
			call: func(ctx context.Context, slow bool) error {
				word := "quick"
				if slow {
					word = "slow"
				}
				answer, err := c.CallUnary(ctx, connect.NewRequest(wrapperspb.String(word)))
				if err == nil && answer.Msg.GetValue() != word {
					err = fmt.Errorf("answer: %q", answer.Msg.GetValue())
				}
				return err
			},
			end: transport.CloseIdleConnections,
		}, nil
	}
}

func (g connectClient) ask(ctx context.Context, addr string, slow bool) error {
	return askOnce(ctx, slow, g.open(addr))
}

func (g connectClient) load(ctx context.Context, addr string, keep bool) (func() (tally, error), error) {
	return callAll(ctx, keep, g.open(addr))
}
