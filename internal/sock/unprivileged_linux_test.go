package sock

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestQuiesceWithoutPrivilege turns newcomers away on behalf of an ordinary user.
// Since 2026 the kernel, and its stable versions, want CAP_NET_ADMIN for a
// filter on a TCP socket; for the program of a SO_REUSEPORT group they do not.
func TestQuiesceWithoutPrivilege(t *testing.T) {
	l := listen(t, "127.0.0.1:0", Options{})
	quiesced := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with what it has lost
		head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&head, &none[0]); err != nil {
			quiesced <- err
			return
		}
		quiesced <- l.Quiesce()
	}()
	if err := <-quiesced; err != nil {
		t.Error(err)
	}
}
