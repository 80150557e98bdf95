package main

import (
	"bufio"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/lastcall/lastcall"
)

// playWorker is a server on package lastcall: a request takes until the file
// "go" is there, and both its ends are in the journal.
func playWorker() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		note("begun")
		for range time.Tick(2 * time.Millisecond) {
			if _, err := os.Stat("go"); err == nil {
				break
			}
		}
		note("answered")
		fmt.Fprintln(w, "done")
	})
	if err := lastcall.ListenAndServe("", handler); err != nil {
		note(err.Error())
	}
}

// playBrisk is a server on package lastcall that answers at once with its pid.
// With TALK it writes lines whose halves are some milliseconds apart; with
// FRAGILE it fails at once if the file "fragile" says the same.
func playBrisk() {
	failIfFragile()
	if os.Getenv("TALK") != "" {
		go talk()
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, os.Getpid()) })
	if err := lastcall.ListenAndServe("", handler); err != nil {
		note(err.Error())
	}
}

// playForeign is playBrisk without package lastcall: TERM has it close its
// socket at once, with whoever waits in it, and serve those it has accepted. It
// pauses for PACE after each. Where it inherits none it binds its own port.
func playForeign() {
	failIfFragile()
	l, err := net.FileListener(os.NewFile(3, "inherited"))
	if os.Getenv("LISTEN_FDS") == "" {
		l, err = net.Listen("tcp", "127.0.0.1:"+os.Getenv("LASTCALL_PORT"))
	}
	if err != nil {
		panic(err)
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() { <-term; l.Close() }()
	pace, _ := time.ParseDuration(os.Getenv("PACE")) // none is no pause
	var all sync.WaitGroup
	for {
		c, err := l.Accept()
		if err != nil {
			all.Wait()
			return
		}
		all.Go(func() {
			defer c.Close()
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\n\r\n%d\n", os.Getpid())
			}
		})
		<-time.After(pace)
	}
}

// playSingle serves one client after the other, without package lastcall, and
// keeps its socket to its end: TERM has it finish what it does, and whoever waits
// then. An accept that fails is what it cannot cope with. A request is as
// playWorker's. How it waits cannot be seen, so it needs readyByUptime.
func playSingle() {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	const inherited = 3
	if err := syscall.SetNonblock(inherited, true); err != nil {
		panic(err)
	}
	for {
		fd, _, err := syscall.Accept(inherited)
		switch err {
		case nil:
			serveSingle(os.NewFile(uintptr(fd), "connection"))
		case syscall.EAGAIN:
			select {
			case <-told:
				return
			case <-time.After(time.Millisecond):
			}
		default:
			note("accept: " + err.Error())
			return
		}
	}
}

func serveSingle(c *os.File) {
	defer c.Close()
	if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
		return
	}
	note("begun")
	for range time.Tick(2 * time.Millisecond) {
		if _, err := os.Stat("go"); err == nil {
			break
		}
	}
	fmt.Fprint(c, "HTTP/1.1 200 OK\r\n\r\ndone\n")
}

func failIfFragile() {
	if b, err := os.ReadFile("fragile"); err == nil && string(b) == os.Getenv("FRAGILE") {
		os.Exit(1)
	}
}

func talk() {
	for i := range math.MaxInt {
		fmt.Printf("line %d of %d ", i, os.Getpid())
		<-time.After(3 * time.Millisecond)
		fmt.Printf("ends %d\n", i)
	}
}

func note(what string) {
	f, err := os.OpenFile("journal", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	fmt.Fprintln(f, what)
}
