package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A Channel is one end of a worker's channel: a SOCK_SEQPACKET socket, so that
// every message arrives whole or not at all and the end of the peer is seen as
// io.EOF. Send may be called from any goroutine, Receive from one at a time.
type Channel struct {
	conn *net.UnixConn
	send sync.Mutex // orders messages that are sent in pages
	buf  []byte
	oob  []byte
}

// OpenChannel takes over the descriptor of an end. The descriptor is closed,
// also on error: the Channel has its own.
func OpenChannel(fd int) (*Channel, error) {
	f := os.NewFile(uintptr(fd), "channel")
	if f == nil {
		return nil, fmt.Errorf("open channel: descriptor %d is not valid", fd)
	}
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("open channel: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("open channel: descriptor %d is a %T, not a unix socket", fd, c)
	}
	return &Channel{conn: u, buf: make([]byte, MaxMessage+1), oob: make([]byte, syscall.CmsgSpace(4))}, nil
}

// Send writes the messages one after the other, with no other sender's between
// them. It does not wait longer than sendTimeout for a peer that does not read.
func (c *Channel) Send(messages ...Message) error {
	c.send.Lock()
	defer c.send.Unlock()
	for _, m := range messages {
		b, err := Encode(m)
		if err != nil {
			return err
		}
		if err := c.conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
			return fmt.Errorf("send message: %w", err)
		}
		var rights []byte
		if m.Peer != nil {
			rights = syscall.UnixRights(m.Peer.FD)
		}
		if _, _, err := c.conn.WriteMsgUnix(b, rights, nil); err != nil {
			return fmt.Errorf("send message: %w", err)
		}
	}
	return nil
}

const sendTimeout = time.Second

// Receive waits for the next message. io.EOF: the peer is gone. A datagram
// that cannot be read is passed over: one bad message must not end a channel.
// So is a Peer without its descriptor, which the kernel drops where there is no
// room for it; a descriptor that comes with anything else is closed.
func (c *Channel) Receive() (Message, error) {
	for {
		n, oobn, _, _, err := c.conn.ReadMsgUnix(c.buf, c.oob)
		if errors.Is(err, syscall.ECONNRESET) {
			// A peer that ended with messages of ours unread: reported once,
			// and ahead of its last words, which are still to be read.
			continue
		}
		if errors.Is(err, io.EOF) {
			return Message{}, io.EOF
		}
		if err != nil {
			return Message{}, err
		}
		fds := descriptors(c.oob[:oobn])
		m, err := Decode(c.buf[:n])
		if err == nil && m.Peer != nil && len(fds) == 1 {
			m.Peer.FD = fds[0]
			return m, nil
		}
		for _, fd := range fds {
			_ = syscall.Close(fd)
		}
		if err == nil && m.Peer == nil {
			return m, nil
		}
	}
}

// descriptors returns those that came beside a message, which are close-on-exec:
// net asks the kernel for that.
func descriptors(oob []byte) []int {
	var all []int
	if len(oob) == 0 {
		return nil
	}
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for _, m := range messages {
		if fds, err := syscall.ParseUnixRights(&m); err == nil {
			all = append(all, fds...)
		}
	}
	return all
}

// SyscallConn gives access to the descriptor, as syscall.Conn.
func (c *Channel) SyscallConn() (syscall.RawConn, error) { return c.conn.SyscallConn() }

// Interrupt makes Receive return an error that is os.ErrDeadlineExceeded, now
// and from now on. What has been sent and not received stays where it is.
func (c *Channel) Interrupt() error { return c.conn.SetReadDeadline(time.Unix(1, 0)) }

// Resume undoes Interrupt.
func (c *Channel) Resume() error { return c.conn.SetReadDeadline(time.Time{}) }

// CloseRead ends Receive, with io.EOF, after what has already been sent.
func (c *Channel) CloseRead() error { return c.conn.CloseRead() }

// Close closes this end; a Receive that waits returns an error.
func (c *Channel) Close() error { return c.conn.Close() }
