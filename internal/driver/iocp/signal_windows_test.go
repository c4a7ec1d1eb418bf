package iocp

import (
	"sync"
	"testing"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/driver/drivertest"
)

// likePackets are wait completion packets made of goroutines, for systems that have none. What they answer is what Windows does: whose
// NtCancelWaitCompletionPacket, told not to remove a packet, takes back a wait that has not been satisfied, and nothing else.
type likePackets struct {
	mu    sync.Mutex
	waits map[windows.Handle]*likeWait // by their packet, an event
}

type likeWait struct {
	satisfied bool
	over      chan bool // satisfied is final
}

func newLikePackets() *waitPackets {
	p := &likePackets{waits: map[windows.Handle]*likeWait{}}
	return &waitPackets{p.create, p.associate, p.cancel}
}

func (p *likePackets) create() (windows.Handle, error) { return windows.CreateEvent(nil, 0, 0, nil) }

var postQueuedCompletionStatus = windows.NewLazySystemDLL("kernel32.dll").NewProc("PostQueuedCompletionStatus")

func (p *likePackets) associate(packet, port, object windows.Handle, key, overlapped uintptr) error {
	var own windows.Handle // the system keeps the object, whatever becomes of its handle
	self := windows.CurrentProcess()
	if err := windows.DuplicateHandle(self, object, self, &own, 0, false, windows.DUPLICATE_SAME_ACCESS); err != nil {
		return err
	}
	w := &likeWait{over: make(chan bool)}
	p.mu.Lock()
	p.waits[packet] = w
	p.mu.Unlock()
	go func() {
		i, err := windows.WaitForMultipleObjects([]windows.Handle{own, packet}, false, windows.INFINITE)
		if err != nil {
			panic(err)
		}
		windows.CloseHandle(own)
		w.satisfied = i == windows.WAIT_OBJECT_0
		close(w.over)
		if w.satisfied {
			postQueuedCompletionStatus.Call(uintptr(port), 0, key, overlapped)
		}
	}()
	return nil
}

func (p *likePackets) cancel(packet windows.Handle) (before bool) {
	p.mu.Lock()
	w := p.waits[packet]
	p.mu.Unlock()
	windows.SetEvent(packet)
	<-w.over
	windows.ResetEvent(packet)
	return !w.satisfied
}

// TestHazard28Signals: the ways to wait for what is signalled that the system would not choose.
func TestHazard28Signals(t *testing.T) {
	for name, packets := range map[string]func() *waitPackets{
		"packets": newLikePackets,
		"waiters": func() *waitPackets { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			drivertest.Run(t, func(o driver.Options) (driver.Driver, error) {
				d, err := Open(o)
				if err == nil {
					d.packets = packets()
				}
				return d, err
			}, "PollEvent", "PollEventThatResetsItself", "PollSemaphore", "PollManyEvents", "PollsOfOneEvent", "PollOfAClosedEvent",
				"Law3CancelPollOfASignal", "Law3CancelPollOfASignalBeforeSubmit", "Law3CancelLosesNoSignal", "Law3CancelAllPollsOfSignals",
				"Law8WhatCannotBeSignalled")
		})
	}
}

// TestSignalRefused: what the system says of a packet is the request's error, and nothing is left in flight.
func TestSignalRefused(t *testing.T) {
	inBothModes(t, func(t *testing.T, d *Driver) {
		const why = windows.ERROR_NOT_ENOUGH_MEMORY
		refused := newLikePackets()
		refused.associate = func(packet, port, object windows.Handle, key, overlapped uintptr) error { return why }
		uncreated := newLikePackets()
		uncreated.create = func() (windows.Handle, error) { return 0, why }
		h, err := windows.CreateEvent(nil, 1, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer windows.CloseHandle(h)
		for _, d.packets = range []*waitPackets{uncreated, refused} { // a block that has one keeps it
			for range 3 {
				r := &driver.Request{Kind: driver.Poll, FD: driver.Handle(h), Arg: pollIn}
				if submit(t, d, r, func() {}); r.Err != why || r.State != (driver.Private{}) {
					t.Errorf("%v, %+v", r.Err, r.State)
				}
			}
		}
	})
}
