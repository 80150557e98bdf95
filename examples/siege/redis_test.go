package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// The helper must be the one process it was started as, answer, and end with
// 0 by either way, whether redis-server is installed or not.
func TestRedisHelper(t *testing.T) {
	stop := func(t *testing.T, _ *exec.Cmd, port int) {
		if err := run([]string{"redis-stop", "--port", strconv.Itoa(port)}); err != nil {
			t.Error(err)
		}
	}
	term := func(t *testing.T, cmd *exec.Cmd, _ int) {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
	}
	for name, end := range map[string]func(*testing.T, *exec.Cmd, int){"redis-stop": stop, "TERM": term} {
		t.Run("builtin/"+name, func(t *testing.T) { testRedisHelper(t, end, false) })
		t.Run("redis-server/"+name, func(t *testing.T) {
			if _, err := exec.LookPath("redis-server"); err != nil {
				t.Skip("redis-server is not installed; scripts/setup installs it")
			}
			testRedisHelper(t, end, true)
		})
	}
}

func testRedisHelper(t *testing.T, end func(*testing.T, *exec.Cmd, int), real bool) {
	port := freePort(t)
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "redis", "--port", strconv.Itoa(port))
	cmd.Env = append(os.Environ(), "SIEGE_TEST_AS_COMMAND=1", "GORACE=atexit_sleep_ms=0")
	if !real {
		cmd.Args = append(cmd.Args, "--builtin")
	}
	cmd.Dir, cmd.Stdout, cmd.Stderr = t.TempDir(), &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	db := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", port)})
	defer db.Close()
	eventually(t, "redis answers", func() bool { return db.Ping(t.Context()).Err() == nil })
	if err := db.ZAdd(t.Context(), "locks", redis.Z{Member: "a"}).Err(); err != nil {
		t.Error(err)
	}
	if info := db.Info(t.Context(), "server").Val(); real && !strings.Contains(info, fmt.Sprintf("process_id:%d\r", cmd.Process.Pid)) {
		t.Errorf("the pid %d is not redis-server's: %s", cmd.Process.Pid, info)
	}
	end(t, cmd, port)
	err := cmd.Wait()
	if err != nil {
		t.Errorf("redis ended with %v: %s", err, &out)
	}
	if want := fmt.Sprintf("REDIS %d\n", cmd.Process.Pid); !strings.HasPrefix(out.String(), want) {
		t.Errorf("redis said %q, want first %q", &out, want)
	}
}

func TestRedisStopWithoutRedis(t *testing.T) {
	if err := run([]string{"redis-stop", "--port", strconv.Itoa(freePort(t))}); err == nil {
		t.Error("redis-stop says it has stopped what is not there")
	}
}
