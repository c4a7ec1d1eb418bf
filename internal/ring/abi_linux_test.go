package ring

import (
	"testing"
	"unsafe"
)

// TestABI pins what the kernel's header io_uring.h says of each structure: its size, and where the fields are that others could push
// away.
func TestABI(t *testing.T) {
	var (
		sqe    SQE
		cqe    CQE
		params Params
		sq     sqOffsets
		cq     cqOffsets
		events getEventsArg
		probe  probeOp
		cancel syncCancelReg
		slot   bufSlot
		reg    bufReg
	)
	for _, c := range []struct {
		what      string
		got, want uintptr
	}{
		{"io_uring_sqe", unsafe.Sizeof(sqe), 64},
		{"io_uring_sqe.fd", unsafe.Offsetof(sqe.FD), 4},
		{"io_uring_sqe.off", unsafe.Offsetof(sqe.Off), 8},
		{"io_uring_sqe.addr", unsafe.Offsetof(sqe.Addr), 16},
		{"io_uring_sqe.len", unsafe.Offsetof(sqe.Len), 24},
		{"io_uring_sqe.rw_flags", unsafe.Offsetof(sqe.OpFlags), 28},
		{"io_uring_sqe.user_data", unsafe.Offsetof(sqe.UserData), 32},
		{"io_uring_sqe.buf_index", unsafe.Offsetof(sqe.BufIndex), 40},
		{"io_uring_sqe.splice_fd_in", unsafe.Offsetof(sqe.SpliceFD), 44},
		{"io_uring_sqe.addr3", unsafe.Offsetof(sqe.Addr3), 48},
		{"io_uring_cqe", unsafe.Sizeof(cqe), 16},
		{"io_uring_cqe.res", unsafe.Offsetof(cqe.Res), 8},
		{"io_uring_cqe.flags", unsafe.Offsetof(cqe.Flags), 12},
		{"io_uring_params", unsafe.Sizeof(params), 120},
		{"io_uring_params.features", unsafe.Offsetof(params.Features), 20},
		{"io_uring_params.sq_off", unsafe.Offsetof(params.SQOff), 40},
		{"io_uring_params.cq_off", unsafe.Offsetof(params.CQOff), 80},
		{"io_sqring_offsets", unsafe.Sizeof(sq), 40},
		{"io_sqring_offsets.array", unsafe.Offsetof(sq.Array), 24},
		{"io_cqring_offsets", unsafe.Sizeof(cq), 40},
		{"io_cqring_offsets.cqes", unsafe.Offsetof(cq.CQEs), 20},
		{"io_uring_getevents_arg", unsafe.Sizeof(events), 24},
		{"io_uring_getevents_arg.ts", unsafe.Offsetof(events.ts), 16},
		{"io_uring_probe_op", unsafe.Sizeof(probe), 8},
		{"io_uring_probe_op.flags", unsafe.Offsetof(probe.flags), 2},
		{"io_uring_sync_cancel_reg", unsafe.Sizeof(cancel), 64},
		{"io_uring_sync_cancel_reg.timeout", unsafe.Offsetof(cancel.timeout), 16},
		{"io_uring_buf", unsafe.Sizeof(slot), 16},
		{"io_uring_buf.bid", unsafe.Offsetof(slot.id), 12},
		{"io_uring_buf_reg", unsafe.Sizeof(reg), 40},
		{"io_uring_buf_reg.bgid", unsafe.Offsetof(reg.group), 12},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, the kernel says %d", c.what, c.got, c.want)
		}
	}
}
