package house

import (
	"fmt"
	"go/ast"
	"go/types"
	"path"
	"slices"
	"strings"
)

// core is the package that is a function of its events and nothing else.
const core = "internal/pool"

// pure are the packages of the standard library that the core may use: they
// hold no state, read no clock and ask nothing of the system. A list of what
// is allowed, since one of what is forbidden would never be complete.
func pure() []string {
	return []string{
		"bytes", "cmp", "errors", "fmt", "iter", "math", "math/bits", "slices",
		"sort", "strconv", "strings", "time", "unicode", "unicode/utf8",
	}
}

// purity keeps the core a function: no system, no clock, no goroutine.
func purity(f file) []string {
	if f.dir() != core || f.isTest() {
		return nil
	}
	var out []string
	for _, spec := range f.ast.Imports {
		if p := importPath(spec); !slices.Contains(pure(), p) {
			out = append(out, fmt.Sprintf("%s: the core may not import %s", f.at(spec), p))
		}
	}
	out = append(out, calls(f, func(pkg, name string) bool {
		return pkg == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Local", "LoadLocation"}, name) ||
			pkg == "fmt" && (strings.HasPrefix(name, "Print") || strings.HasPrefix(name, "Scan"))
	}, "is not for the core: time and output are its shell's")...)
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.GoStmt, *ast.ChanType, *ast.SelectStmt:
			out = append(out, fmt.Sprintf("%s: no goroutine and no channel in the core", f.at(n)))
		}
		return true
	})
	return out
}

// mapOrder finds loops over maps in the core: their order differs from run to
// run, and the order of actions is part of the contract.
func mapOrder(files []file) []string {
	var asts []*ast.File
	for _, f := range files {
		if f.dir() == core && !f.isTest() {
			asts = append(asts, f.ast)
		}
	}
	if len(asts) == 0 {
		return nil
	}
	fset := files[0].fset
	// Other packages are left empty, and the errors that makes are passed
	// over: the maps to be found are the core's own, and need no others.
	info := types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	config := types.Config{Importer: empty{}, Error: func(error) {}}
	_, _ = config.Check(core, fset, asts, &info)
	var out []string
	for _, a := range asts {
		ast.Inspect(a, func(n ast.Node) bool {
			loop, ok := n.(*ast.RangeStmt)
			if !ok || info.Types[loop.X].Type == nil {
				return true
			}
			if _, ok := info.Types[loop.X].Type.Underlying().(*types.Map); ok {
				out = append(out, fmt.Sprintf("%v: a loop over a map has no order: loop over a slice", fset.Position(loop.Pos())))
			}
			return true
		})
	}
	return out
}

// empty is an importer of packages in which nothing is declared.
type empty struct{}

// Import implements types.Importer.
func (empty) Import(p string) (*types.Package, error) {
	pkg := types.NewPackage(p, path.Base(p))
	pkg.MarkComplete()
	return pkg, nil
}
