// Package house holds the rules of this project's code as tests, so that
// nobody has to remember them: who may import whom, what the core may not
// touch, how long things may grow, what must be documented. Each rule is shown
// in selftest_test.go to be able to fail.
package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module is the path all of our imports begin with.
const module = "github.com/lastcall/lastcall"

// A file is one parsed Go file of the repository.
type file struct {
	path  string // slash-separated, from the root of the repository
	fset  *token.FileSet
	ast   *ast.File
	lines int
}

func (f file) dir() string     { return path.Dir(f.path) }
func (f file) isTest() bool    { return strings.HasSuffix(f.path, "_test.go") }
func (f file) isCommand() bool { return f.ast.Name.Name == "main" }

// at says where a node stands, for people and editors.
func (f file) at(n ast.Node) string {
	return f.fset.Position(n.Pos()).String()
}

// parse makes a file of a source; the self-tests call it with planted faults.
func parse(fset *token.FileSet, name string, src []byte) (file, error) {
	a, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return file{}, err
	}
	return file{path: name, fset: fset, ast: a, lines: strings.Count(string(src), "\n")}, nil
}

// repository parses every Go file below root, whatever its build tags.
func repository(t *testing.T, root string) []file {
	t.Helper()
	fset := token.NewFileSet()
	var files []file
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			hidden := strings.HasPrefix(d.Name(), ".") && p != root
			if hidden || d.Name() == "testdata" || d.Name() == "bin" {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(p) != ".go" {
			return nil
		}
		src, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		f, err := parse(fset, filepath.ToSlash(rel), src)
		if err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		t.Fatalf("read repository: %v", err)
	}
	return files
}

// TestHouse applies every rule to every file.
func TestHouse(t *testing.T) {
	files := repository(t, "../..")
	// A walk that went astray would find nothing wrong, in nothing.
	known := func(f file) bool { return f.path == "internal/wire/wire.go" }
	if !slices.ContainsFunc(files, known) {
		t.Fatalf("read %d files, and internal/wire/wire.go is not among them", len(files))
	}
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			for _, finding := range r.check(files) {
				t.Error(finding)
			}
		})
	}
}

// TestRootDependencies keeps everything but the standard library and x/sys
// out of the programs of those who import package lastcall.
func TestRootDependencies(t *testing.T) {
	for _, goos := range []string{"linux", "darwin"} {
		cmd := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".")
		cmd.Dir = "../.."
		cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("GOOS=%s go list -deps: %v", goos, err)
		}
		packages := strings.Fields(string(out))
		if !slices.Contains(packages, module) {
			t.Fatalf("GOOS=%s: %s is not among its own dependencies: %q", goos, module, packages)
		}
		for _, finding := range foreign(packages) {
			t.Errorf("GOOS=%s: %s", goos, finding)
		}
	}
}

// TestPreforkDependencies keeps what only the command needs, its flags, its
// configuration file and its redis client, out of the programs of those who
// import package prefork.
func TestPreforkDependencies(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./prefork")
	cmd.Dir = "../.."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -deps: %v", err)
	}
	packages := strings.Fields(string(out))
	if !slices.Contains(packages, module+"/internal/supervisor") {
		t.Fatalf("the supervisor is not among its dependencies: %q", packages)
	}
	for _, p := range packages {
		if !strings.HasPrefix(p, module) && !strings.HasPrefix(p, "golang.org/x/") || strings.HasSuffix(p, "/gate/redis") {
			t.Errorf("package prefork depends on %s", p)
		}
	}
}

// TestSetupSaysWhatIsMissing runs scripts/setup where nothing is installed.
func TestSetupSaysWhatIsMissing(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatalf("find bash: %v", err)
	}
	cmd := exec.Command(bash, "../../scripts/setup")
	cmd.Env = []string{"PATH=" + t.TempDir()}
	out, err := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); err == nil || code != 1 {
		t.Errorf("setup with an empty PATH: exit status %d, want 1", code)
	}
	for _, want := range []string{"go ", "gcc", "make", "redis-server", "wrk", "apt-get install"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("setup with an empty PATH does not say %q:\n%s", want, out)
		}
	}
}
