// Command prefork is a server that is the parent of its own workers:
//
//	prefork [-workers N] [-listen ADDRESS]
//
// TERM to its first process lets the requests in progress end, HUP replaces the
// workers one after the other. No client notices either.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/lastcall/lastcall"
	"github.com/lastcall/lastcall/prefork"
)

func main() {
	// Down to Run this is executed in every process.
	workers := flag.Int("workers", 0, "number of workers; 0: one for each CPU")
	listen := flag.String("listen", "127.0.0.1:8080", "address to listen on")
	flag.Parse()

	err := prefork.Run(context.Background(), prefork.Config{
		Workers: *workers,
		Listen:  []string{*listen},
		Worker:  work,
	})
	// Only the parent comes here, when the last worker has gone.
	if err != nil {
		log.Print(err)
	}
	os.Exit(prefork.ExitCode(err))
}

// work is executed in each worker, with the parent's socket.
func work(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "hello from worker", prefork.TaskID(), "pid", os.Getpid())
	})
	var w lastcall.Worker
	return w.Serve(ctx, lastcall.Server{HTTP: &http.Server{Handler: mux}})
}
