package main

import (
	"fmt"
	"math"
	"net/http"
	"os"
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
// With TALK it writes lines whose halves are some milliseconds apart; with
// FRAGILE it fails at once if the file "fragile" says the same.
func playBrisk() {
	if b, err := os.ReadFile("fragile"); err == nil && string(b) == os.Getenv("FRAGILE") {
		os.Exit(1)
	}
	if os.Getenv("TALK") != "" {
		go talk()
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, os.Getpid()) })
	if err := lastcall.ListenAndServe("", handler); err != nil {
		note(err.Error())
	}
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
