package house

import (
	"cmp"
	"fmt"
	"go/ast"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// A rule looks at all files and returns what it finds wrong, one line each.
type rule struct {
	name  string
	check func([]file) []string
}

func rules() []rule {
	return []rule{
		{"imports", eachFile(imports)},
		{"purity", eachFile(purity)},
		{"maps in the core", mapOrder},
		{"file length", eachFile(fileLength)},
		{"function length", eachFile(functionLength)},
		{"package docs", packageDocs},
		{"doc comments", eachFile(docComments)},
		{"sleep in tests", eachFile(sleep)},
		{"exit", eachFile(exits)},
		{"package variables", eachFile(variables)},
	}
}

func eachFile(check func(file) []string) func([]file) []string {
	return func(files []file) []string {
		var out []string
		for _, f := range files {
			out = append(out, check(f)...)
		}
		return out
	}
}

// importTable is the table of DESIGN.md: a package, and which of our packages
// it may import. Change both together.
func importTable() map[string][]string {
	return map[string][]string{
		".":                   {"internal/handoff", "internal/sock", "internal/wire"},
		"cmd/lastcall":        {"internal/config", "internal/control", "internal/gate", "internal/gate/redis", "internal/parent", "internal/proc", "internal/supervisor"},
		"internal/config":     {"internal/gate", "internal/sock", "internal/supervisor", "internal/wire"},
		"internal/control":    {"internal/pool"},
		"internal/gate":       {},
		"internal/gate/redis": {"internal/gate"},
		"internal/guard":      {"internal/proc"},
		"internal/handoff":    {"internal/wire"},
		"internal/parent":     {},
		"internal/pool":       {},
		"internal/proc":       {},
		"internal/sock":       {},
		"internal/sock/steer": {"internal/sock"},
		"internal/supervisor": {"internal/control", "internal/gate", "internal/guard", "internal/handoff", "internal/parent", "internal/pool", "internal/proc", "internal/sock", "internal/sock/steer", "internal/wire"},
		"internal/testport":   {},
		"internal/wire":       {},
		"lastcalltest":        {"."},
		"prefork":             {".", "internal/control", "internal/gate", "internal/proc", "internal/sock", "internal/supervisor", "internal/wire"},
	}
}

// outside reports a room that stands where our users stand: it may import
// what they may, and rooms of its own.
func outside(dir string) bool {
	room, _, _ := strings.Cut(dir, "/")
	return room == "examples" || room == "bench" || room == "compat"
}

// imports holds a package to its row. Tests are free: they often need to play
// the other side.
func imports(f file) []string {
	if f.isTest() {
		return nil
	}
	allowed, known := importTable()[f.dir()]
	if !known && !outside(f.dir()) {
		return []string{fmt.Sprintf("%s: %s is a room the import table does not know: add it there and in DESIGN.md", f.path, f.dir())}
	}
	var out []string
	for _, spec := range f.ast.Imports {
		ours, ok := within(spec)
		switch {
		case !ok, slices.Contains(allowed, ours):
		case outside(f.dir()) && (outside(ours) || slices.Contains([]string{".", "lastcalltest", "prefork"}, ours)):
		default:
			out = append(out, fmt.Sprintf("%s: %s may not import %s", f.at(spec), f.dir(), ours))
		}
	}
	return out
}

// within returns the folder of an import that is ours.
func within(spec *ast.ImportSpec) (dir string, ok bool) {
	p := importPath(spec)
	if p == module {
		return ".", true
	}
	return strings.CutPrefix(p, module+"/")
}

func importPath(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil { // the parser has let it pass
		panic(err)
	}
	return p
}

// foreign returns a finding for each package that would reach our users.
func foreign(packages []string) []string {
	var out []string
	for _, p := range packages {
		if p != module && !strings.HasPrefix(p, module+"/") && !strings.HasPrefix(p, "golang.org/x/sys/") {
			out = append(out, "package lastcall depends on "+p)
		}
	}
	return out
}

const (
	maxFile     = 500
	maxFunction = 70
)

func fileLength(f file) []string {
	if f.lines <= maxFile {
		return nil
	}
	return []string{fmt.Sprintf("%s: %d lines, more than %d", f.path, f.lines, maxFile)}
}

func functionLength(f file) []string {
	if f.isTest() {
		return nil
	}
	var out []string
	for _, d := range f.ast.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		n := f.fset.Position(fn.End()).Line - f.fset.Position(fn.Pos()).Line + 1
		if n > maxFunction {
			out = append(out, fmt.Sprintf("%s: %s has %d lines, more than %d", f.at(fn), fn.Name.Name, n, maxFunction))
		}
	}
	return out
}

// packageDocs wants one file of each package to say what the package is.
func packageDocs(files []file) []string {
	has := map[string]bool{}
	for _, f := range files {
		if f.isTest() {
			continue
		}
		want := "Package " + f.ast.Name.Name + " "
		if f.isCommand() {
			want = "Command " + path.Base(f.dir()) + " "
		}
		has[f.dir()] = has[f.dir()] || strings.HasPrefix(f.ast.Doc.Text(), want)
	}
	var out []string
	for _, dir := range slices.Sorted(maps.Keys(has)) {
		if !has[dir] {
			out = append(out, dir+`: no file has a doc comment "Package NAME ...", or "Command NAME ..." for a command`)
		}
	}
	return out
}

// mayExit lists the files that may end the process.
func mayExit(f file) bool {
	switch {
	case f.path == "cmd/lastcall/main.go", f.path == "prefork/child.go":
		return true
	case f.path == "internal/proc/shim.go": // the exec failed: no program to go on with
		return true
	case f.path == "internal/guard/keeper_linux.go": // a process of its own, which main never sees
		return true
	}
	return outside(f.dir()) && f.isCommand()
}

// exits finds the calls that end the process from where no defer runs and no
// report is made.
func exits(f file) []string {
	if f.isTest() || mayExit(f) {
		return nil
	}
	return calls(f, func(pkg, name string) bool {
		return (pkg == "os" || pkg == "syscall" || pkg == "golang.org/x/sys/unix") && name == "Exit" ||
			pkg == "log" && strings.HasPrefix(name, "Fatal")
	}, "ends the process: return an error, main exits")
}

// sleep finds tests that wait for time instead of an event.
func sleep(f file) []string {
	if !f.isTest() {
		return nil
	}
	return calls(f, func(pkg, name string) bool { return pkg == "time" && name == "Sleep" },
		"waits for time: wait for the event")
}

// calls finds uses, called or not, of names of imported packages.
func calls(f file, match func(pkg, name string) bool, why string) []string {
	named := map[string]string{}
	var out []string
	for _, spec := range f.ast.Imports {
		p := importPath(spec)
		local := path.Base(p)
		if spec.Name != nil {
			local = spec.Name.Name
		}
		if local == "." {
			out = append(out, fmt.Sprintf("%s: a dot import hides what is used", f.at(spec)))
		}
		named[local] = p
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := sel.X.(*ast.Ident)
		if ok && named[x.Name] != "" && match(named[x.Name], sel.Sel.Name) {
			out = append(out, fmt.Sprintf("%s: %s.%s %s", f.at(sel), x.Name, sel.Sel.Name, why))
		}
		return true
	})
	return out
}

// ledgers are the package variables that are neither errors nor guards, each
// for its reason.
func ledgers() map[string][]string {
	return map[string][]string{
		// Begin must count where no worker is in its context, so that
		// handlers stay testable: the one ledger of the process.
		"ledger.go": {"process"},
		// A worker is the whole program started anew, so nothing can pass it
		// what it is: that is settled before main.
		"prefork/child.go": {"process"},
	}
}

// variables finds package variables: state that nobody passes and every test
// shares. Errors, interface guards and embedded files are none.
func variables(f file) []string {
	if f.isTest() {
		return nil
	}
	var out []string
	for _, d := range f.ast.Decls {
		gen, ok := d.(*ast.GenDecl)
		if !ok || gen.Tok.String() != "var" {
			continue
		}
		for _, s := range gen.Specs {
			spec := s.(*ast.ValueSpec)
			doc := cmp.Or(spec.Doc, gen.Doc)
			for i, name := range spec.Names {
				guard := name.Name == "_" && spec.Type != nil
				if guard || isError(spec, i) || isEmbed(doc) || slices.Contains(ledgers()[f.path], name.Name) {
					continue
				}
				out = append(out, fmt.Sprintf("%s: package variable %s: pass it, or make it a constant or a function", f.at(name), name.Name))
			}
		}
	}
	return out
}

// isError recognizes a sentinel: ErrX, made by errors.New or fmt.Errorf, or
// declared as an error.
func isError(spec *ast.ValueSpec, i int) bool {
	if name := spec.Names[i].Name; !strings.HasPrefix(name, "Err") && !strings.HasPrefix(name, "err") {
		return false
	}
	if t, ok := spec.Type.(*ast.Ident); ok && t.Name == "error" {
		return true
	}
	if i >= len(spec.Values) {
		return false
	}
	call, ok := spec.Values[i].(*ast.CallExpr)
	if !ok {
		return false
	}
	fn, ok := call.Fun.(*ast.SelectorExpr)
	return ok && (fn.Sel.Name == "New" || fn.Sel.Name == "Errorf")
}

func isEmbed(doc *ast.CommentGroup) bool {
	if doc == nil {
		return false
	}
	return slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}
