// Command fiber is fiber, which is fasthttp, on package lastcall. It is no
// net/http, so the package cannot see its requests, nor move its connections; it
// has what the package asks of a gRPC server: to serve, and to end in order.
package main

import (
	"context"
	"log"
	"net"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/lastcall/lastcall"
)

func main() {
	app := fiber.New()
	// Without it no response says, during a drain, that its connection will be closed.
	app.Server().CloseOnShutdown = true
	app.Get("/", func(c fiber.Ctx) error { return c.SendString("ok\n") })
	app.Get("/slow", func(c fiber.Ctx) error {
		time.Sleep(time.Second)
		return c.SendString("done\n")
	})
	var worker lastcall.Worker
	if err := worker.Serve(context.Background(), lastcall.Server{Addr: "127.0.0.1:8080", GRPC: server{app}}); err != nil {
		log.Fatal(err)
	}
}

type server struct{ *fiber.App }

// Serve serves until the listener is closed, or one of the other two is called.
func (s server) Serve(l net.Listener) error {
	return s.Listener(l, fiber.ListenConfig{DisableStartupMessage: true})
}

// GracefulStop returns when no request is in progress any more.
func (s server) GracefulStop() {
	if err := s.Shutdown(); err != nil {
		log.Print(err)
	}
}

// Stop does not wait for requests; package lastcall closes their connections.
func (s server) Stop() {
	if err := s.ShutdownWithTimeout(time.Nanosecond); err != nil {
		log.Print(err)
	}
}
