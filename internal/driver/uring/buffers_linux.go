package uring

import (
	"errors"
	"math/bits"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/ring"
)

// group is what the driver keeps with a driver.Buffers. The lock covers it.
type group struct {
	number uint16
	ring   *ring.BufRing // nil: this kernel has none (before Linux 5.19), and buffers are picked when a request starts
	single bool          // this kernel has no multishot receives (before 6.0)
	lent   int           // buffers that results have named and nobody has given back
	hungry []retry       // requests that found no buffer: in their slots, and not in the kernel
}

// buffersOf is where r gets its buffer from; nil if it has one.
func buffersOf(r *driver.Request) *driver.Buffers {
	if r.Kind != driver.Recv || r.Ext == nil {
		return nil
	}
	return r.Ext.Buffers
}

// AddBuffers implements driver.Driver.
func (d *Driver) AddBuffers(b *driver.Buffers) error {
	if d.owned {
		if err := d.own(); err != nil { // the ring takes registrations from its owner alone
			return err
		}
	}
	d.registering.Lock()
	defer d.registering.Unlock()
	number := uint16(0)
	for d.groups[number] != nil {
		if number++; number == 0 {
			return unix.ENFILE
		}
	}
	g := &group{number: number}
	r, err := d.ring.RegisterBufRing(number, 1<<bits.Len(uint(b.Count-1)))
	switch {
	case err == nil:
		for i := range b.Count {
			r.Add(uint16(i), b.Bytes(i+1))
		}
		r.Advance()
		g.ring = r
		if d.groups == nil {
			d.groups = map[uint16]*group{}
		}
		d.groups[number] = g
	case errors.Is(err, unix.EINVAL) && b.Count <= maxGroup:
		b.FreeAll()
	default:
		return err
	}
	b.Platform = g
	return nil
}

// maxGroup is the most buffers that the kernel takes in one ring.
const maxGroup = 1 << 15

// DropBuffers implements driver.Driver.
func (d *Driver) DropBuffers(b *driver.Buffers) error {
	g := b.Platform.(*group)
	if g.ring == nil {
		return nil
	}
	d.registering.Lock()
	defer d.registering.Unlock()
	d.lock()
	r := g.ring
	g.ring = nil
	d.unlock()
	if err := r.Unregister(); err != nil {
		return err
	}
	delete(d.groups, g.number)
	return nil
}

// GiveBack implements driver.Driver.
func (d *Driver) GiveBack(b *driver.Buffers, buffer int) {
	g := b.Platform.(*group)
	d.lock()
	defer d.unlock()
	if g.ring == nil {
		b.Free(buffer)
		return
	}
	g.ring.Add(uint16(buffer-1), b.Bytes(buffer))
	g.ring.Advance()
	g.lent--
	for _, t := range g.hungry {
		d.putOff(t)
	}
	g.hungry = g.hungry[:0]
}

// starve keeps r, which found no buffer, until one is given back: at once if that has happened meanwhile. The lock is held.
func (d *Driver) starve(r *driver.Request, g *group) {
	if t := (retry{req: r, data: d.data(r)}); g.lent < r.Ext.Buffers.Count {
		d.putOff(t)
	} else {
		d.slots[r.State.Slot-1].hungry = true
		g.hungry = append(g.hungry, t)
	}
}

// feed has r, which waits for a buffer and is cancelled, looked at by retry. The lock is held.
func (d *Driver) feed(r *driver.Request) {
	g := r.Ext.Buffers.Platform.(*group)
	for i, t := range g.hungry {
		if t.req == r {
			g.hungry = append(g.hungry[:i], g.hungry[i+1:]...)
			d.putOff(t)
			return
		}
	}
}

// shot takes in a result of r, which goes on. It returns r if Wait is to return it. The lock is held.
func (d *Driver) shot(r *driver.Request, res int32, flags uint32) *driver.Request {
	s := &r.Ext.Shots
	s.List = append(s.List, driver.Shot{N: int(res), Buffer: d.taken(r, flags)})
	s.More = true
	if s.Listed {
		return nil
	}
	s.Listed = true
	return r
}

// lastShot says that r's result is in N and Err. It returns r if Wait is to return it.
func lastShot(r *driver.Request) *driver.Request {
	s := &r.Ext.Shots
	s.More = false
	if s.Listed {
		return nil
	}
	s.Listed = true
	return r
}

// taken is the buffer that a result names. The lock is held.
func (d *Driver) taken(r *driver.Request, flags uint32) int {
	c := ring.CQE{Flags: flags}
	id, ok := c.BufferID()
	b := buffersOf(r)
	if !ok || b == nil {
		return 0
	}
	b.Platform.(*group).lent++
	return int(id) + 1
}
