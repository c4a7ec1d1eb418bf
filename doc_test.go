package ringport

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestDoc_Aliases: go doc shows nothing of a type of an internal package but the comment of the alias that stands for it, so that the
// comment has to name every exported field and method, on all systems.
func TestDoc_Aliases(t *testing.T) {
	const module = "github.com/ringport/ringport/"
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range names {
		f := parseFile(t, name)
		if strings.HasSuffix(name, "_test.go") || f.Name.Name != "ringport" {
			continue
		}
		dirs := map[string]string{} // by the package's name
		for _, i := range f.Imports {
			path, _ := strconv.Unquote(i.Path.Value)
			if dir, ours := strings.CutPrefix(path, module); ours {
				dirs[filepath.Base(dir)] = dir
			}
		}
		for _, d := range f.Decls {
			doc, spec := typeOf(d)
			if spec == nil || !spec.Assign.IsValid() {
				continue
			}
			of, ok := spec.Type.(*ast.SelectorExpr)
			if !ok || dirs[of.X.(*ast.Ident).Name] == "" {
				continue
			}
			found++
			for _, member := range unnamed(doc.Text(), membersOf(t, dirs[of.X.(*ast.Ident).Name], of.Sel.Name)) {
				t.Errorf("%s: the comment of %s does not name %s", name, spec.Name.Name, member)
			}
		}
	}
	if found < 5 {
		t.Errorf("found %d aliases of internal types; there were 5 when this was written", found)
	}
}

func parseFile(t *testing.T, name string) *ast.File {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// typeOf is the type that d declares, nil if it is none.
func typeOf(d ast.Decl) (*ast.CommentGroup, *ast.TypeSpec) {
	g, ok := d.(*ast.GenDecl)
	if !ok || g.Tok != token.TYPE {
		return nil, nil
	}
	return g.Doc, g.Specs[0].(*ast.TypeSpec)
}

// membersOf are the exported fields and methods of a type of the package in dir.
func membersOf(t *testing.T, dir, name string) (members []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(filepath.FromSlash(dir), "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatal(dir, err)
	}
	for _, file := range files {
		for _, d := range parseFile(t, file).Decls {
			if _, spec := typeOf(d); spec != nil && spec.Name.Name == name {
				if s, ok := spec.Type.(*ast.StructType); ok {
					for _, f := range s.Fields.List {
						for _, n := range f.Names {
							members = append(members, n.Name)
						}
					}
				}
			}
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv != nil {
				of := f.Recv.List[0].Type
				if p, ok := of.(*ast.StarExpr); ok {
					of = p.X
				}
				if id, ok := of.(*ast.Ident); ok && id.Name == name {
					members = append(members, f.Name.Name)
				}
			}
		}
	}
	return members
}

// unnamed are the exported ones of members that text does not have as a word.
func unnamed(text string, members []string) (missing []string) {
	for _, m := range members {
		if ast.IsExported(m) && !regexp.MustCompile(`\b`+m+`\b`).MatchString(text) {
			missing = append(missing, m)
		}
	}
	return missing
}
