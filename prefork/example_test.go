package prefork_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/lastcall/lastcall"
	"github.com/lastcall/lastcall/prefork"
)

// A pre-forked server that ends well. Each worker accepts from the same socket;
// TERM to the parent lets the requests in progress end, HUP replaces the
// workers one after the other.
func Example() {
	err := prefork.Run(context.Background(), prefork.Config{
		Workers: 4,
		Listen:  []string{"127.0.0.1:0"},
		Worker: func(ctx context.Context) error {
			var w lastcall.Worker
			return w.Serve(ctx, lastcall.Server{HTTP: &http.Server{
				Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					fmt.Fprintf(w, "worker %d\n", prefork.TaskID())
				}),
			}})
		},
	})
	// Only the parent comes here, and no worker or helper is left.
	if err != nil {
		log.Print(err)
	}
	os.Exit(prefork.ExitCode(err))
}

// What must come after the last worker stands behind Run, or in After, which is
// called on the bad ends too. Neither can run in a worker.
func ExampleConfig_after() {
	err := prefork.Run(context.Background(), prefork.Config{
		Workers: 2,
		Worker: func(ctx context.Context) error {
			<-ctx.Done() // a queue consumer, say
			return ctx.Err()
		},
		After: func() { fmt.Println("the last worker has gone") },
	})
	fmt.Println("Run returned", err)
}

// Acting on workers by their slots. Nobody needs a pid for that.
func ExampleSupervisor() {
	s, err := prefork.New(prefork.Config{
		Name:    "siege",
		Workers: 2,
		Worker: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	if prefork.TaskID() < 0 { // in the parent
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if err := s.Start(ctx, prefork.All); err != nil { // waits until all are ready
				log.Print(err)
			}
			if err := s.Roll(ctx, 1); err != nil {
				log.Print(err)
			}
			snap, err := s.Snapshot(ctx)
			if err != nil {
				log.Print(err)
			}
			for _, p := range snap.Workers {
				fmt.Println(p.Name, p.State, p.Restarts)
			}
			_ = s.Stop(ctx) // Run returns the verdict
		}()
	}
	if err := s.Run(context.Background()); err != nil {
		log.Print(err)
	}
}
