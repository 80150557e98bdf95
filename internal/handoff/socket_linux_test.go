package handoff

import (
	"bytes"
	"io"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Marks tell reading and writing from everything that the client may do.
func TestMarks(t *testing.T) {
	client, server := connect(t)
	fd := descriptor(t, server)
	defer syscall.Close(fd)
	must(t, server.SetDeadline(time.Now().Add(limit)))
	arrived := func(n int) {
		until(t, "arrival", func() bool { in, _, err := queued(fd); return err == nil && in == n })
	}
	before := readMarks(fd)
	check := func(what string, want bool) {
		t.Helper()
		now := readMarks(fd)
		if same(before, now) != want {
			t.Errorf("%s: %+v, then %+v", what, before, now)
		}
		before = now
	}
	_, err := client.Write(bytes.Repeat([]byte("x"), 1000))
	must(t, err)
	arrived(1000)
	check("bytes arrive", true)
	_, err = io.ReadFull(server, make([]byte, 1))
	must(t, err)
	check("a byte is read", false)
	_, err = server.Write([]byte("y"))
	must(t, err)
	check("a byte is written", false)
	_, err = io.ReadFull(client, make([]byte, 1))
	must(t, err)
	until(t, "acknowledged", func() bool { _, out, err := queued(fd); return err == nil && out == 0 })
	check("it is acknowledged", true)
	must(t, client.CloseWrite())
	until(t, "the FIN", func() bool {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		return err == nil && finished(info.State)
	})
	check("the client has ended, with bytes unread", true)
	_, err = io.ReadFull(server, make([]byte, 999))
	must(t, err)
	check("they are read", false)
	if n, err := server.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatal(n, err)
	}
	check("the end is read", true)
	must(t, server.CloseWrite())
	check("the server ends", false)
}
