package main

import (
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/lastcall/lastcall"
)

// playWorker is a server on package lastcall: a request takes until the file
// "go" is there, and both its ends are in the journal.
func playWorker() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		note("begun")
		for range time.Tick(2 * time.Millisecond) {
			if _, err := os.Stat("go"); err == nil {
				break
			}
		}
		note("answered")
		fmt.Fprintln(w, "done")
	})
	if err := lastcall.ListenAndServe("", handler); err != nil {
		note(err.Error())
	}
}

// playBrisk is a server on package lastcall that answers at once with its pid.
// With TALK it writes lines whose halves are some milliseconds apart.
func playBrisk() {
	if os.Getenv("TALK") != "" {
		go talk()
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, os.Getpid()) })
	if err := lastcall.ListenAndServe("", handler); err != nil {
		note(err.Error())
	}
}

// playPlain is a server without package lastcall that ends well: told by TERM
// it accepts no more, answers on every connection that it has, and ends. It
// must not use Shutdown, which drops what it reads from then on.
func playPlain() {
	l, err := net.FileListener(os.NewFile(3, "inherited"))
	if err != nil {
		panic(err)
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	var open sync.WaitGroup
	open.Add(1) // until no more are accepted
	srv := http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, os.Getpid()) }),
		ConnState: func(_ net.Conn, s http.ConnState) {
			switch s {
			case http.StateNew:
				open.Add(1)
			case http.StateClosed:
				open.Done()
			}
		},
	}
	srv.SetKeepAlivesEnabled(false)
	go func() {
		<-term
		l.Close()
	}()
	_ = srv.Serve(l) // it ends because l was closed
	open.Done()
	open.Wait()
}

func talk() {
	for i := range math.MaxInt {
		fmt.Printf("line %d of %d ", i, os.Getpid())
		<-time.After(3 * time.Millisecond)
		fmt.Printf("ends %d\n", i)
	}
}

func note(what string) {
	f, err := os.OpenFile("journal", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	fmt.Fprintln(f, what)
}
