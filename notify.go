package lastcall

import (
	"net"
	"time"
)

// notify tells the service manager something, by sd_notify(3), where there is
// one and no supervisor of ours, which learns more by the channel.
func (r *run) notify(state string) {
	if r.in.notify == "" || r.link != nil {
		return
	}
	if err := sendNotify(r.in.notify, state); err != nil {
		r.log.Warn("cannot tell the service manager", "state", state, "error", err)
	}
}

// sendNotify does not wait for a manager that does not read: its queue is short
// (net.unix.max_dgram_qlen) and nobody's work may depend on it.
func sendNotify(addr, state string) error {
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: addr, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer c.Close()
	const patience = 100 * time.Millisecond
	if err := c.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err = c.Write([]byte(state))
	return err
}

// beginWatchdog pings for as long as Serve runs.
func (r *run) beginWatchdog() {
	if r.in.notify == "" || r.in.watchdog <= 0 {
		return
	}
	go func() {
		t := time.NewTicker(r.in.watchdog)
		defer t.Stop()
		for {
			select {
			case <-r.stop:
				return
			case <-t.C:
				// A ping that is lost is followed by another in time.
				_ = sendNotify(r.in.notify, "WATCHDOG=1")
			}
		}
	}()
}
