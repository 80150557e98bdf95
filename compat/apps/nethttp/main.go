// Command nethttp is net/http on package lastcall.
package main

import (
	"io"
	"log"
	"net/http"
	"time"

	"github.com/lastcall/lastcall"
)

func main() {
	http.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	http.HandleFunc("GET /slow", func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(time.Second)
		_, _ = io.WriteString(w, "done\n")
	})
	if err := lastcall.ListenAndServe("127.0.0.1:8080", nil); err != nil {
		log.Fatal(err)
	}
}
