package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// playHerald is a program that gives every sign of readiness but the one that it
// is named by its argument, and the first half of that. When the file "go" is
// there it gives the other half. TERM ends it.
func playHerald() {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	signs := []struct {
		name        string
		half, whole func()
	}{
		{"notify", func() { say("STATUS=nearly") }, func() { say("READY=1") }},
		{"log", func() { fmt.Fprint(os.Stderr, "herald: se") }, func() { fmt.Fprintln(os.Stderr, "rving on 80") }},
		{"fd", func() { write(10, "x") }, func() { write(10, "\n") }},
		{"accepting", func() {}, acceptInherited},
	}
	for _, s := range signs {
		s.half()
		if s.name != os.Args[1] {
			s.whole()
		}
	}
	note("half")
	for range time.Tick(2 * time.Millisecond) {
		if _, err := os.Stat("go"); err == nil {
			break
		}
	}
	for _, s := range signs {
		if s.name == os.Args[1] {
			s.whole()
		}
	}
	<-term
}

func say(text string) {
	c, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		panic(err)
	}
	defer c.Close()
	fmt.Fprint(c, text)
}

// write writes to a descriptor, if it is there.
func write(fd int, text string) {
	if _, err := syscall.Write(fd, []byte(text)); err != nil && err != syscall.EBADF {
		panic(err)
	}
}

func acceptInherited() {
	l, err := net.FileListener(os.NewFile(3, "inherited"))
	if err != nil {
		panic(err)
	}
	go http.Serve(l, nil)
}

// playStrict is a server that takes a socket only if LISTEN_PID is its own pid,
// as the protocol wants, and else listens at OWN itself. It says READY=1 if SAY
// is set.
func playStrict() {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	if os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()) {
		acceptInherited()
	} else {
		l, err := net.Listen("tcp", os.Getenv("OWN"))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			<-time.After(500 * time.Millisecond) // to be seen, on a busy machine
			os.Exit(1)
		}
		go http.Serve(l, nil)
	}
	if os.Getenv("SAY") != "" {
		say("READY=1")
	}
	<-term
}
