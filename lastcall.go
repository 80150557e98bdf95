// Package lastcall lets a Go server stop and restart without losing work.
//
// Replace http.ListenAndServe and the server ends well:
//
//	func main() {
//		http.HandleFunc("GET /", hello)
//		if err := lastcall.ListenAndServe(":8080", nil); err != nil {
//			log.Fatal(err)
//		}
//	}
//
// On SIGTERM or SIGINT it stops accepting, closes idle connections, lets every
// request in progress end, tells the clients of the others to go ("Connection:
// close", GOAWAY), and returns nil at the moment the last response is with the
// kernel. What has not ended after the drain timeout is cut: its context is
// cancelled with the cause [ErrCut], and the *[CutError] that is returned names
// it.
//
// Run by the command lastcall, the same program is one of several workers on
// one inherited socket; nothing in it changes.
//
// # Operations
//
// What a drain waits for are operations. Every request is one, and critical
// unless it says otherwise, see [Expendable] and [SetClass]. So is a connection
// that a handler has hijacked (WebSocket), but expendable unless it is marked
// with [Critical]. Work that outlives its request, or has none, is made one by
// [Begin]:
//
//	op, err := lastcall.Begin(ctx, "write checkpoint")
//	if err != nil {
//		return err // ErrDraining: the last call has been made
//	}
//	defer op.End()
//
// Streams and loops, which would never end by themselves, watch [Draining].
//
// # More than one server
//
// A [Worker] has the settings, the hooks, and any number of servers: HTTP, raw
// connections, and loops that listen to nothing.
//
//	w := &lastcall.Worker{DrainTimeout: time.Minute}
//	err := w.Serve(ctx,
//		lastcall.Server{Name: "web", Addr: ":8080", HTTP: &http.Server{Handler: mux}},
//		lastcall.Server{Run: consume},
//		lastcall.Server{Name: "admin", Addr: "127.0.0.1:9090", HTTP: admin, Last: true},
//	)
//
// # Goroutines
//
// Every function and method of this package may be called from any goroutine,
// handlers and hooks included: none of the package's locks is held while code
// of the application runs. The only ones that wait are ListenAndServe and
// Serve.
//
// # What handlers can notice
//
// The ResponseWriter is a wrapper. It has what net/http's has, Unwrap included,
// but for one private method: a request body over the limit of an
// [http.MaxBytesReader] is no longer answered with "Connection: close" by
// itself. A hijacked cleartext connection is not a *net.TCPConn; it has
// CloseWrite, SyscallConn and NetConn.
package lastcall

import (
	"context"
	"net/http"
)

// ListenAndServe serves handler (nil: [http.DefaultServeMux]) on addr, or on
// the socket the process has inherited, until the process is told to stop; then
// it drains. It returns nil when everything has ended, *[CutError] when the
// deadline cut something, or the error that kept it from serving.
//
// It is [Worker.Serve] of a zero Worker with one HTTP server, without
// timeouts of its own. It may be called from any goroutine.
func ListenAndServe(addr string, handler http.Handler) error {
	var w Worker
	return w.Serve(context.Background(), Server{Addr: addr, HTTP: &http.Server{Handler: handler}})
}
