package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asExample makes the test binary, and its workers, the example.
const asExample = "PREFORK_EXAMPLE"

func TestMain(m *testing.M) {
	if os.Getenv(asExample) != "" {
		main()
	}
	os.Exit(m.Run())
}

// TestExample serves from both workers and ends well.
func TestExample(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-workers", "2", "-listen", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), asExample+"=1", "GORACE=atexit_sleep_ms=0")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() }).Stop()
	addr := ""
	log := bufio.NewScanner(stderr)
	for log.Scan() && !strings.HasSuffix(log.Text(), "INFO ready") {
		if m := regexp.MustCompile(`address=(\S+)`).FindStringSubmatch(log.Text()); m != nil {
			addr = m[1]
		}
	}
	seen := map[string]bool{}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	for i := 0; i < 1000 && len(seen) < 2; i++ {
		r, err := client.Get("http://" + addr)
		if err != nil {
			t.Fatal(err)
		}
		var worker string
		if _, err := fmt.Fscanf(r.Body, "hello from worker %s pid", &worker); err != nil {
			t.Errorf("response: %v", err)
		}
		r.Body.Close()
		seen[worker] = true
	}
	if !seen["0"] || !seen["1"] {
		t.Errorf("answered by workers %v", seen)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(stderr) // until the last process has closed it
	if err := cmd.Wait(); err != nil {
		t.Errorf("the parent: %v\n%s", err, rest)
	}
}
