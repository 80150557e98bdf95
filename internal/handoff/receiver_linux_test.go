package handoff

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func newReceiver(t testing.TB) (*Receiver, *adopted) {
	t.Helper()
	a := newAdopted()
	r := NewReceiver(a)
	t.Cleanup(func() { r.Close() })
	return r, a
}

// source joins a scripted sender.
func (r *Receiver) scripted(t testing.TB) *script {
	t.Helper()
	ours, theirs, err := Pair()
	must(t, err)
	must(t, r.Add("s", ours))
	return newScript(t, theirs)
}

// gives offers a connection as a Sender does, and closes its own copy.
func (s *script) gives(id uint64, c *net.TCPConn) {
	s.t.Helper()
	raw, err := c.SyscallConn()
	must(s.t, err)
	must(s.t, raw.Control(func(fd uintptr) {
		m := message{Op: opOffer, IDs: []uint64{id}, Ticket: &Ticket{Listener: "web"}, Marks: readMarks(int(fd))}
		if m.Marks == nil {
			s.t.Error("no marks of a TCP connection")
		}
		_, err = s.link.offer(m, int(fd))
	}))
	must(s.t, err)
}

// nothing checks that no connection has been adopted. It is asked after an
// answer has come that follows the decision.
func (a *adopted) nothing(t *testing.T) {
	t.Helper()
	select {
	case <-a.conns:
		t.Error("the connection was adopted")
	default:
	}
}

func TestMove(t *testing.T) {
	noneLeft(t)
	s, end, _ := newSender(t)
	r, a := newReceiver(t)
	must(t, r.Add("s", end))
	client, server := connect(t)
	_, err := io.WriteString(client, "early ")
	must(t, err)
	want := Ticket{Listener: "web", Method: "GET", Idle: time.Minute}
	must(t, s.Send(server, want))
	server.Close()
	if got := wait(t, a.tickets); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	c := a.next(t)
	b := make([]byte, 6)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "early " {
		t.Fatalf("read %q, %v", b, err)
	}
	talks(t, client, c)
	raw, err := c.(*net.TCPConn).SyscallConn()
	must(t, err)
	must(t, raw.Control(func(fd uintptr) {
		if nonblocking, err := unix.FcntlInt(fd, unix.F_GETFL, 0); err != nil || nonblocking&unix.O_NONBLOCK == 0 {
			t.Errorf("flags %#x, %v: it blocks", nonblocking, err)
		}
		if flags, err := unix.FcntlInt(fd, unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("flags %#x, %v: it would be inherited", flags, err)
		}
	}))
	c.Close()
	closes(t, client)
	if outstanding(s) != 0 {
		t.Error("an offer is left")
	}
}

func TestDuplicatesAndUnknownMessages(t *testing.T) {
	noneLeft(t)
	r, a := newReceiver(t)
	s := r.scripted(t)
	client, server := connect(t)
	fd := descriptor(t, server)
	s.say("levitate", 1)
	_, err := s.link.offer(message{Op: "levitate", IDs: []uint64{1}}, fd) // with a descriptor
	must(t, err)
	must(t, s.link.raw.Control(func(end uintptr) { err = sendmsg(end, []byte("{]"), syscall.UnixRights(fd)) }))
	must(t, err)
	for _, ids := range [][]uint64{nil, {8, 9}} { // an offer of none, and of two
		_, err := s.link.offer(message{Op: opOffer, IDs: ids, Ticket: &Ticket{}}, fd)
		must(t, err)
	}
	syscall.Close(fd)
	s.say(opCommit, 7) // of nothing
	s.say(opAck, 7)    // not for a receiver
	s.gives(1, server)
	s.expectAll(opAck, 1)
	s.gives(1, server) // twice
	s.say(opCommit, 1)
	s.say(opCommit, 1)
	s.expect(opDone)
	s.say(opAbort, 1) // too late
	s.expect(opNack)
	server.Close()
	talks(t, client, a.next(t))
	a.nothing(t)
}

func TestOffersThatCannotBe(t *testing.T) {
	noneLeft(t)
	r, a := newReceiver(t)
	a.refuse = func(t Ticket) bool { return t.Listener == "admin" }
	s := r.scripted(t)
	client, server := connect(t)
	fd := descriptor(t, server)
	ticket := &Ticket{}
	for i, c := range []struct {
		m   message
		fds []int
		why why
	}{
		{message{Ticket: ticket}, nil, whyShort},                           // no descriptor
		{message{Ticket: ticket}, []int{fd, fd}, whyShort},                 // two
		{message{Ticket: ticket}, []int{fd, fd, fd, fd, fd, fd}, whyShort}, // more than there is room for
		{message{}, []int{fd}, ""},                                         // no ticket
		{message{Ticket: &Ticket{Listener: "admin"}}, []int{fd}, ""},       // not accepted
	} {
		c.m.Op, c.m.IDs = opOffer, []uint64{uint64(i)}
		b, err := encode(c.m)
		must(t, err)
		var oob []byte
		if c.fds != nil {
			oob = syscall.UnixRights(c.fds...)
		}
		must(t, s.link.raw.Control(func(end uintptr) { err = sendmsg(end, b, oob) }))
		must(t, err)
		if m, _ := s.expect(opNack); m.IDs[0] != c.m.IDs[0] || m.Why != c.why {
			t.Errorf("case %d: %+v", i, m)
		}
	}
	// A descriptor that is no connection, and one that is refused at the end.
	var pipe [2]int
	must(t, unix.Pipe2(pipe[:], unix.O_CLOEXEC))
	_, err := s.link.offer(message{Op: opOffer, IDs: []uint64{20}, Ticket: ticket}, pipe[0])
	must(t, err)
	closeAll(pipe[:])
	s.expect(opAck)
	s.say(opCommit, 20)
	s.expect(opNack)
	a.late.Store(true)
	s.gives(21, server)
	s.expect(opAck)
	s.say(opCommit, 21)
	if m, _ := s.expect(opNack); m.IDs[0] != 21 {
		t.Errorf("%+v", m)
	}
	a.nothing(t)
	// No copy is left: the end of ours is the end.
	syscall.Close(fd)
	server.Close()
	closes(t, client)
}

func TestRefuse(t *testing.T) {
	noneLeft(t)
	r, a := newReceiver(t)
	s := r.scripted(t)
	client, server := connect(t)
	s.gives(1, server)
	s.expect(opAck)
	r.Refuse()
	if m, _ := s.expect(opNack); m.IDs[0] != 1 || m.Why != whyDraining {
		t.Errorf("what was held: %+v", m)
	}
	r.Refuse()
	s.say(opCommit, 1) // crosses
	s.gives(2, server)
	if m, _ := s.expect(opNack); m.IDs[0] != 2 || m.Why != whyDraining {
		t.Errorf("what came after: %+v", m)
	}
	a.nothing(t)
	talks(t, client, server)
	must(t, r.Close())
	if _, _, err := s.receive(); !errors.Is(err, io.EOF) {
		t.Errorf("after Close: %v", err)
	}
}

// A receiver that drains, against a real Sender, with connections on
// their way: each is moved or kept.
func TestRefuseInTheMiddle(t *testing.T) {
	noneLeft(t)
	s, end, _ := newSender(t)
	r, a := newReceiver(t)
	must(t, r.Add("s", end))
	type conn struct {
		client, server *net.TCPConn
		result         chan error
	}
	var conns []conn
	for i := range 300 {
		client, server := connect(t)
		conns = append(conns, conn{client, server, send(s, server)})
		if i == 200 {
			r.Refuse()
		}
	}
	kept := 0
	for _, c := range conns {
		err := wait(t, c.result)
		switch {
		case err == nil:
			c.server.Close()
		case errors.Is(err, ErrRefused):
			kept++
			talks(t, c.client, c.server)
		default:
			t.Fatal(err)
		}
	}
	if got := len(a.conns); got+kept != len(conns) || kept < 99 {
		t.Errorf("%d adopted, %d kept", got, kept)
	}
	for len(a.conns) > 0 {
		a.next(t).Close()
	}
}

// The receiver's end must not close before the sender has been told what was
// adopted: it would go on with the connection.
func TestReceiverClosesLast(t *testing.T) {
	noneLeft(t)
	r, a := newReceiver(t)
	a.entered, a.leave = make(chan bool), make(chan bool)
	s := r.scripted(t)
	_, server := connect(t)
	s.gives(1, server)
	s.expect(opAck)
	s.say(opCommit, 1)
	wait(t, a.entered)
	closed := make(chan error, 1)
	go func() { closed <- r.Close() }()
	until(t, "closing", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.closed
	})
	close(a.leave)
	must(t, wait(t, closed))
	a.next(t)
	s.expect(opDone)
	if _, _, err := s.receive(); !errors.Is(err, io.EOF) {
		t.Errorf("then %v", err)
	}
	ours, theirs, err := Pair()
	must(t, err)
	syscall.Close(theirs)
	if err := r.Add("late", ours); !errors.Is(err, net.ErrClosed) {
		t.Errorf("add after Close: %v", err)
	}
}

// playShort is a receiver with room for few descriptors. It says so when each
// has been taken.
func playShort() {
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &now); err != nil {
		panic(err)
	}
	a := newAdopted()
	r := NewReceiver(a)
	now.Cur = 24
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &now); err != nil {
		panic(err)
	}
	if err := r.Add("s", 3); err != nil {
		panic(err)
	}
	say("started")
	pause()
	r.Close()
	os.Exit(0)
}

// A receiver at its limit loses nothing: what it cannot take is refused, and
// what it has taken lives.
func TestReceiverIsShortOfDescriptors(t *testing.T) {
	noneLeft(t)
	s, end, lost := newSender(t)
	s.backoff = time.Millisecond
	p := start(t, "short", "", end)
	p.expect("started")
	type conn struct {
		client, server *net.TCPConn
		result         chan error
	}
	var conns []conn
	for range 60 {
		client, server := connect(t)
		conns = append(conns, conn{client, server, send(s, server)})
	}
	refusals := 0
	for _, c := range conns {
		switch err := wait(t, c.result); {
		case err == nil:
			c.server.Close()
			// Alive, in the hands of the process: neither ended nor reset.
			must(t, c.client.SetReadDeadline(time.Now().Add(time.Millisecond)))
			if _, err := c.client.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a connection that was moved: %v", err)
			}
		case errors.Is(err, ErrRefused) && !Offered(err):
			refusals++
			talks(t, c.client, c.server)
		default:
			t.Fatal(err)
		}
	}
	if refusals == 0 || refusals == len(conns) {
		t.Errorf("%d of %d were refused: this shows nothing", refusals, len(conns))
	}
	p.kill()
	wait(t, lost)
}
