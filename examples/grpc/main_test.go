package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// asExample makes the test binary the example.
const asExample = "GRPC_EXAMPLE"

func TestMain(m *testing.M) {
	if os.Getenv(asExample) != "" {
		main()
		return
	}
	code := m.Run()
	if err := os.RemoveAll(built.dir); err != nil {
		log.Print(err)
	}
	os.Exit(code)
}

const patience = 30 * time.Second

// A site is the example under `lastcall run`.
type site struct {
	t      *testing.T
	binary string // lastcall
	socket string // of its operators
	addr   string
	cmd    *exec.Cmd
	log    chan string // of all, when it has ended
}

// A command is `lastcall`, built by the first test that needs it.
type command struct {
	once sync.Once
	dir  string
	err  error
}

var built command

func (c *command) path(t *testing.T) string {
	t.Helper()
	c.once.Do(func() {
		if c.dir, c.err = os.MkdirTemp("", "grpc-example-"); c.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-o", c.dir+"/lastcall", "./cmd/lastcall")
		cmd.Dir = "../.."
		if out, err := cmd.CombinedOutput(); err != nil {
			c.err = errors.New(string(out))
		}
	})
	if c.err != nil {
		t.Fatal(c.err)
	}
	return c.dir + "/lastcall"
}

func run(t *testing.T, args ...string) *site {
	t.Helper()
	binary := built.path(t)
	s := &site{t: t, binary: binary, socket: t.TempDir() + "/s", log: make(chan string, 1)}
	args = append([]string{"run", "--name", "web", "--socket", s.socket, "--workers", "2", "--listen", "127.0.0.1:0"}, args...)
	s.cmd = exec.Command(binary, append(args, "--", os.Args[0])...)
	s.cmd.Env = append(os.Environ(), asExample+"=1", "GORACE=atexit_sleep_ms=0")
	out, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	guard := time.AfterFunc(2*patience, func() { _ = s.cmd.Process.Kill() })
	t.Cleanup(func() { guard.Stop() })
	var all strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		all.WriteString(lines.Text() + "\n")
		if m := regexp.MustCompile(`address=(\S+)`).FindStringSubmatch(lines.Text()); m != nil {
			s.addr = m[1]
		}
		if strings.HasSuffix(lines.Text(), " msg=ready") {
			break
		}
	}
	go func() {
		for lines.Scan() {
			all.WriteString(lines.Text() + "\n")
		}
		s.log <- all.String()
	}()
	if s.addr == "" {
		t.Fatalf("it does not come up:\n%s", <-s.log)
	}
	return s
}

// restart rolls all workers and returns the command's exit code.
func (s *site) restart() (int, string) {
	s.t.Helper()
	cmd := exec.Command(s.binary, "restart", "--socket", s.socket)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// stop stops all and returns what was logged.
func (s *site) stop(code int) string {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	text := <-s.log
	_ = s.cmd.Wait() // its code says more
	if got := s.cmd.ProcessState.ExitCode(); got != code {
		s.t.Errorf("exit code %d, want %d\n%s", got, code, text)
	}
	return text
}

// dial returns a client that does nothing but wait for a connection.
func (s *site) dial() *grpc.ClientConn {
	s.t.Helper()
	c, err := grpc.NewClient(s.addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

func pid(ctx context.Context, c *grpc.ClientConn) (int32, error) {
	var out wrapperspb.Int32Value
	err := c.Invoke(ctx, methodProcess, &emptypb.Empty{}, &out)
	return out.Value, err
}

// count asks for a stream.
func count(ctx context.Context, c *grpc.ClientConn, to int32) (grpc.ClientStream, error) {
	stream, err := c.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, methodCount)
	if err != nil {
		return nil, err
	}
	return stream, errors.Join(stream.SendMsg(wrapperspb.Int32(to)), stream.CloseSend())
}

// whole reads numbers to the end of the stream, and wants them all.
func whole(stream grpc.ClientStream, from, to int32) error {
	var v wrapperspb.Int32Value
	for i := from; i < to; i++ {
		if err := stream.RecvMsg(&v); err != nil {
			return err
		}
		if v.Value != i {
			return errors.New("a number is missing")
		}
	}
	if err := stream.RecvMsg(&v); err != io.EOF {
		return errors.Join(errors.New("want the end of the stream"), err)
	}
	return nil
}

// TestRolls rolls both workers again and again under calls and streams, of
// which none fails.
func TestRolls(t *testing.T) {
	s := run(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var calls, streams atomic.Int64
	over := make(chan struct{})
	pids := make(chan int32, 1<<16)
	var clients sync.WaitGroup
	for range 4 {
		c := s.dial()
		load := func(n *atomic.Int64, once func() error) {
			for {
				select {
				case <-over:
					return
				default:
				}
				if err := once(); err != nil {
					t.Error(err)
					return
				}
				n.Add(1)
			}
		}
		for range 4 {
			clients.Go(func() {
				load(&calls, func() error {
					p, err := pid(ctx, c)
					select {
					case pids <- p:
					default:
					}
					return err
				})
			})
		}
		clients.Go(func() {
			load(&streams, func() error {
				stream, err := count(ctx, c, 7)
				if err != nil {
					return err
				}
				return whole(stream, 0, 7)
			})
		})
	}
	const rolls = 8
	for range rolls {
		if code, text := s.restart(); code != 0 {
			t.Errorf("restart: exit code %d\n%s", code, text)
		}
	}
	close(over)
	clients.Wait()
	s.stop(0)
	close(pids)
	seen := map[int32]bool{}
	for p := range pids {
		seen[p] = true
	}
	t.Logf("%d calls and %d streams served by %d processes", calls.Load(), streams.Load(), len(seen))
	if len(seen) <= rolls/2 {
		t.Errorf("%d processes have served calls during %d rolls", len(seen), rolls)
	}
}

// TestStreamAtTheDrain serves a stream that is open when the drain begins to
// its end, while new calls go to the successors.
func TestStreamAtTheDrain(t *testing.T) {
	s := run(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := s.dial()
	const numbers = 100
	stream, err := count(ctx, c, numbers)
	if err != nil {
		t.Fatal(err)
	}
	old, err := pid(ctx, c) // of the one process the client has a connection to
	if err != nil {
		t.Fatal(err)
	}
	rolled := make(chan int, 1)
	go func() {
		code, _ := s.restart()
		rolled <- code
	}()
	other := int32(0)
	for other == 0 || other == old {
		if other, err = pid(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	if len(rolled) > 0 {
		t.Error("the roll is over before the stream")
	}
	if err := whole(stream, 0, numbers); err != nil {
		t.Error(err)
	}
	if code := <-rolled; code != 0 {
		t.Errorf("restart: exit code %d", code)
	}
	s.stop(0)
}

// TestStreamOverTheDeadline cuts a stream, and names it.
func TestStreamOverTheDeadline(t *testing.T) {
	s := run(t, "--drain-timeout", "500ms")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream, err := count(ctx, s.dial(), 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(&wrapperspb.Int32Value{}); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	text := s.stop(5)
	if d := time.Since(begin); d < 500*time.Millisecond {
		t.Errorf("cut after %v", d)
	}
	if err := whole(stream, 1, 1<<30); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ends with %v, want Unavailable", err)
	}
	for _, want := range []string{methodCount + " (critical", "grpc "} {
		if !bytes.Contains([]byte(text), []byte(want)) {
			t.Errorf("%q is not named:\n%s", want, text)
		}
	}
}
