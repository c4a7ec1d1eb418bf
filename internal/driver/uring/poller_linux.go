package uring

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// poller waits for a descriptor in the Go runtime's own poller. It works on a duplicate, since os.File closes what it has.
type poller struct {
	file    *os.File
	conn    syscall.RawConn
	attempt func(fd uintptr) bool // made once: a new one a wait would be an allocation
	armed   bool                  // a deadline may be in force

	// of the wait under way
	d     *Driver
	batch []*driver.Request
	n     int
}

func newPoller(fd int) (*poller, error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	// os.NewFile hands only non-blocking descriptors to the poller. The flag means nothing to a ring.
	if err := unix.SetNonblock(dup, true); err != nil {
		unix.Close(dup)
		return nil, err
	}
	p := &poller{file: os.NewFile(uintptr(dup), Name), armed: true}
	p.attempt = func(uintptr) bool {
		n, woken := p.d.look(p.batch)
		p.n = n
		return n > 0 || woken
	}
	p.conn, err = p.file.SyscallConn()
	return p, err
}

// wait parks the calling goroutine in the runtime's poller until there is something for batch.
func (p *poller) wait(d *Driver, batch []*driver.Request, timeout time.Duration) int {
	p.setDeadline(timeout)
	p.d, p.batch, p.n = d, batch, 0
	err := p.conn.Read(p.attempt)
	p.batch = nil
	if err != nil {
		p.armed = true // the deadline passed or Wake moved it: the next wait sets it anew
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return 0
		}
		n, _ := d.look(batch)
		return n
	}
	return p.n
}

// setDeadline comes before the look for a wake, and Wake's flag before its change of the deadline: one sees the other.
func (p *poller) setDeadline(timeout time.Duration) {
	if timeout < 0 {
		if p.armed {
			p.file.SetReadDeadline(time.Time{})
			p.armed = false
		}
		return
	}
	p.file.SetReadDeadline(time.Now().Add(timeout))
	p.armed = true
}

// interrupt ends the current wait, or the next. It moves the deadline instead of posting a completion: no system call.
func (p *poller) interrupt() { p.file.SetReadDeadline(time.Unix(1, 0)) }

func (p *poller) close() { p.file.Close() }
