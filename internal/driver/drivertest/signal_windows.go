package drivertest

import (
	"math/rand/v2"
	"os/exec"
	"runtime"
	"time"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/win32"
	"github.com/ringport/ringport/internal/win32/win32test"
)

// Polls of what is signalled. Windows: fact 28.
var signalTests = []test{
	{name: "PollEvent", run: pollEvent},
	{name: "PollEventThatResetsItself", run: pollAutoEvent},
	{name: "PollSemaphore", run: pollSemaphore},
	{name: "PollProcess", run: pollProcess},
	{name: "PollThread", run: pollThread},
	{name: "PollTimer", run: pollTimer},
	{name: "PollManyEvents", run: pollManyEvents},
	{name: "PollsOfOneEvent", run: pollsOfOneEvent},
	{name: "PollOfAClosedEvent", run: pollClosedEvent},
	{name: "Law3CancelPollOfASignal", run: cancelSignal},
	{name: "Law3CancelPollOfASignalBeforeSubmit", run: cancelSignalBefore},
	{name: "Law3CancelLosesNoSignal", run: cancelSignalRace},
	{name: "Law3CancelAllPollsOfSignals", run: cancelAllSignals},
	{name: "Law8WhatCannotBeSignalled", run: badSignals},
}

// event makes an event, not set. The end of the test closes it.
func (f *fixture) event(resetsItself bool) windows.Handle {
	f.Helper()
	manual := uint32(1)
	if resetsItself {
		manual = 0
	}
	return f.made(windows.CreateEvent(nil, manual, 0, nil))
}

// made is a new handle, which the end of the test closes. No driver needs to know it.
func (f *fixture) made(h windows.Handle, err error) windows.Handle {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { windows.CloseHandle(h) })
	return h
}

func (f *fixture) set(h windows.Handle) {
	f.Helper()
	if err := windows.SetEvent(h); err != nil {
		f.Error(err)
	}
}

// isSet asks, and takes the signal if waiting does.
func (f *fixture) isSet(h windows.Handle) bool {
	f.Helper()
	state, err := windows.WaitForSingleObject(h, 0)
	if err != nil {
		f.Fatal(err)
	}
	return state == windows.WAIT_OBJECT_0
}

// signalled waits for q.
func (f *fixture) signalled(q *driver.Request) {
	f.Helper()
	if f.await(q); q.N != pollIn || q.Err != nil {
		f.Fatalf("%#x, %v", q.N, q.Err)
	}
}

// pollEvent: one that stays set is ready again and again.
func pollEvent(f *fixture) {
	h := f.event(false)
	q := pollOf(driver.Handle(h), pollIn)
	for range 20 {
		f.start(again2(q))
		f.stay(q)
		f.set(h)
		f.signalled(q)
		for range 3 {
			f.must(pollOf(driver.Handle(h), pollIn), pollIn)
		}
		if err := windows.ResetEvent(h); err != nil {
			f.Fatal(err)
		}
	}
}

// pollAutoEvent: each signal is for one poll.
func pollAutoEvent(f *fixture) {
	h := f.event(true)
	a, b := pollOf(driver.Handle(h), pollIn), pollOf(driver.Handle(h), pollIn)
	f.start(a)
	f.start(b)
	f.stay(a, b)
	for range 50 {
		f.set(h)
		for !f.isBack(a) && !f.isBack(b) {
			f.collect(-1)
		}
		if f.isBack(b) {
			a, b = b, a
		}
		f.stay(b)
		f.signalled(a)
		f.start(again2(a))
		f.stay(a, b)
	}
	f.set(h)
	for !f.isBack(a) && !f.isBack(b) {
		f.collect(-1)
	}
	f.d.CancelAll()
	f.await(a, b)
	if f.isSet(h) || (a.Err == nil) == (b.Err == nil) {
		f.Errorf("%v, %v", a.Err, b.Err)
	}
	f.set(h)
	f.must(pollOf(driver.Handle(h), pollIn), pollIn) // set before
	if f.isSet(h) {
		f.Error("the signal was not used up")
	}
}

func pollSemaphore(f *fixture) {
	h := f.made(win32test.CreateSemaphore(0, 100))
	var all []*driver.Request
	for range 10 {
		q := pollOf(driver.Handle(h), pollIn)
		f.start(q)
		all = append(all, q)
	}
	f.stay(all...)
	if err := win32test.ReleaseSemaphore(h, 4); err != nil {
		f.Fatal(err)
	}
	for f.inFlight() > 6 {
		f.collect(-1)
	}
	for range 3 {
		f.must(&driver.Request{Kind: driver.Nop}, 0)
	}
	if n := f.inFlight(); n != 6 {
		f.Fatalf("%d wait", n)
	}
	if err := win32test.ReleaseSemaphore(h, 10); err != nil {
		f.Fatal(err)
	}
	f.drain()
	for range 4 {
		f.must(pollOf(driver.Handle(h), pollIn), pollIn)
	}
	q := pollOf(driver.Handle(h), pollIn)
	f.start(q)
	f.stay(q)
	f.cancel(q)
	f.canceled(q)
}

func pollProcess(f *fixture) {
	cmd := exec.Command("cmd.exe", "/c", "set /p line=")
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		f.Fatal(err)
	}
	h := f.made(windows.OpenProcess(windows.SYNCHRONIZE, false, uint32(cmd.Process.Pid)))
	q := pollOf(driver.Handle(h), pollIn)
	f.start(q)
	f.stay(q)
	in.Close()
	f.signalled(q)
	f.must(pollOf(driver.Handle(h), pollIn), pollIn) // it stays so
	cmd.Wait()
}

// mainThread is the one that initializes packages. It does not end before the process.
var mainThread = windows.GetCurrentThreadId()

// newThread is a thread that ends when end is closed: with its goroutine, which is locked to it for good.
func newThread(end <-chan bool) (id uint32) {
	ids := make(chan uint32)
	go func() {
		runtime.LockOSThread()
		id := windows.GetCurrentThreadId()
		if id == mainThread {
			id = newThread(end) // another one, while this is kept
		}
		ids <- id
		<-end
	}()
	return <-ids
}

func pollThread(f *fixture) {
	end := make(chan bool)
	h := f.made(windows.OpenThread(windows.SYNCHRONIZE, false, newThread(end)))
	q := pollOf(driver.Handle(h), pollIn)
	f.start(q)
	f.stay(q)
	close(end)
	f.signalled(q)
}

func pollTimer(f *fixture) {
	const all = windows.SYNCHRONIZE | 2 // TIMER_MODIFY_STATE
	h := f.made(win32.CreateWaitableTimerEx(nil, nil, 0, all))
	q := pollOf(driver.Handle(h), pollIn)
	f.start(q)
	f.stay(q)
	if err := win32test.SetTimer(h, time.Millisecond, 1); err != nil {
		f.Fatal(err)
	}
	for range 10 { // it resets itself, and expires again
		f.signalled(q)
		f.start(again2(q))
	}
	f.cancel(q)
	f.await(q)
}

// pollManyEvents: more than one call can wait for, set in any order.
func pollManyEvents(f *fixture) {
	const n = 200
	var events []windows.Handle
	var polls []*driver.Request
	for range n {
		h := f.event(true)
		q := pollOf(driver.Handle(h), pollIn)
		f.start(q)
		events, polls = append(events, h), append(polls, q)
	}
	f.stay(polls...)
	for range 3 {
		for _, i := range rand.Perm(n) {
			f.set(events[i])
			f.signalled(polls[i])
			f.start(again2(polls[i]))
		}
	}
	f.stay(polls...)
	for i, q := range polls {
		if i%2 == 0 {
			f.cancel(q)
		} else {
			f.set(events[i])
		}
	}
	for i, q := range polls {
		if i%2 == 0 {
			f.canceled(q)
		} else {
			f.signalled(q)
		}
	}
}

func pollsOfOneEvent(f *fixture) {
	h := f.event(false)
	var all []*driver.Request
	for range 20 {
		q := pollOf(driver.Handle(h), pollIn)
		f.start(q)
		all = append(all, q)
	}
	f.stay(all...)
	f.cancel(all[7])
	f.canceled(all[7])
	f.set(h)
	for i, q := range all {
		if i != 7 {
			f.signalled(q)
		}
	}
}

// pollClosedEvent: nobody can set it any more. Its poll waits on, and takes nothing from what has the number next.
func pollClosedEvent(f *fixture) {
	h, err := windows.CreateEvent(nil, 1, 0, nil)
	if err != nil {
		f.Fatal(err)
	}
	q := pollOf(driver.Handle(h), pollIn)
	f.start(q)
	f.stay(q)
	if err := windows.CloseHandle(h); err != nil {
		f.Fatal(err)
	}
	other := f.event(true) // what waits beside it goes on
	beside := pollOf(driver.Handle(other), pollIn)
	f.start(beside)
	f.set(other)
	f.signalled(beside)
	f.cancel(q)
	f.canceled(q)
}

func cancelSignal(f *fixture) {
	h := f.event(true)
	for i := range 100 {
		q := pollOf(driver.Handle(h), pollIn)
		f.start(q)
		if i%2 == 0 {
			f.stay(q)
		}
		f.cancel(q)
		f.cancel(q)
		f.canceled(q)
		f.set(h)
		if !f.isSet(h) {
			f.Fatal("the cancelled wait has taken the signal")
		}
	}
}

func cancelSignalBefore(f *fixture) {
	h := f.event(true)
	for range 10 {
		q := pollOf(driver.Handle(h), pollIn)
		f.cancel(q)
		f.start(q)
		f.canceled(q)
	}
}

// cancelSignalRace: the signal comes while the poll is cancelled. It is delivered, or still there.
func cancelSignalRace(f *fixture) {
	event, semaphore := f.event(true), f.made(win32test.CreateSemaphore(0, 1))
	ready := 0
	for i := range 1000 {
		h, set := event, windows.SetEvent
		if i%2 == 1 {
			h, set = semaphore, func(h windows.Handle) error { return win32test.ReleaseSemaphore(h, 1) }
		}
		q := pollOf(driver.Handle(h), pollIn)
		f.start(q)
		f.flush()
		done := make(chan error, 1)
		go func() { done <- set(h) }()
		for range i % 7 {
			runtime.Gosched()
		}
		f.cancel(q)
		f.await(q)
		if err := <-done; err != nil {
			f.Fatal(err)
		}
		delivered := q.Err == nil && q.N == pollIn
		if !delivered && q.Err != driver.ErrCanceled {
			f.Fatalf("%#x, %v", q.N, q.Err)
		}
		if delivered {
			ready++
		}
		if f.isSet(h) == delivered {
			f.Fatalf("round %d: delivered %v, and set %v", i, delivered, !delivered)
		}
	}
	f.Logf("%d of 1000 signals were faster than the cancel", ready)
}

func cancelAllSignals(f *fixture) {
	var all []*driver.Request
	for range 100 {
		q := pollOf(driver.Handle(f.event(true)), pollIn)
		f.start(q)
		all = append(all, q)
	}
	f.stay(all...)
	f.d.CancelAll()
	f.canceled(all...)
}

func badSignals(f *fixture) {
	h := f.event(false)
	f.set(h)
	f.fails(pollOf(driver.Handle(h), pollOut), driver.ErrUnsupported)
	f.fails(pollOf(driver.Handle(h), pollIn|pollOut), driver.ErrUnsupported)
	f.fails(pollOf(driver.Handle(h), 0), driver.ErrUnsupported)
	q := pollOf(driver.Handle(f.made(windows.CreateMutex(nil, false, nil))), pollIn)
	if f.fails(q, driver.ErrUnsupported); !saysWhy(q.Err, "a mutex") {
		f.Errorf("%v", q.Err)
	}
	var mute windows.Handle // nobody may wait for it
	self := windows.CurrentProcess()
	err := windows.DuplicateHandle(self, h, self, &mute, windows.EVENT_MODIFY_STATE, false, 0)
	f.made(mute, err)
	f.fails(pollOf(driver.Handle(mute), pollIn), windows.ERROR_ACCESS_DENIED)
	f.fails(pollOf(driver.Handle(self), pollIn), windows.ERROR_INVALID_HANDLE)
}
