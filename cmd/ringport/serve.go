package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzhttp"
	"github.com/spf13/cobra"

	"github.com/ringport/ringport/rnet"
)

const serveLong = `Serve hands out the files of a folder by HTTP, or by HTTPS with --cert and --key: whole or in ranges, with entity tags and
dates, compressed for those who ask (gzip, zstd), and pages that list folders which have no index.html.

It listens on the loopback unless told otherwise, follows no link out of the folder, hands out regular files only, and writes a line a request to
standard error. Ctrl-C lets what is being sent finish, for as long as --grace says.`

// serveOptions are what "ringport serve" is told.
type serveOptions struct {
	address   string
	cert, key string
	grace     time.Duration
	hidden    bool // names that begin with a dot too
	noList    bool
	quiet     bool
}

// newServeCommand is "ringport serve".
func newServeCommand() *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve [flags] DIR",
		Short: "Hand out a folder's files by HTTP",
		Long:  serveLong,
		Example: `  ringport serve .
  ringport serve --address :8443 --cert cert.pem --key key.pem /srv/www`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runServe(cmd.Context(), args[0], o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.address, "address", "a", "localhost:8080",
		"where to listen: HOST:PORT; localhost is 127.0.0.1 alone, not ::1; without a host on all addresses; port 0 is any")
	flags.StringVar(&o.cert, "cert", "", "file with the certificate, for HTTPS")
	flags.StringVar(&o.key, "key", "", "file with the certificate's key")
	flags.DurationVar(&o.grace, "grace", 10*time.Second, "how long requests may go on when the server ends")
	flags.BoolVar(&o.hidden, "hidden", false, "hand out what has a name that begins with a dot, too")
	flags.BoolVar(&o.noList, "no-list", false, "don't list folders")
	flags.BoolVarP(&o.quiet, "quiet", "q", false, "write a line of those requests only that the server fails to answer (5xx)")
	return cmd
}

// check finds what is wrong with the options by themselves.
func (o serveOptions) check() error {
	if (o.cert == "") != (o.key == "") {
		return usagef("--cert and --key go together")
	}
	if o.grace < 0 {
		return usagef("--grace %v: it must not be negative", o.grace)
	}
	if _, _, err := net.SplitHostPort(o.address); err != nil {
		return usagef("--address %q: %v", o.address, err)
	}
	return nil
}

func runServe(ctx context.Context, dir string, o serveOptions, stdout, stderr io.Writer) error {
	if err := o.check(); err != nil {
		return err
	}
	site, err := openSite(dir, o)
	if err != nil {
		return err
	}
	defer site.close()
	log := newServeLog(stderr, o.quiet)
	handler, err := serveHandler(log, site)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	scheme := "http"
	if o.cert != "" {
		scheme = "https"
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return err
		}
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}}
	}
	l, err := rnet.Listen("tcp", o.address)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "serving %s on %s://%s/\n", dir, scheme, l.Addr())
	ended := make(chan error, 1)
	go func() {
		if scheme == "https" {
			ended <- server.ServeTLS(l, "", "")
		} else {
			ended <- server.Serve(l)
		}
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.grace)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		log.Warn("requests were cut off", "after", o.grace)
		server.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return context.Cause(ctx)
}

func newServeLog(w io.Writer, quiet bool) *slog.Logger {
	level := slog.LevelInfo
	if quiet {
		level = slog.LevelWarn
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// serveHandler is what hands out files, with what there is around it.
func serveHandler(log *slog.Logger, files http.Handler) (http.Handler, error) {
	compress, err := gzhttp.NewWrapper(gzhttp.EnableZstd(true), gzhttp.SuffixETag(compressedSuffix))
	if err != nil {
		return nil, err
	}
	return logged(log, likeGet(compress(files))), nil
}

// likeGet has HEAD answered by what answers GET, to the end of the header. The compression leaves HEAD alone, and decides by the first bytes of
// what is sent, so that HEAD would have the header of another entity.
func likeGet(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			r = r.Clone(r.Context())
			r.Method = http.MethodGet
			w = headOnly{w}
		}
		next.ServeHTTP(w, r)
	})
}

// headOnly is a response without its body.
type headOnly struct{ http.ResponseWriter }

var errHeadOnly = errors.New("the answer to HEAD has no body")

// Write ends the header, and fails, which keeps the rest of the file from being read.
func (h headOnly) Write([]byte) (int, error) {
	h.ResponseWriter.Write(nil)
	return 0, errHeadOnly
}

// compressedSuffix ends the entity tag of what is sent compressed, which is another entity; gzhttp adds how.
const compressedSuffix = "-compressed"

// knownTag is the tag of what the client has of the file with this tag, by its If-None-Match: of the compressed entity if it may be sent that,
// else the tag itself. A compressed entity is not known to a client that no longer takes it: a cache would hand it to one that can't read it.
func knownTag(tag string, header http.Header) string {
	for _, coding := range []string{"zstd", "gzip"} {
		compressed := strings.TrimSuffix(tag, `"`) + compressedSuffix + "-" + coding + `"`
		if strings.Contains(header.Get("If-None-Match"), compressed) && accepts(header, coding) {
			return compressed
		}
	}
	return tag
}

// accepts tells whether Accept-Encoding names a coding, and not with a quality of 0.
func accepts(header http.Header, coding string) bool {
	for part := range strings.SplitSeq(header.Get("Accept-Encoding"), ",") {
		name, params, err := mime.ParseMediaType(part)
		if err != nil || name != coding {
			continue
		}
		q, err := strconv.ParseFloat(cmp.Or(params["q"], "1"), 64)
		return err == nil && q > 0
	}
	return false
}

// reasonKey is where a request's context has the *error that is the reason of its answer: what writes the answer is wrapped by the compression.
type reasonKey struct{}

// logged writes a line a request: an error with the reason if the server has failed.
func logged(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		c := &counted{ResponseWriter: w}
		var reason error
		defer func() {
			level, line := slog.LevelInfo, []any{"from", r.RemoteAddr, "method", r.Method, "path", r.URL.EscapedPath(), "range", r.Header.Get("Range"),
				"status", c.status, "bytes", c.bytes, "took", time.Since(start).Round(time.Microsecond)}
			if c.status >= 500 {
				level, line = slog.LevelError, append(line, "error", reason)
			}
			log.Log(r.Context(), level, "request", line...)
		}()
		next.ServeHTTP(c, r.WithContext(context.WithValue(r.Context(), reasonKey{}, &reason)))
	})
}

// counted is a response whose status and length are noted.
type counted struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (c *counted) WriteHeader(status int) {
	if c.status == 0 || c.status < 200 {
		c.status = status
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *counted) Write(p []byte) (int, error) {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	n, err := c.ResponseWriter.Write(p)
	c.bytes += int64(n)
	return n, err
}

// ReadFrom lets the connection take a file as it is, without a copy through the program.
func (c *counted) ReadFrom(r io.Reader) (int64, error) {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	n, err := io.Copy(c.ResponseWriter, r)
	c.bytes += n
	return n, err
}

// Unwrap is for http.ResponseController.
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// statusOf is the status that an error of the file system means to those who ask.
func statusOf(err error) int {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return http.StatusForbidden
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrInvalid), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENAMETOOLONG),
		errors.Is(err, syscall.ELOOP): // a link to itself
		return http.StatusNotFound
	case errors.Is(err, os.ErrDeadlineExceeded):
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}
