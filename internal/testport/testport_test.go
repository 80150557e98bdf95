package testport

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"
)

// What is held is found by nobody else, and served by whoever was told.
func TestHold(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("ports are held on Linux only")
	}
	first, release, err := Hold(2)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	for port := first; port < first+2; port++ {
		if _, err := hold(port, 1); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("port %d is held twice: %v", port, err)
		}
		for _, addr := range []string{"127.0.0.1", "0.0.0.0", "[::]", "[::1]"} {
			l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", addr, port))
			if err != nil {
				t.Errorf("a server cannot have %s:%d: %v", addr, port, err)
				continue
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("port %d: got %v, %v, want refused", port, c, err)
		}
	}
	release()
	again, err := hold(first, 2)
	if err != nil {
		t.Fatalf("still held: %v", err)
	}
	again()
}

func TestHoldAtTheSameTime(t *testing.T) {
	var (
		mu    sync.Mutex
		wait  sync.WaitGroup
		found = map[int]bool{}
	)
	for range 8 {
		wait.Go(func() {
			for range 200 {
				port, release, err := Hold(1)
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(release)
				mu.Lock()
				if found[port] {
					t.Errorf("port %d is found twice", port)
				}
				found[port] = true
				mu.Unlock()
			}
		})
	}
	wait.Wait()
}
