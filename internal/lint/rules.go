package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	maxFileLines     = 600
	maxFunctionLines = 80
)

// rules are checked on every file. Those that look at Go's syntax say nothing on other files.
var rules = []struct {
	name  string
	check func(*file) []finding
}{
	{"file length", fileLength},
	{"function length", functionLength},
	{"doc comment", docComment},
	{"unfinished", unfinished},
	{"sleep in a test", sleepInTest},
	{"skip without a reason", skipWithoutReason},
	{"library import", libraryImport},
	{"unsafe outside internal", unsafeOutsideInternal},
	{"machine path", machinePath},
}

func fileLength(f *file) []finding {
	if f.syntax == nil || f.test || f.generated {
		return nil
	}
	if n := bytes.Count(f.text, []byte("\n")); n > maxFileLines {
		return []finding{{n, fmt.Sprintf("%d lines; at most %d: do two things live in one room?", n, maxFileLines)}}
	}
	return nil
}

func functionLength(f *file) (found []finding) {
	if f.syntax == nil || f.test || f.generated {
		return nil
	}
	for _, decl := range f.syntax.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		n := f.positions.Position(fn.End()).Line - f.positions.Position(fn.Pos()).Line + 1
		if n > maxFunctionLines {
			found = append(found, f.at(fn.Pos(), fmt.Sprintf("%s has %d lines; at most %d", fn.Name.Name, n, maxFunctionLines)))
		}
	}
	return found
}

// docComment wants one for every exported name at a package's top level, methods of exported types included. In a group of constants or
// variables the group's own comment will do.
func docComment(f *file) (found []finding) {
	if f.syntax == nil || f.test || f.generated || f.syntax.Name.Name == "main" {
		return nil
	}
	want := func(name *ast.Ident, docs ...*ast.CommentGroup) {
		if name.IsExported() && !slices.ContainsFunc(docs, func(d *ast.CommentGroup) bool { return d != nil }) {
			found = append(found, f.at(name.Pos(), name.Name+" is exported and has no doc comment"))
		}
	}
	for _, decl := range f.syntax.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			if receiverIsExported(decl) {
				want(decl.Name, decl.Doc)
			}
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					want(spec.Name, docOfType(decl, spec), spec.Comment)
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						want(name, decl.Doc, spec.Doc, spec.Comment)
					}
				}
			}
		}
	}
	return found
}

// docOfType is a type's own comment: a group's says nothing about each type in it.
func docOfType(decl *ast.GenDecl, spec *ast.TypeSpec) *ast.CommentGroup {
	if decl.Lparen.IsValid() {
		return spec.Doc
	}
	return decl.Doc
}

// receiverIsExported is true for functions, and for the methods of types that other packages can name.
func receiverIsExported(fn *ast.FuncDecl) bool {
	if fn.Recv == nil {
		return true
	}
	t := fn.Recv.List[0].Type
	for {
		switch of := t.(type) {
		case *ast.StarExpr:
			t = of.X
		case *ast.IndexExpr:
			t = of.X
		case *ast.IndexListExpr:
			t = of.X
		case *ast.Ident:
			return of.IsExported()
		default:
			return true
		}
	}
}

// The brackets keep the expression from finding itself.
var marks = regexp.MustCompile(`\b(?:[T]ODO|[F]IXME|[X]XX)\b`)

func unfinished(f *file) []finding {
	if f.generated { // the generator's author's work, not ours
		return nil
	}
	return f.matches(marks, "is a mark of unfinished work: do it, or file an issue")
}

// matches reports every line that has a match.
func (f *file) matches(exp *regexp.Regexp, what string) (found []finding) {
	for i, line := range bytes.Split(f.text, []byte("\n")) {
		if match := exp.Find(line); match != nil {
			found = append(found, finding{i + 1, fmt.Sprintf("%s %s", match, what)})
		}
	}
	return found
}

func sleepInTest(f *file) (found []finding) {
	if f.syntax == nil || !f.test {
		return nil
	}
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && isName(sel.X, "time") && sel.Sel.Name == "Sleep" {
			found = append(found, f.at(n.Pos(), "a test waits for what must happen, not for time to pass"))
		}
		return true
	})
	return found
}

func isName(e ast.Expr, names ...string) bool {
	id, ok := e.(*ast.Ident)
	return ok && slices.Contains(names, id.Name)
}

func skipWithoutReason(f *file) (found []finding) {
	if f.syntax == nil || !f.test {
		return nil
	}
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if ok && isName(sel.X, "t", "b", "f", "tb") && skipsSilently(sel.Sel.Name, call.Args) {
			found = append(found, f.at(n.Pos(), "a skipped test says why"))
		}
		return true
	})
	return found
}

func skipsSilently(method string, args []ast.Expr) bool {
	switch method {
	case "SkipNow":
		return true
	case "Skip", "Skipf":
		if len(args) == 0 {
			return true
		}
		literal, ok := args[0].(*ast.BasicLit)
		return ok && literal.Kind == token.STRING && strings.Trim(literal.Value, "\"` ") == ""
	}
	return false
}

const (
	ownModule = "github.com/ringport/ringport"
	systems   = "golang.org/x/sys"
)

// libraryImport keeps the library's users free of other modules, and of cgo.
func libraryImport(f *file) []finding {
	if !f.library || f.test {
		return nil
	}
	return f.imports(func(name string) string {
		first, _, _ := strings.Cut(name, "/")
		switch standard := !strings.Contains(first, "."); {
		case name == "C":
			return "the library uses no cgo"
		case standard, within(name, ownModule), within(name, systems):
			return ""
		}
		return "the library imports the standard library and " + systems + " only, not " + name
	})
}

// within is true for a package of the module.
func within(name, module string) bool {
	return name == module || strings.HasPrefix(name, module+"/")
}

// imports reports every import that object has something against.
func (f *file) imports(object func(name string) string) (found []finding) {
	if f.syntax == nil {
		return nil
	}
	for _, spec := range f.syntax.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser lets no such path through
		}
		if what := object(name); what != "" {
			found = append(found, f.at(spec.Pos(), what))
		}
	}
	return found
}

func unsafeOutsideInternal(f *file) []finding {
	if slices.Contains(strings.Split(f.path, "/"), "internal") {
		return nil
	}
	return f.imports(func(name string) string {
		if name != "unsafe" {
			return ""
		}
		return "unsafe stays inside internal folders"
	})
}

// The brackets keep the expression from finding itself.
var machinePaths = regexp.MustCompile(`(?:^|[^\w.)}])/[w]ork/|(?:^|[^\w.])/[r]oot/|\b[s]hared/(?:design|seed|linux-facts|windows-facts|wine|style|peers|fresh|hooks)`)

func machinePath(f *file) []finding {
	return f.matches(machinePaths, "is a path of somebody's machine: the project stands alone")
}

// testWords are the names of tests, benchmarks and cases of the conformance suite as texts mention them; an asterisk stands for any ending.
var testWords = regexp.MustCompile(`\b(?:(?:Test|Benchmark|Fuzz)[A-Z]|Law[0-9])\w*\*?`)

// testsThatAreNot reports what the tree's documents call a test and no file has: it was renamed, or never written.
func testsThatAreNot(files []*file) map[*file][]finding {
	names := map[string]bool{}
	for _, f := range files {
		f.addTestNames(names)
	}
	exists := func(word string) bool {
		prefix, open := strings.CutSuffix(word, "*")
		if !open {
			return names[word]
		}
		for name := range names {
			if strings.HasPrefix(name, prefix) {
				return true
			}
		}
		return false
	}
	all := map[*file][]finding{}
	for _, f := range files {
		if path.Ext(f.path) != ".md" {
			continue
		}
		for i, line := range strings.Split(string(f.text), "\n") {
			for _, word := range testWords.FindAllString(line, -1) {
				if !exists(word) {
					all[f] = append(all[f], finding{i + 1, word + " is no test of this tree"})
				}
			}
		}
	}
	return all
}

// addTestNames adds the functions of a test file, and the cases of the conformance suite, which have their names in a field.
func (f *file) addTestNames(names map[string]bool) {
	switch {
	case f.syntax == nil:
	case f.test:
		for _, decl := range f.syntax.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil {
				names[fn.Name.Name] = true
			}
		}
	case path.Base(path.Dir(f.path)) == "drivertest":
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if field, ok := n.(*ast.KeyValueExpr); ok && isName(field.Key, "name") {
				if value, ok := field.Value.(*ast.BasicLit); ok && value.Kind == token.STRING {
					names[strings.Trim(value.Value, "\"`")] = true
				}
			}
			return true
		})
	}
}
