package house

import (
	"go/token"
	"slices"
	"strings"
	"testing"
)

// A planted source, the rule it goes before, and a part of what the rule must
// find in it; "" if it must find nothing.
type planted struct {
	rule, path, src, want string
}

func sources() []planted {
	long := "package p\n" + strings.Repeat("\n", maxFile)
	function := func(lines int) string {
		return "package p\nfunc f() {\n" + strings.Repeat("\n", lines-2) + "}\n"
	}
	return slices.Concat([]planted{
		{"imports", "internal/wire/a.go", `package wire; import "` + module + `/internal/sock"`, "internal/wire may not import internal/sock"},
		{"imports", "internal/pool/a.go", `package pool; import "` + module + `"`, "internal/pool may not import ."},
		{"imports", "internal/util/a.go", `package util`, "a room the import table does not know"},
		{"imports", "examples/siege/a.go", `package main; import "` + module + `/internal/wire"`, "examples/siege may not import internal/wire"},
		{"imports", "compat/apps/gin/a.go", `package main; import "` + module + `/internal/wire"`, "compat/apps/gin may not import internal/wire"},
		{"imports", "examples/siege/a.go", `package main; import "` + module + `"; import "` + module + `/examples/siege/load"`, ""},
		{"imports", "internal/config/a.go", `package config; import "` + module + `/internal/supervisor"; import "os"`, ""},
		{"imports", "internal/wire/a_test.go", `package wire; import "` + module + `/internal/sock"`, ""},

		{"file length", "a.go", long, "501 lines"},
		{"file length", "a_test.go", long, "501 lines"},
		{"file length", "a.go", strings.TrimSuffix(long, "\n"), ""},
		{"function length", "a.go", function(maxFunction + 1), "f has 71 lines"},
		{"function length", "a.go", function(maxFunction), ""},

		{"package docs", "a/a.go", "package p", "a: no file"},
		{"package docs", "a/a.go", "// about p\npackage p", "a: no file"},
		{"package docs", "a/a.go", "// Package p is p.\npackage p", ""},
		{"package docs", "cmd/x/a.go", "// Command x is x.\npackage main", ""},

		{"sleep in tests", "a_test.go", `package p; import "time"; func f() { time.Sleep(1) }`, "time.Sleep"},
		{"sleep in tests", "a_test.go", `package p; import clock "time"; func f() { clock.Sleep(1) }`, "clock.Sleep"},
		{"sleep in tests", "a_test.go", `package p; import . "time"`, "dot import"},
		{"sleep in tests", "a.go", `package p; import "time"; func f() { time.Sleep(1) }`, ""},

		{"exit", "internal/wire/a.go", `package wire; import "os"; func f() { os.Exit(1) }`, "os.Exit ends the process"},
		{"exit", "cmd/lastcall/run.go", `package main; import "log"; func f() { log.Fatalf("") }`, "log.Fatalf ends the process"},
		{"exit", "cmd/lastcall/main.go", `package main; import "os"; func main() { os.Exit(1) }`, ""},
		{"exit", "a_test.go", `package p; import "os"; func f() { os.Exit(1) }`, ""},

		{"package variables", "a.go", `package p; var table = map[string]int{}`, "variable table"},
		{"package variables", "a.go", `package p; var ErrOr = 1`, "variable ErrOr"},
		{"package variables", "a.go", `package p; var _ = keep(1)`, "variable _"},
		{"package variables", "a.go", `package p; var errors = New()`, "variable errors"},
		{"package variables", "a.go", "package p\nimport \"errors\"\nvar ErrX, errY = errors.New(``), errors.New(``)\nvar ErrZ error = x{}\nvar _ I = x{}\n", ""},
		{"package variables", "a.go", "package p\nimport _ \"embed\"\n//go:embed a.toml\nvar a string\n", ""},
	}, coreSources(), docSources())
}

func coreSources() []planted {
	return []planted{
		{"purity", "internal/pool/a.go", `package pool; import "os"`, "may not import os"},
		{"purity", "internal/pool/a.go", `package pool; import "math/rand/v2"`, "may not import math/rand/v2"},
		{"purity", "internal/pool/a.go", `package pool; import "time"; func f() { f(time.Now()) }`, "time.Now"},
		{"purity", "internal/pool/a.go", `package pool; import "time"; type s struct { now func() time.Time }; func f() s { return s{time.Now} }`, "time.Now"},
		{"purity", "internal/pool/a.go", `package pool; import "fmt"; func f() { fmt.Println() }`, "fmt.Println"},
		{"purity", "internal/pool/a.go", `package pool; func f() { go f() }`, "no goroutine"},
		{"purity", "internal/pool/a.go", `package pool; type s struct { c chan int }`, "no channel"},
		{"purity", "internal/pool/a.go", `package pool; import ("fmt"; "time"); func f(t time.Time) string { return fmt.Sprint(t.Add(1)) }`, ""},
		{"purity", "internal/pool/a_test.go", `package pool; import "os"`, ""},
		{"purity", "internal/wire/a.go", `package wire; import "os"`, ""},

		{"maps in the core", "internal/pool/a.go", `package pool; import "time"; type s struct { m map[int]time.Time }; func f(x s) { for range x.m {} }`, "no order"},
		{"maps in the core", "internal/pool/a.go", `package pool; type set map[int]bool; func f(x *set) { for k := range *x { _ = k } }`, "no order"},
		{"maps in the core", "internal/pool/a.go", `package pool; func f(x []int, m map[int]int) { for _, k := range x { _ = m[k] } }`, ""},
	}
}

func docSources() []planted {
	return []planted{
		{"doc comments", "a.go", "package p\nfunc F() {}", "F is exported"},
		{"doc comments", "a.go", "package p\ntype T struct{}", "T is exported"},
		{"doc comments", "a.go", "package p\n// Some types.\ntype (\nT struct{}\n)", "T is exported"},
		{"doc comments", "a.go", "package p\nconst C = 1", "C is exported"},
		{"doc comments", "a.go", "package p\n// T is.\ntype T struct{}\nfunc (t *T) M() {}", "M is exported"},
		{"doc comments", "a.go", "package p\n// T is.\ntype T[A any] struct{}\nfunc (T[A]) M() {}", "M is exported"},
		{"doc comments", "a.go", "package p\n// T is.\ntype T struct{ F int }\nfunc (T) Error() string { return `` }\nfunc (T) m() {}", ""},
		{"doc comments", "a.go", "package p\n// The two.\nconst (\nA = 1\nB = 2\n)\ntype t int\nfunc (t) M() {}\nfunc f() {}", ""},
		{"doc comments", "a_test.go", "package p\nfunc TestF() {}", ""},
	}
}

// TestRulesCanFail plants each fault and wants it found, and wants the like
// that is no fault passed over. Every rule must be among them.
func TestRulesCanFail(t *testing.T) {
	failed := map[string]bool{}
	for _, p := range sources() {
		i := slices.IndexFunc(rules(), func(r rule) bool { return r.name == p.rule })
		if i < 0 {
			t.Fatalf("no rule is named %q", p.rule)
		}
		f, err := parse(token.NewFileSet(), p.path, []byte(p.src))
		if err != nil {
			t.Fatal(err)
		}
		found := strings.Join(rules()[i].check([]file{f}), "\n")
		switch {
		case p.want == "" && found != "":
			t.Errorf("%s: finds fault with %q:\n%s", p.rule, p.src, found)
		case !strings.Contains(found, p.want):
			t.Errorf("%s: finds %q in %q, want %q", p.rule, found, p.src, p.want)
		case p.want != "":
			failed[p.rule] = true
		}
	}
	for _, r := range rules() {
		if !failed[r.name] {
			t.Errorf("rule %q was not shown to fail", r.name)
		}
	}
	if got := foreign([]string{module, module + "/internal/wire", "golang.org/x/sys/unix"}); got != nil {
		t.Errorf("foreign finds %q among what is allowed", got)
	}
	for _, p := range []string{"golang.org/x/net/bpf", "github.com/lastcall/other", "golang.org/x/system"} {
		if foreign([]string{p}) == nil {
			t.Errorf("foreign lets %s pass", p)
		}
	}
}
