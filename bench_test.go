package lastcall

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// BenchmarkRequest is the price of the package: one keep-alive client per
// processor, with and without it.
func BenchmarkRequest(b *testing.B) {
	for _, kind := range []string{"get", "post"} {
		b.Run(kind+"/bare", func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			srv := &http.Server{Handler: http.HandlerFunc(benchHandler)}
			go srv.Serve(l)
			defer srv.Close()
			load(b, kind, l.Addr().String())
		})
		b.Run(kind+"/lastcall", func(b *testing.B) {
			s := serveHandler(b, &Worker{Logger: slog.New(slog.DiscardHandler)}, benchHandler)
			load(b, kind, s.addr)
			s.Drain()
			s.drained()
		})
	}
}

func benchHandler(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	fmt.Fprint(w, "ok")
}

func load(b *testing.B, kind, addr string) {
	request := "GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
	if kind == "post" {
		body := strings.Repeat("x", 1024)
		request = fmt.Sprintf("POST / HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	b.ReportAllocs()
	before := processorTime(b)
	defer func() {
		// On a machine that does something else as well it says more than
		// the time on the clock. The client's part is in both.
		b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
	}()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		r := bufio.NewReader(c)
		for pb.Next() {
			if _, err := io.WriteString(c, request); err != nil {
				b.Error(err)
				return
			}
			for {
				line, err := r.ReadSlice('\n')
				if err != nil {
					b.Error(err)
					return
				}
				if len(line) == 2 {
					break
				}
			}
			if _, err := r.Discard(2); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// processorTime is what this process has used, in nanoseconds.
func processorTime(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkBegin is the price of an operation.
func BenchmarkBegin(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		op, err := Begin(context.Background(), "bench")
		if err != nil {
			b.Fatal(err)
		}
		op.End()
	}
}
