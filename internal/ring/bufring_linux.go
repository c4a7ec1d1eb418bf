package ring

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// BufRing is a ring of provided buffers (since Linux 5.19): a submission with SQEBufferSelect, whose BufIndex names the ring's
// group, takes the next of them when its data is there, and its completion says which ([CQE.BufferID]). From Advance until
// that completion a buffer is the kernel's. Like Ring, it is not safe for concurrent use. See io_uring_register_buf_ring(3).
type BufRing struct {
	ring  *Ring
	group uint16
	mem   []byte // what the kernel reads: mapped, so that it is page-aligned and does not move
	slots []bufSlot
	bufs  [][]byte // by number: keeps them reachable
	tail  uint16   // of the ring: written, not all of it published
}

// bufSlot is struct io_uring_buf. The first one's last field is the ring's tail.
type bufSlot struct {
	addr uint64
	len  uint32
	id   uint16
	_    uint16
}

// bufReg is struct io_uring_buf_reg.
type bufReg struct {
	addr    uint64
	entries uint32
	group   uint16
	flags   uint16
	_       [3]uint64
}

// RegisterBufRing registers an empty ring of provided buffers under a group number. Entries is a power of two, at most
// 32768: how many buffers it holds. EINVAL: another number of entries, or a kernel before 5.19; EEXIST: the group is taken.
func (r *Ring) RegisterBufRing(group uint16, entries int) (*BufRing, error) {
	if entries <= 0 || entries > 1<<15 {
		return nil, unix.EINVAL
	}
	mem, err := unix.Mmap(-1, 0, entries*int(unsafe.Sizeof(bufSlot{})), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, err
	}
	// Rule: the mapping is not Go memory, is page-aligned, and lives until Unregister.
	b := &BufRing{ring: r, group: group, mem: mem, bufs: make([][]byte, entries),
		slots: unsafe.Slice((*bufSlot)(unsafe.Pointer(&mem[0])), entries)}
	arg := bufReg{addr: uint64(uintptr(unsafe.Pointer(&mem[0]))), entries: uint32(entries), group: group}
	if _, err := r.register(registerPbufRing, unsafe.Pointer(&arg), 1); err != nil {
		unix.Munmap(mem)
		return nil, err
	}
	return b, nil
}

// Add puts buf into the ring as number id, below the ring's entries. The kernel sees it after Advance. There may be no more
// buffers in the ring than it has entries.
func (b *BufRing) Add(id uint16, buf []byte) {
	b.bufs[id] = buf
	s := &b.slots[int(b.tail)&(len(b.slots)-1)]
	// Rule: buf is held by bufs, and the collector does not move what is on the heap.
	s.addr, s.len = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(buf)))), uint32(len(buf))
	s.id = id
	b.tail++
}

// Advance lets the kernel see every buffer added so far.
func (b *BufRing) Advance() {
	// There is no atomic 16-bit store. The tail shares its aligned word with the first slot's number, which nobody else
	// writes. Rule: the mapping is page-aligned, so that the word is aligned.
	var word [4]byte
	binary.NativeEndian.PutUint16(word[:], b.slots[0].id)
	binary.NativeEndian.PutUint16(word[2:], b.tail)
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&b.slots[0].id)), binary.NativeEndian.Uint32(word[:]))
}

// Buffer is the buffer number id.
func (b *BufRing) Buffer(id uint16) []byte { return b.bufs[id] }

// Unregister takes the ring back. The buffers in it are the caller's again; one that a submission has taken is the kernel's
// until its completion. Call once.
func (b *BufRing) Unregister() error {
	arg := bufReg{group: b.group}
	if _, err := b.ring.register(unregisterPbufRing, unsafe.Pointer(&arg), 1); err != nil {
		return err
	}
	mem := b.mem
	b.mem, b.slots = nil, nil
	return unix.Munmap(mem)
}

// BufferID is the number of the provided buffer that a submission with SQEBufferSelect took.
func (c *CQE) BufferID() (id uint16, ok bool) {
	return uint16(c.Flags >> cqeBufferShift), c.Flags&CQEFBuffer != 0
}
