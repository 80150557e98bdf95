// Command hello is the smallest server on lastcall.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/lastcall/lastcall"
)

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello from", os.Getpid()) })
	if err := lastcall.ListenAndServe("127.0.0.1:8080", mux); err != nil {
		log.Fatal(err)
	}
}
