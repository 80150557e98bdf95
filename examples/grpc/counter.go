package main

import (
	"context"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The methods of the service. Count is a stream of as many numbers as the
// client asks for; Process takes a moment, and says which process served it.
const (
	service       = "counter.Counter"
	methodProcess = "/" + service + "/Process"
	methodCount   = "/" + service + "/Count"
)

type counter struct{ pace time.Duration }

func (c *counter) wait(ctx context.Context) error {
	pace := time.NewTimer(c.pace)
	defer pace.Stop()
	select {
	case <-pace.C:
		return nil
	case <-ctx.Done():
		return status.Error(codes.Unavailable, context.Cause(ctx).Error())
	}
}

func (c *counter) process(ctx context.Context) (*wrapperspb.Int32Value, error) {
	if err := c.wait(ctx); err != nil {
		return nil, err
	}
	return wrapperspb.Int32(int32(os.Getpid())), nil
}

func (c *counter) count(to int32, stream grpc.ServerStream) error {
	for i := range to {
		if err := stream.SendMsg(wrapperspb.Int32(i)); err != nil {
			return err
		}
		if err := c.wait(stream.Context()); err != nil {
			return err
		}
	}
	return nil
}

// description is what protoc would have made of the service.
func description() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: service,
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Process", Handler: func(server any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
			var in emptypb.Empty
			if err := decode(&in); err != nil {
				return nil, err
			}
			info := &grpc.UnaryServerInfo{Server: server, FullMethod: methodProcess}
			return intercept(ctx, &in, info, func(ctx context.Context, _ any) (any, error) { return server.(*counter).process(ctx) })
		}}},
		Streams: []grpc.StreamDesc{{StreamName: "Count", ServerStreams: true, Handler: func(server any, stream grpc.ServerStream) error {
			var to wrapperspb.Int32Value
			if err := stream.RecvMsg(&to); err != nil {
				return err
			}
			return server.(*counter).count(to.Value, stream)
		}}},
	}
}
