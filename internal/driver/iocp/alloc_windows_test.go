package iocp

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/win32"
)

// TestTransfersDoNotAllocate: in the steady state, in both modes.
func TestTransfersDoNotAllocate(t *testing.T) {
	const vecLength = 16
	fileBytes := vecLength * pageBytes
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, fileBytes), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, owned := range []bool{false, true} {
		d, err := Open(driver.Options{Owned: owned})
		if err != nil {
			t.Fatal(err)
		}
		batch := make([]*driver.Request, 8)
		do := func(r *driver.Request) {
			if d.Submit(r) {
				return
			}
			for {
				n, err := d.Wait(batch, -1)
				if err != nil {
					t.Fatal(err)
				}
				if n > 0 {
					return
				}
			}
		}
		open := &driver.Request{Kind: driver.Open, FD: driver.CurrentDir, Arg: uint32(os.O_RDWR), Ext: &driver.Ext{Path: path}}
		if do(open); open.Err != nil {
			t.Fatal(open.Err)
		}
		h := driver.Handle(open.N)
		direct := &driver.Request{Kind: driver.Open, FD: driver.CurrentDir, Arg: uint32(os.O_RDWR) | windows.FILE_FLAG_NO_BUFFERING,
			Ext: &driver.Ext{Path: path}}
		if do(direct); direct.Err != nil {
			t.Fatal(direct.Err)
		}
		pages := (&block{}).room(pageBytes * vecLength)
		var whole, halves [][]byte
		for i := range vecLength {
			whole = append(whole, pages[i*pageBytes:][:pageBytes])
			halves = append(halves, pages[i*pageBytes:][:pageBytes/2])
		}
		if err := win32.StartWinsock(); err != nil {
			t.Fatal(err)
		}
		socket, err := windows.Socket(windows.AF_INET, windows.SOCK_DGRAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer windows.Closesocket(socket)
		if err := d.Attach(driver.Handle(socket)); err != nil {
			t.Fatal(err)
		}
		event, err := windows.CreateEvent(nil, 1, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer windows.CloseHandle(event)
		for name, r := range map[string]*driver.Request{
			"Read":                 {Kind: driver.Read, FD: h, Buf: make([]byte, fileBytes)},
			"Readv":                {Kind: driver.Readv, FD: h, Ext: &driver.Ext{Vec: whole}},
			"Readv, unbuffered":    {Kind: driver.Readv, FD: driver.Handle(direct.N), Ext: &driver.Ext{Vec: whole}},
			"Readv, half of pages": {Kind: driver.Readv, FD: driver.Handle(direct.N), Ext: &driver.Ext{Vec: halves}},
			"Writev":               {Kind: driver.Writev, FD: driver.Handle(direct.N), Ext: &driver.Ext{Vec: whole}},
			"Poll":                 {Kind: driver.Poll, FD: driver.Handle(socket), Arg: pollOut},
			"Poll of an event":     {Kind: driver.Poll, FD: driver.Handle(event), Arg: pollIn},
		} {
			want := r.Wanted()
			if r.Kind == driver.Poll {
				want = int(r.Arg)
			}
			if n := testing.AllocsPerRun(200, func() { do(r) }); n != 0 || r.N != want || r.Err != nil {
				t.Errorf("owned %v: %s: %v allocations, %d, %v", owned, name, n, r.N, r.Err)
			}
		}
		do(&driver.Request{Kind: driver.Close, FD: h})
		do(&driver.Request{Kind: driver.Close, FD: driver.Handle(direct.N)})
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}
