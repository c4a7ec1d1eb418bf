package main

import (
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ringport/ringport"
)

// site is a folder that is handed out. Names are resolved in an os.Root, which no link and no ".." leaves.
type site struct {
	root    *os.Root
	outside error // what root says of a name that leads out of it
	m       *ringport.Manager
	o       serveOptions
}

func openSite(dir string, o serveOptions) (*site, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	m, err := ringport.Default()
	if err != nil {
		root.Close()
		return nil, err
	}
	_, err = root.Lstat("..") // os has no name for this error
	return &site{root: root, outside: errors.Unwrap(err), m: m, o: o}, nil
}

func (s *site) close() { s.root.Close() }

// ServeHTTP answers GET, and HEAD: what it writes then goes nowhere.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "405 method not allowed", http.StatusMethodNotAllowed)
		return
	}
	name, ok := s.nameOf(r.URL.Path)
	if !ok {
		fail(w, r, fs.ErrNotExist)
		return
	}
	f, info, err := s.open(name)
	if err != nil {
		fail(w, r, err)
		return
	}
	defer f.Close()
	switch slash := strings.HasSuffix(r.URL.Path, "/"); {
	case info.IsDir() && !slash:
		redirect(w, path.Base(name)+"/", r)
	case info.IsDir():
		s.serveFolder(w, r, name, f)
	case slash: // a file is no folder
		redirect(w, "../"+path.Base(name), r)
	default:
		s.serveFile(w, r, f, info)
	}
}

// nameOf is the name in the folder that a URL's path means; ok is false if there can be none: a zero byte, a name that Windows would take for
// something else (a backslash, a colon, a device), or a hidden one.
func (s *site) nameOf(urlPath string) (name string, ok bool) {
	name = strings.TrimPrefix(path.Clean("/"+urlPath), "/")
	if name == "" {
		return ".", true
	}
	if strings.ContainsRune(name, 0) || !filepath.IsLocal(filepath.FromSlash(name)) {
		return "", false
	}
	for part := range strings.SplitSeq(name, "/") {
		if filepath.Separator != '/' && strings.ContainsAny(part, `\:`) || !s.o.hidden && strings.HasPrefix(part, ".") {
			return "", false
		}
	}
	return name, true
}

// open opens a regular file or a folder. Opening waits for nobody: what else there may be, a FIFO or a device, is not opened.
func (s *site) open(name string) (*os.File, fs.FileInfo, error) {
	refused := &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	info, err := s.root.Stat(name)
	if err != nil {
		return nil, nil, s.withoutOutside(err)
	}
	if !info.Mode().IsRegular() && !info.IsDir() {
		return nil, nil, refused
	}
	f, err := s.root.OpenFile(name, os.O_RDONLY|openWithoutWaiting, 0)
	if err != nil {
		return nil, nil, s.withoutOutside(err)
	}
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() && !info.IsDir() { // it was replaced meanwhile
		err = refused
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// withoutOutside is err, but a link that leads out is nothing: nobody shall learn what there is outside.
func (s *site) withoutOutside(err error) error {
	if errors.Is(err, s.outside) {
		return fs.ErrNotExist
	}
	return err
}

// serveFile hands out a file, read by the manager: the end of the request ends what waits.
func (s *site) serveFile(w http.ResponseWriter, r *http.Request, opened *os.File, info fs.FileInfo) {
	h, err := duplicate(opened)
	if err != nil {
		fail(w, r, err)
		return
	}
	f, err := s.m.NewFile(h, opened.Name())
	if err != nil {
		closeDuplicate(h)
		fail(w, r, err)
		return
	}
	defer f.Close()
	if w.Header().Get("Content-Type") == "" {
		if kind := mime.TypeByExtension(path.Ext(info.Name())); kind != "" {
			w.Header().Set("Content-Type", kind)
		}
	}
	w.Header().Set("Etag", knownTag(entityTag(info), r.Header))
	http.ServeContent(w, r, info.Name(), info.ModTime(), f.WithContext(r.Context()))
}

// entityTag changes with the file's time and size.
func entityTag(info fs.FileInfo) string {
	return fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size())
}

//go:embed serve.html
var serveFiles embed.FS

var folderPage = template.Must(template.New("serve.html").Funcs(template.FuncMap{
	"size": func(n int64) string { return humanize.IBytes(uint64(n)) },
	"time": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") },
	"href": func(name string) string { return (&url.URL{Path: "./" + name}).String() },
}).ParseFS(serveFiles, "serve.html"))

// serveFolder hands out a folder's index.html, or a page that lists what is in it.
func (s *site) serveFolder(w http.ResponseWriter, r *http.Request, name string, dir *os.File) {
	if index, info, err := s.open(path.Join(name, "index.html")); err == nil {
		defer index.Close()
		if info.Mode().IsRegular() {
			s.serveFile(w, r, index, info)
			return
		}
	}
	if s.o.noList {
		fail(w, r, fs.ErrNotExist)
		return
	}
	entries, err := dir.ReadDir(-1)
	if err != nil {
		fail(w, r, err)
		return
	}
	type line struct {
		Name  string
		Bytes int64
		Time  time.Time
		Dir   bool
	}
	var lines []line
	for _, entry := range entries {
		if _, ok := s.nameOf(entry.Name()); !ok {
			continue
		}
		info, err := s.root.Stat(path.Join(name, entry.Name())) // of what a link leads to; none of what leads out
		if err != nil || !info.Mode().IsRegular() && !info.IsDir() {
			continue
		}
		lines = append(lines, line{entry.Name(), info.Size(), info.ModTime(), info.IsDir()})
	}
	slices.SortFunc(lines, func(a, b line) int {
		if a.Dir != b.Dir {
			if a.Dir {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	title := "/"
	if name != "." {
		title = "/" + name + "/"
	}
	folderPage.Execute(w, struct {
		Title string
		Up    bool
		Lines []line
	}{title, name != ".", lines}) // an error means that nobody listens any more
}

// redirect sends the client to a place relative to the one asked for, which a name such as "//elsewhere" can't turn into another host.
func redirect(w http.ResponseWriter, to string, r *http.Request) {
	target := (&url.URL{Path: "./" + strings.TrimPrefix(to, "./"), RawQuery: r.URL.RawQuery}).String()
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusMovedPermanently)
}

// fail answers with what an error means. Those who ask are not told more; the log is.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	if reason, ok := r.Context().Value(reasonKey{}).(*error); ok {
		*reason = err
	}
	status := statusOf(err)
	http.Error(w, fmt.Sprintf("%d %s", status, strings.ToLower(http.StatusText(status))), status)
}
