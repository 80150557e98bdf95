package handoff

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain lets the test binary play the other process.
func TestMain(m *testing.M) {
	switch step := os.Getenv("HANDOFF_STEP"); os.Getenv("HANDOFF_ROLE") {
	case "":
		os.Exit(m.Run())
	case "receiver":
		playReceiver(step)
	case "sender":
		playSender(step)
	case "short":
		playShort()
	case "station":
		playStation()
	case "clients":
		playClients(step)
	case "holder":
		playHolder()
	}
}

// limit bounds every wait of these tests; none of them takes a tenth of it.
const limit = 20 * time.Second

// A process is the other side, a real one.
type process struct {
	t   testing.TB
	cmd *exec.Cmd
	out *bufio.Reader
	in  io.WriteCloser
}

// start runs a role. The descriptors are its 3, 4, ...; ours are closed.
func start(t testing.TB, role, step string, fds ...int) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "HANDOFF_ROLE="+role, "HANDOFF_STEP="+step)
	cmd.Stderr = os.Stderr
	for _, fd := range fds {
		cmd.ExtraFiles = append(cmd.ExtraFiles, os.NewFile(uintptr(fd), "passed"))
	}
	out, err := cmd.StdoutPipe()
	must(t, err)
	in, err := cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	for _, f := range cmd.ExtraFiles {
		f.Close()
	}
	p := &process{t: t, cmd: cmd, out: bufio.NewReader(out), in: in}
	t.Cleanup(p.kill)
	return p
}

// expect waits for a line of the process.
func (p *process) expect(line string) {
	p.t.Helper()
	timer := time.AfterFunc(limit, func() { p.signal(syscall.SIGKILL) })
	defer timer.Stop()
	got, err := p.out.ReadString('\n')
	if got != line+"\n" {
		p.t.Fatalf("the process says %q (%v), want %q", got, err, line)
	}
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	_ = p.cmd.Wait()
}

// stop returns when the whole process stands still.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGSTOP)
	var status unix.Siginfo
	for {
		err := unix.Waitid(unix.P_PID, p.cmd.Process.Pid, &status, unix.WSTOPPED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			must(p.t, err)
			return
		}
	}
}

// say prints a line for expect, in the process.
func say(line string) { fmt.Println(line) }

// pause waits for the end that the test has in mind for this process.
func pause() { _, _ = io.Copy(io.Discard, os.Stdin) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// connect returns both sides of a new connection.
func connect(t testing.TB) (client, server *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	s, err := l.Accept()
	must(t, err)
	t.Cleanup(func() { c.Close(); s.Close() })
	must(t, c.SetDeadline(time.Now().Add(limit)))
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

// talks shows that a connection is whole, in both directions.
func talks(t *testing.T, client, server net.Conn) {
	t.Helper()
	must(t, server.SetDeadline(time.Now().Add(limit)))
	for _, c := range []struct{ from, to net.Conn }{{client, server}, {server, client}} {
		_, err := io.WriteString(c.from, "hello")
		must(t, err)
		b := make([]byte, 6)
		n, err := io.ReadAtLeast(c.to, b, 5)
		if err != nil || string(b[:n]) != "hello" {
			t.Fatalf("read %q, %v; want hello", b[:n], err)
		}
	}
}

// closes shows that the client sees a clean end.
func closes(t *testing.T, client net.Conn) {
	t.Helper()
	if n, err := client.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("read %d bytes, %v; want the end", n, err)
	}
}

// descriptor duplicates that of a connection, as a process of its own has it.
func descriptor(t testing.TB, c syscall.Conn) (fd int) {
	t.Helper()
	raw, err := c.SyscallConn()
	must(t, err)
	must(t, raw.Control(func(own uintptr) { fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) }))
	must(t, err)
	return fd
}

// adopted is an Adopter that hands out what it is given.
type adopted struct {
	conns   chan net.Conn
	tickets chan Ticket
	refuse  func(Ticket) bool // at OFFER; nil: never
	late    atomic.Bool       // refuse at COMMIT
	load    int

	entered, leave chan bool // if not nil: Adopt was called; it may go on
}

func newAdopted() *adopted {
	return &adopted{conns: make(chan net.Conn, 20000), tickets: make(chan Ticket, 20000)}
}

func (a *adopted) Load() int { return a.load }

func (a *adopted) Accepts(t Ticket) bool { return a.refuse == nil || !a.refuse(t) }

func (a *adopted) Adopt(c net.Conn, t Ticket) bool {
	if a.late.Load() {
		return false
	}
	if a.entered != nil {
		a.entered <- true
		<-a.leave
	}
	a.tickets <- t
	a.conns <- c
	return true
}

func (a *adopted) next(t *testing.T) net.Conn {
	t.Helper()
	select {
	case c := <-a.conns:
		t.Cleanup(func() { c.Close() })
		return c
	case <-time.After(limit):
		t.Fatal("nothing was adopted")
		return nil
	}
}

// until waits for a condition that no event announces.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range int(limit / time.Millisecond) {
		if ok() {
			return
		}
		<-tick.C
	}
	t.Fatalf("not within %v: %s", limit, what)
}

// openDescriptors counts ours.
func openDescriptors(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(list)
}

// noneLeft checks at the end of a test that it has closed every descriptor.
func noneLeft(t *testing.T) {
	t.Helper()
	before := openDescriptors(t)
	t.Cleanup(func() {
		until(t, "all descriptors closed", func() bool { return openDescriptors(t) <= before })
	})
}
