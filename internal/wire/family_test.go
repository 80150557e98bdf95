package wire

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEncodeFor(t *testing.T) {
	e := Env{Program: "web", Slot: 2, Generation: 7, Listeners: []Listener{
		{"web", "tcp", "[::]:80"}, {"v4", "tcp4", "0.0.0.0:81"}, {"local", "tcp", "127.0.0.1:82"},
		{"six", "tcp6", "[::1]:83"}, {"path", "unix", "/run/a:b.sock"}, {"abstract", "unix", "@x"},
	}}
	for f, want := range map[Family][]string{
		Einhorn: {
			"EINHORN_MASTER_PID=99", "EINHORN_CHILD_INDEX=2", "EINHORN_FD_COUNT=6",
			"EINHORN_FD_0=3", "EINHORN_FD_1=4", "EINHORN_FD_2=5", "EINHORN_FD_3=6", "EINHORN_FD_4=7", "EINHORN_FD_5=8",
		},
		ServerStarter: {
			"SERVER_STARTER_PORT=80=3;81=4;127.0.0.1:82=5;[::1]:83=6;/run/a:b.sock=7;@x=8", "SERVER_STARTER_GENERATION=7",
		},
	} {
		if diff := cmp.Diff(want, e.EncodeFor(f, 99)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", f, diff)
		}
		if got := (Env{}).EncodeFor(f, 99); len(got) > 0 {
			t.Errorf("%s without sockets: %q", f, got)
		}
	}
	if len(Families()) != 2 {
		t.Error("there are others")
	}
}
