// Command grpc is grpc-go on package lastcall. Its service is the one that
// every gRPC server has: health.
package main

import (
	"context"
	"log"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/lastcall/lastcall"
)

func main() {
	server := grpc.NewServer()
	healthpb.RegisterHealthServer(server, &health{})
	var worker lastcall.Worker
	if err := worker.Serve(context.Background(), lastcall.Server{Addr: "127.0.0.1:8080", GRPC: server}); err != nil {
		log.Fatal(err)
	}
}

type health struct {
	healthpb.UnimplementedHealthServer
}

// Check takes a second to look at the service "slow".
func (*health) Check(_ context.Context, r *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	if r.GetService() == "slow" {
		time.Sleep(time.Second)
	}
	return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}, nil
}
