package iocp

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/win32"
	"github.com/ringport/ringport/internal/win32/win32test"
)

// TestSeedCbNoneTable has a row for each of the seed's table under CbNone, in its order, then those that it leaves open.
func TestSeedCbNoneTable(t *testing.T) {
	const (
		success = windows.STATUS_SUCCESS
		pends   = windows.STATUS_PENDING
		refused = windows.ERROR_ACCESS_DENIED
	)
	for _, c := range []struct {
		seed   string
		status windows.NTStatus
		errno  syscall.Errno
		ok     bool
		want   how
	}{
		{"status SUCCESS", success, 0, true, done},
		{"status END_OF_FILE", windows.STATUS_END_OF_FILE, 0, true, done},
		{"MORE_DATA", windows.STATUS_BUFFER_OVERFLOW, windows.ERROR_MORE_DATA, false, done},
		{"SUCCESS", windows.STATUS_BUFFER_OVERFLOW, windows.ERROR_SUCCESS, true, done},
		{"IO_PENDING", pends, windows.ERROR_IO_PENDING, false, inProgress},
		{"IO_INCOMPLETE", pends, windows.ERROR_IO_INCOMPLETE, false, incomplete},
		{"HANDLE_EOF", pends, windows.ERROR_HANDLE_EOF, false, done},
		{"BROKEN_PIPE", pends, windows.ERROR_BROKEN_PIPE, false, done},
		{"NO_MORE_ITEMS", pends, windows.ERROR_NO_MORE_ITEMS, false, done},
		{"OPERATION_ABORTED", pends, windows.ERROR_OPERATION_ABORTED, false, done},
		{"not ret", pends, refused, false, failed},
		{"STATUS_PENDING", pends, refused, true, inProgress},
		{"otherwise", windows.STATUS_BUFFER_OVERFLOW, refused, true, inProgress},

		// The call says that it succeeded, with no last error, and its status that it goes on: ReadDirectoryChangesW does so.
		// The seed's order takes it for done, unless another last error is left over.
		{"SUCCESS, but STATUS_PENDING", pends, windows.ERROR_SUCCESS, true, inProgress},
		// The call was refused before anything was written to the OVERLAPPED, which begins as all zeros: status SUCCESS. The seed takes
		// it for done.
		{"not ret, nothing written", success, refused, false, failed},
		// It was over before anybody looked at the status. The seed takes the result at once, and ignores the packet later; here
		// the packet is waited for, and so the OVERLAPPED is never used again before it.
		{"IO_PENDING, over meanwhile", success, windows.ERROR_IO_PENDING, false, inProgress},
		{"HANDLE_EOF, nothing written", success, windows.ERROR_HANDLE_EOF, false, done},
	} {
		if got := classify(c.status, c.errno, c.ok); got != c.want {
			t.Errorf("%s: %d, want %d", c.seed, got, c.want)
		}
	}
}

// TestSettle: what the start function says counts, and what it leaves open is found out.
func TestSettle(t *testing.T) {
	refused, refusedCall := errors.New("refused"), os.NewSyscallError("ReadFile", windows.ERROR_ACCESS_DENIED)
	over := windows.Overlapped{InternalHigh: 7}
	for _, c := range []struct {
		name string
		s    Started
		ov   windows.Overlapped
		want Started
	}{
		{"Done", Done(3), over, Started{how: done, n: 3}},
		{"Pending", Pending(), over, Started{how: inProgress}},
		{"Incomplete", Incomplete(), over, Started{how: incomplete}},
		{"Failed", Failed(refused), over, Started{how: failed, err: refused}},
		{"Unchecked", Unchecked(nil), over, Started{how: done, n: 7}},
		{"Unchecked, more data", Unchecked(windows.ERROR_MORE_DATA), over, Started{how: done, n: 7, err: windows.ERROR_MORE_DATA}},
		{"Unchecked, a warning as status", Unchecked(nil), windows.Overlapped{Internal: uintptr(windows.STATUS_BUFFER_OVERFLOW), InternalHigh: 4},
			Started{how: done, n: 4, err: windows.ERROR_MORE_DATA}},
		{"Unchecked, pending", Unchecked(windows.ERROR_IO_PENDING), over, Started{how: inProgress, err: windows.ERROR_IO_PENDING}},
		{"Unchecked, refused", Unchecked(windows.ERROR_ACCESS_DENIED), windows.Overlapped{}, Started{how: failed, err: windows.ERROR_ACCESS_DENIED}},
		{"Unchecked, wrapped, pending", Unchecked(os.NewSyscallError("ReadFile", windows.ERROR_IO_PENDING)), over,
			Started{how: inProgress, err: windows.ERROR_IO_PENDING}},
		{"Unchecked, wrapped, refused", Unchecked(refusedCall), over, Started{how: failed, err: refusedCall}},
		{"Unchecked, a native call is pending", Unchecked(windows.STATUS_PENDING), over, Started{how: inProgress, err: windows.ERROR_IO_PENDING}},
		{"Unchecked, a native call is done", Unchecked(windows.STATUS_SUCCESS), over, Started{how: done, n: 7}},
		{"Unchecked, a native call is refused", Unchecked(windows.STATUS_ACCESS_DENIED), over,
			Started{how: failed, err: windows.ERROR_ACCESS_DENIED}},
	} {
		if got := c.s.settle(&c.ov, false); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	for _, c := range []struct{ s, want Started }{ // where a packet comes
		{Unchecked(nil), Pending()},
		{Unchecked(refused), Failed(refused)},
		{Done(3), Done(3)},
	} {
		if got := c.s.settle(&over, true); got != c.want {
			t.Errorf("%+v: %+v, want %+v", c.s, got, c.want)
		}
	}
}

// TestSuccessInProgress: ReadDirectoryChangesW reports success while it is in progress, and may be over when its caller looks at the status. Its
// packet comes all the same, and is not the next call's.
func TestSuccessInProgress(t *testing.T) {
	inBothModes(t, func(t *testing.T, d *Driver) {
		dir := t.TempDir()
		h, err := win32.Open(dir, windows.FILE_LIST_DIRECTORY, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS|windows.FILE_FLAG_OVERLAPPED)
		if err != nil {
			t.Fatal(err)
		}
		defer windows.CloseHandle(h)
		if err := d.Attach(driver.Handle(h)); err != nil {
			t.Fatal(err)
		}
		changes := make(win32test.Changes, 1024)
		name := "" // of what is made before the call's caller looks
		r := &driver.Request{Kind: driver.Raw, FD: driver.Handle(h), Ext: &driver.Ext{Raw: func(ov *windows.Overlapped) Started {
			err := changes.Read(h, ov)
			if name == "" {
				return Unchecked(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
				t.Error(err)
			}
			for status := windows.STATUS_PENDING; status == windows.STATUS_PENDING; runtime.Gosched() {
				if status = windows.NTStatus(atomic.LoadUintptr(&ov.Internal)); status == untouched {
					status = windows.STATUS_PENDING
				}
			}
			return Unchecked(err)
		}}}
		for i := range 3 {
			r.Asked.Store(false)
			name = "new" + strconv.Itoa(i)
			if !d.Submit(r) {
				awaits(t, d, r)
			}
			if r.N == 0 || r.Err != nil || changes.Name() != name {
				t.Fatalf("%d, %v, %q", r.N, r.Err, changes.Name())
			}
			name = ""
			starts(t, d, r)
			cancel(d, r)
			if awaits(t, d, r); r.N != 0 || r.Err != driver.ErrCanceled {
				t.Fatalf("of the next call: %d, %v", r.N, r.Err)
			}
		}
	})
}

func TestOutcomeOfRaw(t *testing.T) {
	if n, err := outcome(driver.Raw, windows.ERROR_BROKEN_PIPE, 2, true); n != 2 || err != windows.ERROR_BROKEN_PIPE {
		t.Errorf("%d, %v", n, err)
	}
}

// TestNothingWrittenIsNotSuccess: a native call that is pending leaves the OVERLAPPED as it is, and so does Wine's LockFileEx, which does not have the
// lock then. The worker that made the call waits until there is a status.
func TestNothingWrittenIsNotSuccess(t *testing.T) {
	inBothModes(t, func(t *testing.T, d *Driver) {
		h, _ := newPipe(t) // not attached
		calls := make(chan *windows.Overlapped, 1)
		r := &driver.Request{Kind: driver.Raw, FD: h, Ext: &driver.Ext{Raw: func(ov *windows.Overlapped) Started {
			calls <- ov
			return Unchecked(windows.ERROR_IO_PENDING)
		}}}
		starts(t, d, r)
		ov := <-calls
		for range 2 { // the event that has been set means nothing without a status
			if err := windows.SetEvent(ov.HEvent &^ 1); err != nil {
				t.Fatal(err)
			}
			nop := &driver.Request{Kind: driver.Fadvise, FD: h}
			starts(t, d, nop)
			awaits(t, d, nop)
		}
		ov.InternalHigh = 7
		atomic.StoreUintptr(&ov.Internal, uintptr(windows.STATUS_SUCCESS))
		if err := windows.SetEvent(ov.HEvent &^ 1); err != nil {
			t.Fatal(err)
		}
		if awaits(t, d, r); r.N != 7 || r.Err != nil {
			t.Errorf("%d, %v", r.N, r.Err)
		}
	})
}

// TestHazard02AbandonedCall: the start function panics when it has made its call. The system has its OVERLAPPED and buffer until the packet comes, and so
// long the block keeps both; Close waits for that.
func TestHazard02AbandonedCall(t *testing.T) {
	inBothModes(t, func(t *testing.T, d *Driver) {
		h, _ := newPipe(t)
		if err := d.Attach(h); err != nil {
			t.Fatal(err)
		}
		var ov *windows.Overlapped
		r := &driver.Request{Kind: driver.Raw, FD: h, Ext: &driver.Ext{Raw: func(o *windows.Overlapped) Started {
			ov = o
			if err := windows.ReadFile(windows.Handle(h), make([]byte, 4), new(uint32), o); err != windows.ERROR_IO_PENDING {
				t.Error(err)
			}
			panic("start")
		}}}
		func() {
			defer func() {
				if recover() != "start" {
					t.Error("the panic was swallowed")
				}
			}()
			d.Submit(r)
			d.Flush()
		}()
		b := d.byAddress[uintptr(unsafe.Pointer(ov))]
		if b.where != limbo || b.owed != r.Ext || d.owed != 1 || r.State != (driver.Private{}) {
			t.Errorf("place %d, owed %v and %d", b.where, b.owed, d.owed)
		}
		if d.owned {
			if awaits(t, d, r); r.Err != ErrNoReturn {
				t.Errorf("%d, %v", r.N, r.Err)
			}
		}
		// Close waits for the packet, if that has not come yet.
	})
}
