package house

import (
	"fmt"
	"go/ast"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestRequirements keeps docs/requirements.md whole: every requirement is on the
// page.
func TestRequirements(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "requirements.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range missingRows(string(page)) {
		t.Error(fault)
	}
	cut := strings.Replace(string(page), "| R19 |", "| R |", 1)
	if got := missingRows(cut); len(got) != 1 {
		t.Errorf("of a page without R19 it finds %q", got)
	}
}

// TestNamedTestsExist has every test that a page names be one that is run: in
// docs/requirements.md they are the proof of what it says.
func TestNamedTestsExist(t *testing.T) {
	root := filepath.Join("..", "..")
	tests := testNames(repository(t, root))
	pages := 0
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && p != root) {
			return filepath.SkipDir
		}
		if filepath.Ext(p) != ".md" {
			return nil
		}
		page, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		pages++
		for _, name := range unknownTests(string(page), tests) {
			t.Errorf("%s names %s, which does not exist", p, name)
		}
		return nil
	})
	if err != nil || pages < 5 {
		t.Errorf("read %d pages, %v", pages, err)
	}

	f, err := parse(token.NewFileSet(), "a_test.go", []byte("package p\nfunc TestF() {}\nfunc BenchmarkF() {}\ntype T int\nfunc (T) TestMethod() {}\n"))
	if err != nil {
		t.Fatal(err)
	}
	other := f
	other.path = "a.go"
	const page = "TestF, BenchmarkF, BenchmarkF..., TestMethod, FuzzF, TestG...; Testing is no name, nor is LatestF"
	if got := fmt.Sprint(unknownTests(page, testNames([]file{f}))); got != "[TestMethod FuzzF TestG...]" {
		t.Errorf("it finds %s unknown", got)
	}
	if got := unknownTests(page, testNames([]file{other})); len(got) != 6 {
		t.Errorf("where there is no test file it finds %q unknown", got)
	}
}

// testNames returns the names of the functions in test files.
func testNames(files []file) map[string]bool {
	names := make(map[string]bool)
	for _, f := range files {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && f.isTest() {
				names[fn.Name.Name] = true
			}
		}
	}
	return names
}

// unknownTests returns what a page names that is not among the tests. "TestNode..."
// is all that begin so.
func unknownTests(page string, tests map[string]bool) []string {
	var out []string
	for _, name := range regexp.MustCompile(`\b(Test|Benchmark|Fuzz)[A-Z0-9]\w*(\.\.\.)?`).FindAllString(page, -1) {
		known := tests[name]
		if prefix, several := strings.CutSuffix(name, "..."); several {
			for test := range tests {
				known = known || strings.HasPrefix(test, prefix)
			}
		}
		if !known {
			out = append(out, name)
		}
	}
	return out
}

// missingRows returns what is missing from docs/requirements.md.
func missingRows(page string) []string {
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
	return out
}
