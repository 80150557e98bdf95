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
	raw  syscall.RawConn
	// beside has room for the one descriptor that any message has; the kernel
	// closes what does not fit.
	beside []byte
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
	raw, err := u.SyscallConn()
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("open channel: %w", err)
	}
	return &Channel{conn: u, raw: raw, beside: make([]byte, syscall.CmsgSpace(4))}, nil
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
		var beside []byte
		if m.Peer != nil {
			beside = syscall.UnixRights(m.Peer.FD)
		}
		if _, _, err := c.conn.WriteMsgUnix(b, beside, nil); err != nil {
			return fmt.Errorf("send message: %w", err)
		}
	}
	return nil
}

const sendTimeout = time.Second

// Receive waits for the next message. io.EOF: the peer is gone. A datagram
// that cannot be read is passed over: one bad message must not end a channel.
// So is a Peer without its descriptor, which happens when this process can
// have no more of them. A descriptor that comes with anything else is closed.
func (c *Channel) Receive() (Message, error) {
	for {
		text, beside, flags, err := ReadDatagram(c.raw.Read, MaxMessage+1, c.beside)
		if errors.Is(err, syscall.ECONNRESET) {
			// A peer that ended with messages of ours unread: reported once,
			// and ahead of its last words, which are still to be read.
			continue
		}
		if err == nil && len(text) == 0 {
			err = io.EOF
		}
		if err != nil {
			return Message{}, err
		}
		fds := descriptors(beside)
		m, err := Decode(text)
		if err == nil && m.Peer != nil && len(fds) == 1 && flags&syscall.MSG_CTRUNC == 0 {
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

// descriptors returns those that came beside a message.
func descriptors(beside []byte) []int {
	var all []int
	list, err := syscall.ParseSocketControlMessage(beside)
	if err != nil {
		return nil
	}
	for i := range list {
		if fds, err := syscall.ParseUnixRights(&list[i]); err == nil {
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
