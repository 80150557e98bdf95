// Command gin is gin on package lastcall.
package main

import (
	"log"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/lastcall/lastcall"
)

func main() {
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.GET("/", func(c *gin.Context) { c.String(http.StatusOK, "ok\n") })
	router.GET("/slow", func(c *gin.Context) {
		time.Sleep(time.Second)
		c.String(http.StatusOK, "done\n")
	})
	if err := lastcall.ListenAndServe("127.0.0.1:8080", router); err != nil {
		log.Fatal(err)
	}
}
