package ring

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

func (r *Ring) register(op uintptr, arg unsafe.Pointer, n int) (int, error) {
	v, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.FD), op, uintptr(arg), uintptr(n), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(v), nil
}

// Enable enables a ring that was set up disabled; the calling thread becomes its single issuer.
func (r *Ring) Enable() error {
	_, err := r.register(registerEnableRings, nil, 0)
	return err
}

// RegisterBuffers registers bufs for OpReadFixed and OpWriteFixed. The kernel pins their pages until UnregisterBuffers; the
// caller keeps them reachable. ENOMEM: the memlock limit.
func (r *Ring) RegisterBuffers(bufs [][]byte) error {
	iov := make([]unix.Iovec, len(bufs))
	for i, b := range bufs {
		iov[i].Base = unsafe.SliceData(b)
		iov[i].SetLen(len(b))
	}
	_, err := r.register(registerBuffers, unsafe.Pointer(unsafe.SliceData(iov)), len(iov))
	runtime.KeepAlive(bufs)
	return err
}

// UnregisterBuffers undoes RegisterBuffers. It waits for the operations that use them.
func (r *Ring) UnregisterBuffers() error {
	_, err := r.register(unregisterBuffers, nil, 0)
	return err
}

// RegisterFiles registers descriptors for SQEFixedFile. The kernel holds the files until UnregisterFiles. EMFILE: the
// descriptor limit.
func (r *Ring) RegisterFiles(fds []int32) error {
	_, err := r.register(registerFiles, unsafe.Pointer(unsafe.SliceData(fds)), len(fds))
	return err
}

// UnregisterFiles undoes RegisterFiles.
func (r *Ring) UnregisterFiles() error {
	_, err := r.register(unregisterFiles, nil, 0)
	return err
}

// RegisterEventFD makes the kernel add to an eventfd for every completion.
func (r *Ring) RegisterEventFD(fd int) error {
	v := int32(fd)
	_, err := r.register(registerEventFD, unsafe.Pointer(&v), 1)
	return err
}

// UnregisterEventFD undoes RegisterEventFD.
func (r *Ring) UnregisterEventFD() error {
	_, err := r.register(unregisterEventFD, nil, 0)
	return err
}

// Opcodes is what a kernel can do: one bit an opcode.
type Opcodes [4]uint64

// Has reports whether the kernel knows opcode op.
func (o *Opcodes) Has(op uint8) bool { return o[op/64]&(1<<(op%64)) != 0 }

const opSupported = 1 << 0

type probeOp struct {
	op, _ uint8
	flags uint16
	_     uint32
}

// Probe asks which opcodes the kernel knows (since Linux 5.6).
func (r *Ring) Probe() (Opcodes, error) {
	var probe struct {
		lastOp, opsLen uint8
		_              uint16
		_              [3]uint32
		ops            [256]probeOp
	}
	var o Opcodes
	if _, err := r.register(registerProbe, unsafe.Pointer(&probe), len(probe.ops)); err != nil {
		return o, err
	}
	for _, p := range probe.ops[:probe.opsLen] {
		if p.flags&opSupported != 0 {
			o[p.op/64] |= 1 << (p.op % 64)
		}
	}
	return o, nil
}

// syncCancelReg is struct io_uring_sync_cancel_reg.
type syncCancelReg struct {
	addr    uint64
	fd      int32
	flags   uint32
	timeout [2]int64 // struct __kernel_timespec
	_       [4]uint64
}

// SyncCancel cancels by user data without a submission entry, and waits until what it found has ended (since Linux 6.0). ENOENT:
// not found; EALREADY: too late.
func (r *Ring) SyncCancel(userData uint64) error {
	arg := syncCancelReg{addr: userData, fd: -1, timeout: [2]int64{-1, -1}} // no timeout
	_, err := r.register(registerSyncCancelReg, unsafe.Pointer(&arg), 1)
	return err
}

// SetMaxWorkers bounds the kernel's worker threads for requests that block: bounded ones (files, block devices) and unbounded
// ones (pipes, terminals), for each NUMA node (since Linux 5.15). Zero leaves one as it is.
func (r *Ring) SetMaxWorkers(bounded, unbounded uint32) error {
	v := [2]uint32{bounded, unbounded}
	_, err := r.register(registerIOWQMaxWorkers, unsafe.Pointer(&v), len(v))
	return err
}
