// Command lastcall runs a server as workers on one listening socket, and stops
// and restarts them without losing work. It is the supervisor (lastcall run)
// and its client (all other verbs).
package main

import (
	"os"

	"github.com/lastcall/lastcall/internal/proc"
)

func main() {
	proc.Shim()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
