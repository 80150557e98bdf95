package house

import (
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestRequirements keeps docs/requirements.md true: every requirement is on
// the page, and every test it names exists.
func TestRequirements(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "requirements.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := make(map[string]bool)
	for _, f := range repository(t, filepath.Join("..", "..")) {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				tests[fn.Name.Name] = true
			}
		}
	}
	for _, fault := range untrue(string(page), tests) {
		t.Error(fault)
	}
	if len(untrue("| R1 | x | TestNothing |", tests)) == 0 {
		t.Error("the check cannot fail")
	}
}

// untrue returns what is missing from the page, or on it and not in the tests.
func untrue(page string, tests map[string]bool) []string {
	var out []string
	for _, kind := range []struct {
		letter string
		last   int
	}{{"R", 65}, {"S", 16}, {"B", 18}} {
		for i := 1; i <= kind.last; i++ {
			if row := fmt.Sprintf("| %s%d |", kind.letter, i); !strings.Contains(page, row) {
				out = append(out, "docs/requirements.md has no row "+row)
			}
		}
	}
	for _, name := range regexp.MustCompile(`\bTest[A-Z0-9]\w*`).FindAllString(page, -1) {
		if !tests[name] {
			out = append(out, "docs/requirements.md names "+name+", which does not exist")
		}
	}
	return out
}
