package supervisor

import (
	"slices"
	"testing"
)

// A worker inherits what people configure servers by, and nothing that was said
// to the supervisor alone.
func TestInheritedEnvironment(t *testing.T) {
	for _, name := range []string{"LISTEN_ADDR", "WATCHDOG_DIR"} {
		t.Setenv(name, "x")
		if !slices.Contains(inherited(), name+"=x") {
			t.Errorf("%s is not inherited", name)
		}
	}
	for _, name := range []string{
		"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID", "WATCHDOG_USEC", "WATCHDOG_PID", "NOTIFY_SOCKET",
		"LASTCALL_SOCKET", "EINHORN_SOCK_FD", "SERVER_STARTER_PORT",
	} {
		t.Setenv(name, "x")
		if slices.Contains(inherited(), name+"=x") {
			t.Errorf("%s is inherited", name)
		}
	}
}
