package ringport

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringport/ringport/internal/patience"
)

// The manager is modelled on GHC's WinIO manager (GHC.Event.Windows). Each of its names that has a counterpart here has a test
// that shows it, named after it or listed in seedRows.

// seedRow are names of the seed, and the tests of what became of them.
type seedRow struct {
	names string
	tests []func(*testing.T)
}

// seedRows are those of every system. On Windows seed_overlapped_windows_test.go adds its own.
var seedRows = []seedRow{
	{"Manager", []func(*testing.T){TestLaw10_NothingGlobal, TestSeed_outstandingRequests}},
	{"getSystemManager", []func(*testing.T){TestSeed_getSystemManager}},
	{"startIOManagerThread, wakeupIOManager", []func(*testing.T){TestSeed_getSystemManager, TestLaw5_EverythingGetsAttention}},
	{"interruptSystemManager", []func(*testing.T){TestSeed_interruptSystemManager, TestLaw5_WakeIsNeverLost}},
	{"processRemoteCompletion", []func(*testing.T){TestSeed_processRemoteCompletion}},
	{"io_mngr_loop, step", []func(*testing.T){TestTimeout_BeforeCompletions, TestTimeout_EndsTheWait, TestLaw4_CloseDrains}},
	{"notifyRunning, notifyWaiting", []func(*testing.T){TestWorkers_GrowAndShrink, TestWorkers_AtTheLimit, TestLaw7_BlockedCallbacks}},
	{"completion array", []func(*testing.T){TestBatch_DoublesWhenFilled}},
	{"associateHandle, associateHandle'", []func(*testing.T){TestSeed_associateHandle, TestBadInput_Handles}},
	{"withOverlappedEx, withOverlapped", []func(*testing.T){TestLaw3_Causes, TestLaw2_HeldUntilCompletion}},
	{"CompletionCallback, IOResult", []func(*testing.T){TestLaw8_ErrorsSayWhatOnWhatAndWhy, TestLaw9_OneContract}},
	{"withException, ioSuccess, ioFailed, ioFailedAny, getLastError, throwWinErr", []func(*testing.T){TestLaw8_ErrorsSayWhatOnWhatAndWhy}},
	{"exchangePtr, nullReq", []func(*testing.T){TestLaw1_ExactlyOnce, TestLaw1_OneWinner, TestStress}},
	{"addRequest, removeRequest, outstandingRequests", []func(*testing.T){TestSeed_outstandingRequests}},
	{"TimeoutCallback, TimeoutKey, Seconds, registerTimeout, updateTimeout, unregisterTimeout", []func(*testing.T){TestTimeout_FiresOnce, TestTimeout_TooFarIsNever,
		TestTimeout_ReportsWhetherPending, TestTimeout_AgainstAModel, TestTimeout_EveryArmingEndsOnce,
		TestTimeout_WakesOnlyForTheEarliest, TestTimeout_PanicIsNotSwallowed}},
	{"runExpiredTimeouts, fromTimeout", []func(*testing.T){TestTimeout_Order, TestTimeout_NextTimeoutIsExact, TestTimeout_EndsTheWait}},
	{"ConsoleEvent, start_console_handler, toWin32ConsoleEvent, win32ConsoleHandler", []func(*testing.T){TestHandleConsole_Events,
		TestHandleConsole_Hangs, TestHandleConsole_PanicIsNotSwallowed}},
	{"registerHandle, unregisterHandle", []func(*testing.T){TestWatch_Level, TestWatch_OneShot, TestWatch_Events, TestWatch_CloseWaits,
		TestWatch_CloseInTheFunction, TestWatch_HandleClosed, TestWatch_ManagerClose, TestLaw1_WatchAtRandom}},
	{"HandleKey, HandleData, EventData, EventLifetime", []func(*testing.T){TestWatch_SeveralOnOneHandle, TestEvent_String}},
	{"debugIO, DEBUG_TRACE", []func(*testing.T){TestTrace}},
	{"threaded and non-threaded modes", []func(*testing.T){TestLaw9_OneContract}},
	{"Note [Memory Management]", []func(*testing.T){TestLaw2_HeldUntilCompletion, TestLaw2_StackMoves, TestStress}},
	{"GHC.Event.Windows.Clock", []func(*testing.T){TestSeed_Clock}},
}

// TestSeed_Rows prints which tests stand for which name.
func TestSeed_Rows(t *testing.T) {
	for _, row := range seedRows {
		var names []string
		for _, f := range row.tests {
			name := runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
			names = append(names, name[strings.LastIndexByte(name, '.')+1:])
		}
		if len(names) == 0 {
			t.Errorf("%s has no test", row.names)
		}
		t.Logf("%s: %s", row.names, strings.Join(names, ", "))
	}
}

// TestSeed_Document: docs/seed.md shows each name by tests, which are where it says; they, or the rows here, name it too.
func TestSeed_Document(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	named := regexp.MustCompile("`([^`]+)`")
	shown := regexp.MustCompile(`\[(\w+)\]\(\.\./([\w/.]+)\)`)
	rows := 0
	for line := range strings.Lines(read("docs/seed.md")) {
		cells := strings.Split(line, " | ")
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| ---") || strings.Contains(line, "| shown by |") {
			continue
		}
		rows++
		links := shown.FindAllStringSubmatch(line, -1)
		if len(links) == 0 {
			t.Errorf("no test: %s", line)
		}
		tests := read("seed_test.go") + read("seed_overlapped_windows_test.go")
		for _, link := range links {
			text := read(link[2])
			if !strings.Contains(text, "func "+link[1]+"(t *testing.T)") {
				t.Errorf("%s is not in %s", link[1], link[2])
			}
			tests += text
		}
		for _, name := range named.FindAllStringSubmatch(cells[0], -1) {
			if !regexp.MustCompile(`\b` + regexp.QuoteMeta(name[1])).MatchString(tests) {
				t.Errorf("no test names %s", name[1])
			}
		}
	}
	if rows < len(seedRows) {
		t.Errorf("%d rows", rows)
	}
}

var defaultChild = child("default", func() error {
	if err := goroutinesOf(nil, "ringport.(*workers).spawn"); err != nil {
		return fmt.Errorf("before the first use: %w", err)
	}
	managers := make([]*Manager, 16)
	var wg sync.WaitGroup
	for i := range managers {
		wg.Go(func() { managers[i], _ = Default() })
	}
	wg.Wait()
	m, err := Default()
	if err != nil {
		return err
	}
	for _, other := range managers {
		if other != m {
			return errors.New("there are several")
		}
	}
	if goroutinesOf(nil, "ringport.(*workers).spawn") == nil {
		return errors.New("it has no worker")
	}
	op := Nop()
	_, err = m.Do(context.Background(), &op)
	return err
})

// TestSeed_getSystemManager: one for the process, made on first use and not before.
func TestSeed_getSystemManager(t *testing.T) { runChild(t, defaultChild) }

// TestSeed_interruptSystemManager: a wake ends a wait, is counted, and is no completion.
func TestSeed_interruptSystemManager(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		r, w := pipe(t, m)
		op := Read(r, make([]byte, 8), CurrentOffset)
		ch := start(t, m, &op)
		const wakes = 100
		for range wakes {
			m.Wake()
			if m.shared {
				continue
			}
			if ran, err := m.Step(patience.Limit); ran != 0 || err != nil {
				t.Fatalf("%d, %v", ran, err)
			}
		}
		s := m.Stats()
		if s.Wakes != wakes || s.Completed != 0 || s.InFlight != 1 || len(ch) != 0 {
			t.Errorf("%+v", s)
		}
		put(t, w, "x")
		if res := receive(t, m, ch); res.n != 1 || res.err != nil {
			t.Errorf("%+v", res)
		}
	})
}

// TestSeed_processRemoteCompletion drives a manager from a foreign loop, which waits for its handle and steps without a wait.
func TestSeed_processRemoteCompletion(t *testing.T) {
	forCallerDriven(t, func(t *testing.T, c Config) {
		const each = 200
		m := open(t, c)
		r, w := pipe(t, m)
		h, ok := m.Pollable()
		if !ok {
			t.Fatal("not pollable")
		}
		reads, timeouts, wakes := 0, 0, make(chan bool, each)
		turn := make(chan bool)
		go func() { // a byte or a wake at each turn
			for i := 0; <-turn; i++ {
				if i%2 == 0 {
					put(t, w, "x")
				} else {
					wakes <- true
					m.Wake()
				}
			}
		}()
		defer close(turn)
		var read func(op *Op)
		read = func(op *Op) {
			n, err := op.Result()
			if errors.Is(err, ErrManagerClosed) {
				return
			}
			if n != 1 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
			reads++
			if err := m.Start(op, read); err != nil {
				t.Error(err)
			}
		}
		op := Read(r, make([]byte, 1), CurrentOffset)
		if err := m.Start(&op, read); err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		for done := 0; done < 2*each; {
			if done%10 == 0 {
				fired := timeouts
				m.AfterFunc(time.Duration(done)*time.Microsecond, func() { timeouts++ })
				for timeouts == fired {
					foreignWait(t, m, h)
				}
			}
			turn <- true
			for before := reads; reads == before; {
				foreignWait(t, m, h)
				select {
				case <-wakes:
					before--
				default:
				}
			}
			done++
		}
		if reads != each || timeouts != 2*each/10 {
			t.Errorf("%d reads, %d timeouts", reads, timeouts)
		}
	})
}

// foreignWait is one round of a loop that is not the manager's.
func foreignWait(t *testing.T, m *Manager, h Handle) {
	t.Helper()
	if err := m.Flush(); err != nil {
		t.Fatal(err)
	}
	limit := patience.Limit
	if d, ok := m.NextTimeout(); ok {
		limit = min(limit, d)
	}
	readable := waitReadable(t, h, limit)
	if !readable && limit == patience.Limit {
		t.Fatalf("nothing to do: %+v", m.Stats())
	}
	if _, err := m.Step(0); err != nil {
		t.Fatal(err)
	}
}

// TestSeed_associateHandle: any open descriptor can be attached, at any time.
func TestSeed_associateHandle(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		r, w := pipe(t, m)
		f := Handle(tempFile(t, m, nil).Fd())
		for _, h := range []Handle{r, w, f} {
			for range 2 {
				if err := m.Attach(h); err != nil {
					t.Error(err)
				}
			}
			detach(t, m, h)
		}
		put(t, w, "attached")
		if n := do(t, m, readOp(r, 8, CurrentOffset)); n != 8 {
			t.Errorf("%d", n)
		}
		if n := do(t, m, ptr(func(op *Op) { *op = CloseHandle(dup(t, f)) })); n != 0 {
			t.Errorf("%d", n)
		}
		checkTyped(t, "attach", 0, m.Attach(notOpen), errBadHandle)
	})
}

// TestSeed_outstandingRequests: what is in flight is counted for each manager and kind.
func TestSeed_outstandingRequests(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m, other := open(t, c), open(t, Config{Backend: c.Backend})
		r, _ := pipe(t, m)
		_, full := pipe(t, m)
		fillPipe(t, full)
		var ops []*Op
		var chs []<-chan result
		for i := range 5 {
			op := readOp(r, 8, CurrentOffset)
			if i < 2 {
				op = writeOp(full, "no room", CurrentOffset)
			}
			ops = append(ops, op)
			chs = append(chs, start(t, m, op))
		}
		do(t, m, nop())
		do(t, m, nop())
		if _, err := m.Do(t.Context(), readOp(^Handle(0), 8, 0)); err == nil {
			t.Error("no error")
		}
		check := func(inFlight map[string]int64, completed, canceled, failed int64) {
			t.Helper()
			n := int64(0)
			for _, k := range inFlight {
				n += k
			}
			s := m.Stats()
			if s.InFlight != n || !maps.Equal(s.InFlightByKind, inFlight) || s.Completed != completed || s.Canceled != canceled || s.Failed != failed {
				t.Errorf("%+v", s)
			}
		}
		check(map[string]int64{"read": 3, "write": 2}, 3, 0, 1)
		m.Cancel(ops[0])
		m.Cancel(ops[4])
		receive(t, m, chs[0])
		receive(t, m, chs[4])
		check(map[string]int64{"read": 2, "write": 1}, 5, 2, 1)
		if s := other.Stats(); s.InFlight != 0 || s.Completed != 0 {
			t.Errorf("the other one: %+v", s)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		check(map[string]int64{}, 8, 5, 1)
	})
}

// TestSeed_Clock: deadlines are kept on the monotonic clock, which nobody can set.
func TestSeed_Clock(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		start := m.timeouts.now()
		for last := start; last < start+int64(time.Millisecond); { // it goes on, and never back
			now := m.timeouts.now()
			if now < last || last < 0 {
				t.Fatalf("%d, then %d", last, now)
			}
			last = now
		}
		if n := testing.AllocsPerRun(100, func() { m.timeouts.now() }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}
