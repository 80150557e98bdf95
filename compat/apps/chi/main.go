// Command chi is chi on package lastcall.
package main

import (
	"io"
	"log"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/lastcall/lastcall"
)

func main() {
	router := chi.NewRouter()
	router.Get("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	router.Get("/slow", func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(time.Second)
		_, _ = io.WriteString(w, "done\n")
	})
	if err := lastcall.ListenAndServe("127.0.0.1:8080", router); err != nil {
		log.Fatal(err)
	}
}
