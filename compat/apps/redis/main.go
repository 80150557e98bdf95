// Command redis is net/http on package lastcall, with a redis that must be
// there for every request, to its end.
package main

import (
	"io"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/lastcall/lastcall"
)

func main() {
	client := redis.NewClient(&redis.Options{Addr: os.Getenv("REDIS")})
	defer client.Close()
	answer := func(text string, after time.Duration) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(after)
			if err := client.Incr(r.Context(), "requests").Err(); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			_, _ = io.WriteString(w, text)
		}
	}
	http.Handle("GET /", answer("ok\n", 0))
	http.Handle("GET /slow", answer("done\n", time.Second))
	if err := lastcall.ListenAndServe("127.0.0.1:8080", nil); err != nil {
		log.Fatal(err)
	}
}
