package prefork_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/lastcall/lastcall"
	"github.com/lastcall/lastcall/prefork"
)

const anyPort = "127.0.0.1:0"

// play is the main function of the program that a test wants.
func play(part string) {
	fmt.Println("main", prefork.TaskID(), os.Args[1:])
	defer fmt.Println("a deferred function runs")
	switch part {
	case "web":
		drive(prefork.Config{Workers: 2, Listen: []string{anyPort}, Worker: serve, After: after, Socket: os.Getenv("SOCKET")})
	case "ports":
		base := 0
		fmt.Sscan(os.Getenv("BASE"), &base)
		drive(prefork.Config{Workers: 2, Listen: []string{"127.0.0.1:{port}"}, PortBase: base, Worker: serve})
	case "plain":
		drive(prefork.Config{Workers: 2, Listen: []string{anyPort, "other=" + anyPort}, Worker: plain, After: after})
	case "ids":
		drive(prefork.Config{Workers: 4, Worker: show, After: after})
	case "busy":
		drive(prefork.Config{Workers: 1, Listen: []string{os.Getenv("ADDRESS")}, Worker: serve, After: after})
	case "early":
		drive(prefork.Config{Workers: 1, Worker: func(context.Context) error { return errors.New("no database") }})
	case "late": // ready, and then an end that nobody asked for
		drive(prefork.Config{Workers: 1, Listen: []string{anyPort}, Worker: late, MaxRestarts: -1})
	case "nested":
		drive(prefork.Config{Workers: 1, Worker: func(ctx context.Context) error {
			fmt.Println("nested:", prefork.Run(ctx, prefork.Config{Worker: show}))
			own := exec.Command(os.Args[0], "grandchild")
			own.Env = append(os.Environ(), partVariable+"=who")
			out, err := own.Output()
			fmt.Printf("%s%v\n", out, err)
			return show(ctx)
		}})
	case "who":
	case "signalled":
		drive(prefork.Config{Workers: 1, Worker: signalled})
	case "twice":
		c := prefork.Config{Workers: 1, Worker: show}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		fmt.Println("first:", prefork.Run(ctx, c))
		second, err := prefork.New(c)
		if err != nil {
			panic(err)
		}
		waited := make(chan error)
		go func() { waited <- errors.Join(second.Wait(context.Background()), second.Stop(context.Background())) }()
		fmt.Println("second:", second.Run(ctx))
		fmt.Printf("waited: %q\n", <-waited)
	case "bad":
		drive(prefork.Config{Workers: -1, Worker: show})
	case "helpers":
		drive(helped())
	case "helper":
		helper()
	case "leave":
		leave()
	case "stubborn":
		drive(prefork.Config{Workers: 1, Worker: stubborn, DrainTimeout: 100 * time.Millisecond})
	case "wait":
		s, err := prefork.New(prefork.Config{Workers: 1, Worker: show})
		if err != nil {
			panic(err)
		}
		go func() { _ = s.Run(context.Background()) }() // Wait returns the same
		fmt.Printf("waited in %d: %v\n", prefork.TaskID(), s.Wait(context.Background()))
	case "example":
		Example()
	case "after":
		ExampleConfig_after()
	case "supervisor":
		ExampleSupervisor()
	default:
		panic("no part " + part)
	}
}

func after() { fmt.Println("after in", prefork.TaskID()) }

// show says who it is until it is told to end.
func show(ctx context.Context) error {
	fmt.Println("id", prefork.TaskID(), os.Getenv("LASTCALL_WORKER"), os.Args[1:])
	<-ctx.Done()
	fmt.Println("told", prefork.TaskID())
	return ctx.Err()
}

func mux(ctx context.Context) *http.ServeMux {
	m := http.NewServeMux()
	m.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, prefork.TaskID(), " ", os.Getpid())
	})
	m.HandleFunc("/work", func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("work begun in", prefork.TaskID())
		for range time.Tick(time.Millisecond) {
			if _, err := os.Stat(r.URL.RawQuery); err == nil || r.Context().Err() != nil {
				break
			}
		}
		fmt.Fprint(w, "worked, told: ", ctx.Err() != nil)
	})
	m.HandleFunc("/exit", func(_ http.ResponseWriter, r *http.Request) {
		n := 0
		fmt.Sscan(r.URL.RawQuery, &n)
		os.Exit(n)
	})
	m.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { go panic("a worker's own") })
	return m
}

// serve serves with package lastcall.
func serve(ctx context.Context) error {
	var w lastcall.Worker
	return w.Serve(ctx, lastcall.Server{HTTP: &http.Server{Handler: mux(ctx)}})
}

// plain serves without it.
func plain(ctx context.Context) error {
	l, err := prefork.Listener("app")
	if err != nil {
		return err
	}
	for _, name := range []string{"app", "", "none"} {
		_, err := prefork.Listener(name)
		fmt.Println("again:", err)
	}
	server := &http.Server{Handler: mux(ctx)}
	end := make(chan struct{})
	go func() {
		defer close(end)
		<-ctx.Done()
		_ = server.Shutdown(context.Background())
	}()
	err = server.Serve(l)
	<-end
	return err
}

// late accepts one connection and returns.
func late(context.Context) error {
	l, err := prefork.Listener("")
	if err != nil {
		return err
	}
	c, err := l.Accept()
	if err != nil {
		return err
	}
	return c.Close()
}

// signalled is a worker that is sent TERM by somebody else than its supervisor,
// whose order package lastcall waits for. Its context must not run ahead.
func signalled(ctx context.Context) error {
	var w lastcall.Worker
	return w.Serve(ctx, lastcall.Server{Run: func(context.Context) error {
		_, err := prefork.Listener("")
		fmt.Println("listener:", err)
		at := time.Now()
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			return err
		}
		<-ctx.Done()
		fmt.Println("the context has waited:", time.Since(at) > 500*time.Millisecond)
		return nil
	}})
}

// stubborn does not end when it is told to.
func stubborn(ctx context.Context) error {
	<-ctx.Done()
	select {}
}

// helped has two helpers, the second of which needs the first, and workers that
// need both.
func helped() prefork.Config {
	helper := func(name string, needs ...string) prefork.Helper {
		file := os.Getenv("DIR") + "/" + name
		return prefork.Helper{
			Name: name, Command: []string{os.Args[0], "{worker}"}, DependsOn: needs,
			Env: []string{partVariable + "=helper", "FILE=" + file},
		}
	}
	store, cache := helper("store"), helper("cache", "store")
	store.Ready = prefork.Probe{File: os.Getenv("DIR") + "/store"}
	cache.Ready = prefork.Probe{Func: func(context.Context) error {
		_, err := os.Stat(os.Getenv("DIR") + "/cache")
		return err
	}}
	cache.StopCommand = []string{"/bin/sh", "-c", "rm " + os.Getenv("DIR") + "/{program}"}
	return prefork.Config{Workers: 2, Worker: show, Helpers: []prefork.Helper{cache, store}, After: after}
}

// helper is up from 50 ms after its start until TERM, or until its file is
// removed.
func helper() {
	name, file := os.Args[1], os.Getenv("FILE")
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	<-time.After(50 * time.Millisecond)
	fmt.Println("up", name)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		panic(err)
	}
	for range time.Tick(time.Millisecond) {
		if _, err := os.Stat(file); err != nil {
			fmt.Println("down", name)
			return
		}
		if len(term) > 0 {
			fmt.Println("down by TERM", name)
			return
		}
	}
}

// leave keeps its signals.
func leave() {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGUSR1)
	defer cancel()
	context.AfterFunc(ctx, func() { fmt.Println("the context ends in", prefork.TaskID()) })
	if prefork.TaskID() < 0 {
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM)
		go func() {
			<-term
			fmt.Println("my own TERM")
		}()
	}
	err := prefork.Run(ctx, prefork.Config{Name: "app", Workers: 1, Worker: show, LeaveSignals: true})
	fmt.Println("returned:", err)
}
