// Command echo is echo on package lastcall.
package main

import (
	"log"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/lastcall/lastcall"
)

func main() {
	router := echo.New()
	router.GET("/", func(c echo.Context) error { return c.String(http.StatusOK, "ok\n") })
	router.GET("/slow", func(c echo.Context) error {
		time.Sleep(time.Second)
		return c.String(http.StatusOK, "done\n")
	})
	if err := lastcall.ListenAndServe("127.0.0.1:8080", router); err != nil {
		log.Fatal(err)
	}
}
