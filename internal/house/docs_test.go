package house

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
)

// docComments wants a comment on every exported name, in it the contract.
// Fields, and the methods of an interface, are left to judgement.
func docComments(f file) []string {
	if f.isTest() {
		return nil
	}
	var out []string
	for _, d := range f.ast.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Doc == nil && exported(d) {
				out = append(out, undocumented(f, d.Name))
			}
		case *ast.GenDecl:
			out = append(out, docGroup(f, d)...)
		}
	}
	return out
}

func undocumented(f file, name *ast.Ident) string {
	return fmt.Sprintf("%s: %s is exported and has no doc comment", f.at(name), name.Name)
}

// exported reports a function or method that others can see. The methods every
// Go programmer knows say no more in a comment than in their names.
func exported(fn *ast.FuncDecl) bool {
	if !fn.Name.IsExported() {
		return false
	}
	if fn.Recv == nil {
		return true
	}
	if slices.Contains([]string{"Error", "Unwrap", "String"}, fn.Name.Name) {
		return false
	}
	t := fn.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}

// docGroup looks at types, constants and variables. A comment on a group of
// constants or variables speaks for all of them; each type has its own.
func docGroup(f file, d *ast.GenDecl) []string {
	var out []string
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			alone := d.Lparen == token.NoPos && d.Doc != nil
			if s.Name.IsExported() && s.Doc == nil && !alone {
				out = append(out, undocumented(f, s.Name))
			}
		case *ast.ValueSpec:
			if d.Doc != nil || s.Doc != nil || s.Comment != nil {
				continue
			}
			for _, name := range s.Names {
				if name.IsExported() {
					out = append(out, undocumented(f, name))
				}
			}
		}
	}
	return out
}
