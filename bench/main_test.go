package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// rudeRole makes the test binary a server that SIGTERM ends at once.
const rudeRole = "rude"

// TestMain has the test binary play the servers that are measured.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case serveRole:
			if run(os.Args[1:]) != nil {
				os.Exit(1)
			}
			return
		case rudeRole:
			_ = http.ListenAndServe(os.Args[2], http.HandlerFunc(answer))
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// bareLab is a lab without the command, which takes a while to build.
func bareLab(t *testing.T) *lab {
	t.Helper()
	server, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &lab{dir: t.TempDir(), server: server}
}

// TestFigures takes each figure once, as small as it can be.
func TestFigures(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	l, err := newLab(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	p := plan{runs: 1, pairs: 1, load: time.Second, rolls: 1, turns: 1, turn: 100 * time.Millisecond, long: longPoints}
	rows := map[string]int{
		"stop": 3, "idle": 4, "rate": 2, "roll": 6, "h2": 2, "h2load": 2, "herd": 1, "stock": 6, "long": longPoints + 1,
		"respawn": 1, "footprint": 2, "crowd": 3, "balance": 2,
	}
	if _, ok := l.gunicorn(2); ok {
		rows["stop"]++
	}
	if !have("wrk") {
		rows["rate"], rows["balance"] = 0, 0
	}
	if !have("h2load") {
		rows["h2load"] = 0
	}
	for _, kind := range l.pressures() {
		if kind.needs != "" && !have(kind.needs) {
			rows["roll"]--
			rows["stock"]--
		}
	}
	for _, f := range figures() {
		t.Run(f.name, func(t *testing.T) {
			table, err := f.take(ctx, l, p)
			if err != nil {
				t.Fatal(err)
			}
			if len(table.rows) != rows[f.name] {
				t.Errorf("%d rows, want %d:\n%s", len(table.rows), rows[f.name], table)
			}
			for _, row := range table.rows {
				if len(row) != len(table.head) {
					t.Errorf("row %q has not the cells of the head %q", row, table.head)
				}
			}
		})
	}
	if left := family(os.Getpid()); len(left) != 1 {
		t.Errorf("left behind: processes %v", left[1:])
	}
}

// TestStopThatLosesIsNoFigure measures a server that a stop has lose what is in
// progress: that it is quick must not count.
func TestStopThatLosesIsNoFigure(t *testing.T) {
	l := bareLab(t)
	rude := subject{"rude", func(ctx context.Context, _ ...string) (*tree, error) {
		addr, err := freeAddr()
		if err != nil {
			return nil, err
		}
		return l.start(ctx, 1, nil, []string{l.server, rudeRole, addr}, addr, answers(addr))
	}}
	d, err := trial{rude, afterResponse}.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "the request in progress was lost") {
		t.Errorf("measured %v, error %v; want an error that says what was lost", d, err)
	}
}

// TestStartThatFailsSaysWhy starts a server that ends.
func TestStartThatFailsSaysWhy(t *testing.T) {
	l := bareLab(t)
	never := func(context.Context) bool { return false }
	_, err := l.start(t.Context(), 1, nil, []string{"sh", "-c", "echo no such luck; exit 1"}, "", never)
	if err == nil || !strings.Contains(err.Error(), "no such luck") {
		t.Errorf("error %v; want one with its last words", err)
	}
}

// TestStartGivenUpLeavesNothing ends the patience with a server, and a child of
// it, that never comes up.
func TestStartGivenUpLeavesNothing(t *testing.T) {
	l := bareLab(t)
	ctx, cancel := context.WithCancel(t.Context())
	never := func(context.Context) bool { cancel(); return false }
	_, err := l.start(ctx, 2, nil, []string{"sh", "-c", "sleep 600 & wait"}, "", never)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	if left := family(os.Getpid()); len(left) != 1 {
		t.Errorf("left behind: processes %v", left[1:])
	}
}

func TestParsePlan(t *testing.T) {
	p, err := parsePlan([]string{"-runs", "3", "-only", "stop,roll", "-write"})
	if err != nil || p.runs != 3 || !p.write || !slices.Equal(p.only, []string{"stop", "roll"}) {
		t.Errorf("parsePlan: %+v, %v", p, err)
	}
	for _, args := range [][]string{
		{"-runs", "0"}, {"-pairs", "-1"}, {"-rolls", "0"}, {"-turns", "0"}, {"-turn", "0"}, {"-long", "3"}, {"-load", "1500ms"}, {"-load", "0"},
		{"-only", "stop,bogus"}, {"stop"},
	} {
		if p, err := parsePlan(args); err == nil {
			t.Errorf("parsePlan(%q) is %+v, want an error", args, p)
		}
	}
}
