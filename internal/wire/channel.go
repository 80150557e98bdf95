package wire

import (
	"errors"
	"fmt"
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
	return &Channel{conn: u, buf: make([]byte, MaxMessage+1)}, nil
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
		if _, err := c.conn.Write(b); err != nil {
			return fmt.Errorf("send message: %w", err)
		}
	}
	return nil
}

const sendTimeout = time.Second

// Receive waits for the next message. io.EOF: the peer is gone. A datagram
// that cannot be read is passed over: one bad message must not end a channel.
func (c *Channel) Receive() (Message, error) {
	for {
		n, err := c.conn.Read(c.buf)
		if errors.Is(err, syscall.ECONNRESET) {
			// A peer that ended with messages of ours unread: reported once,
			// and ahead of its last words, which are still to be read.
			continue
		}
		if err != nil {
			return Message{}, err
		}
		m, err := Decode(c.buf[:n])
		if err != nil {
			continue
		}
		return m, nil
	}
}

// SyscallConn gives access to the descriptor, for handing it to another
// process; its flags are shared with the peer's other holders.
func (c *Channel) SyscallConn() (syscall.RawConn, error) { return c.conn.SyscallConn() }

// CloseRead ends Receive, with io.EOF, after what has already been sent.
func (c *Channel) CloseRead() error { return c.conn.CloseRead() }

// Close closes this end; a Receive that waits returns an error.
func (c *Channel) Close() error { return c.conn.Close() }
