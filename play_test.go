package lastcall

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// play is main of the processes that process_test.go starts. It returns the
// exit status.
func play(role string) int {
	switch role {
	case "print environment":
		for _, v := range os.Environ() {
			fmt.Println(v)
		}
		return 0
	case "simple":
		return exit(ListenAndServe("127.0.0.1:7", http.HandlerFunc(playHandler))) // the address does not matter: a socket is inherited
	case "activated":
		// What the exec shim does.
		os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	}
	w := &Worker{DrainTimeout: time.Hour, UnwindTimeout: time.Millisecond}
	err := w.Serve(context.Background(), Server{Addr: "127.0.0.1:0", HTTP: &http.Server{
		Handler: http.HandlerFunc(playHandler),
		BaseContext: func(l net.Listener) context.Context {
			fmt.Println("serving", l.Addr())
			return context.Background()
		},
	}})
	if role == "worker" { // again, where the sockets are gone
		again := new(Worker).Serve(context.Background(), Server{Run: func(context.Context) error { return nil }})
		fmt.Println("again:", again)
	}
	if role == "signalled again" {
		fmt.Println("served")
		select {} // a signal has its default meaning again
	}
	return exit(err)
}

func exit(err error) int {
	var cut *CutError
	switch {
	case errors.As(err, &cut):
		fmt.Println("cut:", err)
		return 5
	case err != nil:
		fmt.Println("failed:", err)
		return 1
	}
	return 0
}

func playHandler(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/megabyte":
		fmt.Println("entered")
		<-Draining(r.Context())
		w.Write(bytes.Repeat([]byte("m"), megabytes))
	case "/stuck":
		fmt.Println("entered")
		select {}
	case "/write":
		fmt.Println("a line to stdout")
		fmt.Fprintln(os.Stderr, "a line to stderr")
	case "/environment":
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "LASTCALL_TEST_ROLE=print environment")
		out, err := cmd.Output()
		if err != nil {
			out = []byte(err.Error())
		}
		w.Write(out)
	default:
		fmt.Fprint(w, strings.TrimPrefix(r.URL.Path, "/"))
	}
}
