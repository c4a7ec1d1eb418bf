package rnet

import (
	"io"
	"math"
	"os"
	"syscall"

	"github.com/ringport/ringport"
)

// ReadFrom sends what r has, to its end, and returns how many bytes were sent. Where the system can, it moves the bytes without copying
// them through the program: from an *os.File or *ringport.File that is a regular one, and from another Conn, or from an *io.LimitedReader of
// one of these. See sendfile(2), splice(2).
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	n, err, handled := c.moveFrom(r)
	if handled {
		if err != nil {
			err = c.failed("readfrom", err)
		}
		return n, err
	}
	return io.Copy(writerOnly{c}, r)
}

// WriteTo receives to the end of the stream and writes it to w, and returns how many bytes w took. To another Conn it moves the bytes as
// ReadFrom does.
func (c *Conn) WriteTo(w io.Writer) (int64, error) {
	if to, ok := w.(*Conn); ok {
		n, err, handled := to.moveFrom(c)
		if handled {
			if err != nil {
				err = c.failed("writeto", err)
			}
			return n, err
		}
	}
	return io.Copy(w, readerOnly{c})
}

// What io.Copy is given hides the methods that it would call back.
type (
	writerOnly struct{ io.Writer }
	readerOnly struct{ io.Reader }
)

// moveFrom lets the system move what r has. If handled is false, it has moved nothing, and can't.
func (c *Conn) moveFrom(r io.Reader) (n int64, err error, handled bool) {
	most := int64(math.MaxInt64)
	limited, ok := r.(*io.LimitedReader)
	if ok {
		if most, r = limited.N, limited.R; most <= 0 {
			return 0, nil, true
		}
	}
	if hidden, ok := r.(readerOnly); ok {
		r = hidden.Reader
	}
	switch from := r.(type) {
	case *os.File, *ringport.File:
		n, err, handled = sendFile(c, from.(syscall.Conn), most)
	case *Conn:
		if c.network != "unixpacket" && from.network != "unixpacket" {
			n, err, handled = splice(c, from, most)
		}
	}
	if limited != nil {
		limited.N -= n
	}
	return n, err, handled
}
