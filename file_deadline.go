package ringport

import (
	"math"
	"os"
	"time"
)

// deadline is when the operations of one way end. File.mu is over it.
type deadline struct {
	at      int64    // on the clock of the manager's timeouts; valid while the file's bit is set
	timeout *Timeout // made at first use
}

// passed is a deadline that had passed when it was set. Nobody need look at the clock for it; net/http ends a read so with each request.
const passed = math.MinInt64

func (d *deadline) stop() {
	if d.timeout != nil {
		d.timeout.Stop()
	}
}

// SetDeadline sets the time at which reads and writes end, those that wait now and those that come later, with an error that
// matches os.ErrDeadlineExceeded and whose Timeout method says true. The zero time means never. Once it has passed they fail
// at once, until it is set anew. It holds for the file and all its views.
//
// It works on every kind of file. A transfer of a regular file that the system has begun cannot be stopped, though; it ends
// by itself, with its data. Where the manager is caller-driven, deadlines are timeouts of its loop.
func (f *File) SetDeadline(t time.Time) error { return f.setDeadline(t, reading, writing) }

// SetReadDeadline is SetDeadline for reads only.
func (f *File) SetReadDeadline(t time.Time) error { return f.setDeadline(t, reading) }

// SetWriteDeadline is SetDeadline for writes only.
func (f *File) SetWriteDeadline(t time.Time) error { return f.setDeadline(t, writing) }

func (f *File) setDeadline(t time.Time, ways ...way) error {
	if t.IsZero() && f != nil && f.file != nil && f.state.Load()&(fileClosed|deadlineBits) == 0 {
		return nil // there is none; net/http says so four times with each request
	}
	if err := f.enter("set deadline"); err != nil {
		return err
	}
	defer f.leave()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.refusal(neither); err != nil { // Close has stopped the timeouts
		return f.failed("set deadline", err)
	}
	for _, w := range ways {
		d := &f.deadlines[w]
		if t.IsZero() {
			f.state.And(^w.deadlineBit())
			d.stop()
			continue
		}
		left := time.Until(t)
		if d.at = passed; left > 0 {
			now := f.m.timeouts.now()
			if d.at = now + int64(left); d.at < now {
				d.at = math.MaxInt64
			}
		}
		f.state.Or(w.deadlineBit())
		switch {
		case left <= 0:
			d.stop()
			f.end(os.ErrDeadlineExceeded, w)
		case d.timeout == nil:
			d.timeout = f.m.AfterFunc(left, func() { f.expire(w) })
		default:
			d.timeout.Reset(left)
		}
	}
	return nil
}

// expire ends what is in flight past the deadline of w, unless that has been moved meanwhile.
func (f *file) expire(w way) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refusal(w) == os.ErrDeadlineExceeded {
		f.end(os.ErrDeadlineExceeded, w)
	}
}
