package load

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// Conn sends requests, one at a time, over one connection as long as that
// lasts, or over a new one each. It is no http.Client, since that sends some
// requests twice. For one goroutine.
type Conn struct {
	Addr    string
	Keep    bool          // keep the connection open after an answer
	Timeout time.Duration // of one request, dialling included
	Dialled int           // connections opened so far

	conn net.Conn
	in   *bufio.Reader
}

// The two ends a connection can come to before an answer is whole.
var (
	errUnanswered = errors.New("closed without an answer")
	errTorn       = errors.New("closed in the middle of an answer")
)

// A StatusError is an answer that is not 200.
type StatusError struct {
	Code int
	Body string
}

func (e *StatusError) Error() string { return fmt.Sprintf("status %d", e.Code) }

// Do sends one request without a body and returns the body of the answer. It
// returns a *StatusError for an answer that is not 200, any other error if
// there was no whole answer; then the connection is closed.
func (c *Conn) Do(method, path string) (string, error) {
	if c.conn == nil {
		conn, err := net.DialTimeout("tcp", c.Addr, c.Timeout)
		if err != nil {
			return "", err
		}
		c.conn, c.in = conn, bufio.NewReader(conn)
		c.Dialled++
	}
	body, more, err := c.exchange(method, path)
	if !more {
		c.Close()
	}
	return body, err
}

// Close closes the connection, if there is one.
func (c *Conn) Close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// exchange sends a request and reads its answer; more: the connection can
// carry another.
func (c *Conn) exchange(method, path string) (body string, more bool, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(c.Timeout)); err != nil {
		return "", false, err
	}
	header := ""
	if !c.Keep {
		header = "Connection: close\r\n"
	}
	_, err = fmt.Fprintf(c.conn, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n%s\r\n", method, path, c.Addr, header)
	if err != nil {
		return "", false, err
	}
	if _, err := c.in.Peek(1); errors.Is(err, io.EOF) {
		return "", false, errUnanswered
	} else if err != nil {
		return "", false, err
	}
	resp, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		return "", false, torn(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", false, torn(err)
	}
	if resp.StatusCode != http.StatusOK {
		err = &StatusError{Code: resp.StatusCode, Body: string(b)}
	}
	return string(b), c.Keep && !resp.Close, err
}

func torn(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return errTorn
	}
	return err
}

// reason sorts an error of Do into a few kinds, for counting.
func reason(err error) string {
	var status *StatusError
	switch {
	case errors.As(err, &status):
		return status.Error()
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return "hung"
	case errors.Is(err, errUnanswered), errors.Is(err, errTorn):
		return err.Error()
	}
	return "other: " + err.Error()
}
