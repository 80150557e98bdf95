// Command postgresql is net/http on package lastcall, with a PostgreSQL that
// must be there for every request, to its end.
package main

import (
	"database/sql"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	_ "github.com/lib/pq"

	"github.com/lastcall/lastcall"
)

func main() {
	db, err := sql.Open("postgres", os.Getenv("DATABASE"))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	db.SetMaxIdleConns(8)
	db.SetMaxOpenConns(8)
	answer := func(text string, after time.Duration) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(after)
			if _, err := db.ExecContext(r.Context(), "SELECT txid_current()"); err != nil {
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
