// Command grpc is a gRPC server on lastcall. Calls under rolling restarts:
//
//	lastcall run --workers 4 --listen 127.0.0.1:8080 -- grpc
//	lastcall restart
//
// Its service is described by hand, so that no generated code stands between
// the reader and what there is to see: the Server, and two interceptors.
package main

import (
	"context"
	"flag"
	"log"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/lastcall/lastcall"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "`address` to listen on, where lastcall has given none")
	flag.Parse()
	server := grpc.NewServer(grpc.UnaryInterceptor(operation), grpc.StreamInterceptor(streamOperation))
	server.RegisterService(description(), &counter{pace: 10 * time.Millisecond})
	healthpb.RegisterHealthServer(server, health.NewServer())
	worker := &lastcall.Worker{}
	if err := worker.Serve(context.Background(), lastcall.Server{Addr: *listen, GRPC: server}); err != nil {
		log.Fatal(err)
	}
}

// operation makes a call an operation with a name, for `lastcall inflight` and
// for the report of what was cut. Its context is cancelled, with the cause
// ErrCut, at the deadline. Without it the call is served and waited for all
// the same, as one that comes after the last call is.
func operation(ctx context.Context, in any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	op, err := lastcall.Begin(ctx, info.FullMethod)
	if err != nil {
		return handler(ctx, in)
	}
	defer op.End()
	return handler(op.Context(), in)
}

// streamOperation is operation for streams.
func streamOperation(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	op, err := lastcall.Begin(stream.Context(), info.FullMethod)
	if err != nil {
		return handler(server, stream)
	}
	defer op.End()
	return handler(server, streamIn{stream, op.Context()})
}

type streamIn struct {
	grpc.ServerStream
	ctx context.Context
}

// Context is the operation's.
func (s streamIn) Context() context.Context { return s.ctx }
