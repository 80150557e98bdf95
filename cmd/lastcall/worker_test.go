package main

import (
	"fmt"
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

func note(what string) {
	f, err := os.OpenFile("journal", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	fmt.Fprintln(f, what)
}
