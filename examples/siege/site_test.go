package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// start serves a site in slot 2.
func start(t *testing.T, way string) (url, dir string, db *redis.Client) {
	t.Helper()
	dir, db = t.TempDir(), store(t)
	s := &site{slot: 2, data: dir, locks: newLocks(db, "web.2", 2, os.Getpid())}
	handler, err := s.routes(way)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL, dir, db
}

func request(t *testing.T, ctx context.Context, method, url string) (int, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

func TestAnswers(t *testing.T) {
	url, dir, db := start(t, wayClass)
	if err := newLocks(db, "web.1", 1, 1).acquire(t.Context(), "taken"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, path string
		code         int
		body         string
	}{
		{"GET", "/", 200, fmt.Sprintf("2 %d\n", os.Getpid())},
		{"POST", "/work/a?steps=2&step=0.001", 200, "done a by 2\n"},
		{"POST", "/work/taken?steps=1&step=0", 400, "stream is busy\n"},
		{"POST", "/work/a?steps=x", 400, "steps is a number, not \"x\"\n"},
		{"POST", "/work/a?step=NaN", 400, "step is a number of seconds, not \"NaN\"\n"},
		{"POST", "/work/%2e%2e", 400, "a name is letters, digits and _, not \"..\"\n"},
		{"POST", "/work/a%2fb", 400, "a name is letters, digits and _, not \"a/b\"\n"},
		{"GET", "/work/a", 405, "Method Not Allowed\n"},
		{"GET", "/big?chunks=2", 200, strings.Repeat("z", 2*16384)},
		{"GET", "/nowhere", 404, "404 page not found\n"},
	} {
		code, body, err := request(t, t.Context(), c.method, url+c.path)
		if err != nil || code != c.code || body != c.body {
			t.Errorf("%s %s: %d %.80q %v, want %d %.80q", c.method, c.path, code, body, err, c.code, c.body)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "a" {
		t.Errorf("the data folder has %v (%v), want a alone", entries, err)
	}
}

// Whichever way protects it, a job that was taken is done when its client has
// left, and gives its lock back.
func TestEachWayFinishesTheJob(t *testing.T) {
	for _, way := range []string{wayClass, waySection, wayGate} {
		t.Run(way, func(t *testing.T) {
			url, dir, db := start(t, way)
			if code, body, err := request(t, t.Context(), "POST", url+"/work/a?steps=2&step=0.001"); code != 200 || body != "done a by 2\n" {
				t.Errorf("with the client: %d %q %v", code, body, err)
			}
			ctx, leave := context.WithCancel(t.Context())
			left := make(chan error, 1)
			go func() {
				_, _, err := request(t, ctx, "POST", url+"/work/b?steps=3&step=0.03")
				left <- err
			}()
			eventually(t, "the job begins", func() bool {
				_, err := os.Stat(filepath.Join(dir, "b.part"))
				return err == nil
			})
			leave()
			if err := <-left; err == nil {
				t.Error("the job was done before the client could leave")
			}
			eventually(t, "its lock is given back", func() bool { return len(members(t, db, keyLocks)) == 0 })
			if a, b := parts(t, dir, "a"), parts(t, dir, "b"); a != 2 || b != 3 {
				t.Errorf("%d and %d parts, want 2 and 3", a, b)
			}
		})
	}
}

func TestStuckKeepsItsLock(t *testing.T) {
	url, _, db := start(t, wayClass)
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, _, err := request(t, ctx, "POST", url+"/stuck/s")
		left <- err
	}()
	eventually(t, "the lock is taken", func() bool { return len(members(t, db, keyLocks)) == 1 })
	leave()
	if err := <-left; err == nil {
		t.Error("stuck answers")
	}
	if code, body, err := request(t, t.Context(), "POST", url+"/work/s"); code != 400 {
		t.Errorf("a job of the same name: %d %q %v, want 400", code, body, err)
	}
}

func TestUnknownWay(t *testing.T) {
	if _, err := (&site{}).routes("luck"); err == nil {
		t.Error("routes accepts an unknown way")
	}
}
