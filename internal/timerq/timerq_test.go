package timerq

import (
	"math"
	"reflect"
	"runtime"
	"testing"
	"time"
	"weak"
)

type timer = Timer[string]

// drain pops everything due and returns the values in order.
func drain(q *Queue[string], now int64) (values string) {
	for t := q.PopExpired(now); t != nil; t = q.PopExpired(now) {
		values += t.Value
	}
	return values
}

func wantEarliest(t *testing.T, q *Queue[string], want int64, wantOK bool) {
	t.Helper()
	if got, ok := q.Earliest(); got != want || ok != wantOK {
		t.Fatalf("Earliest() = %d, %v, want %d, %v", got, ok, want, wantOK)
	}
	if q.bound <= want && want < math.MaxInt64 {
		t.Fatalf("bound is %d, so the next call for the earliest deadline, %d, searches again", q.bound, want)
	}
}

func TestEmpty(t *testing.T) {
	var q Queue[string]
	wantEarliest(t, &q, 0, false)
	if got := q.PopExpired(math.MaxInt64); got != nil {
		t.Errorf("PopExpired = %q", got.Value)
	}
	if q.Len() != 0 {
		t.Errorf("Len() = %d", q.Len())
	}
	if q.Stop(new(timer)) {
		t.Error("Stop of a timer never set reports that it was pending")
	}
}

// TestOrder sets a, b, c ... to the deadlines, in this order, and pops them all.
func TestOrder(t *testing.T) {
	const hour = int64(time.Hour)
	tests := []struct {
		name      string
		now       int64 // popped up to, before the timers are set
		deadlines []int64
		want      string
	}{
		{"one", 0, []int64{5}, "a"},
		{"ascending", 0, []int64{1, 2, 3}, "abc"},
		{"descending", 0, []int64{3, 2, 1}, "cba"},
		{"a nanosecond apart", 0, []int64{hour + 1, hour, hour - 1}, "cba"},
		{"ties in the order of Set", 0, []int64{7, 7, 6, 7, 7, 7, 7}, "cabdefg"},
		{"ties far away", 0, []int64{hour, hour, hour, hour, hour, hour}, "abcdef"},
		{"in the past", hour, []int64{hour, hour - 1, 0, -1, math.MinInt64}, "edcba"},
		{"ties in the past", hour, []int64{3, 3, 3, 2}, "dabc"},
		{"largest", 0, []int64{math.MaxInt64, math.MaxInt64 - 1, math.MaxInt64, 0}, "dbac"},
		{"largest, late", math.MaxInt64 - 1, []int64{math.MaxInt64, math.MaxInt64 - 1, math.MaxInt64}, "bac"},
		{"time has ended", math.MaxInt64, []int64{math.MaxInt64, 0, math.MaxInt64}, "bac"},
		{"clock below zero", -hour, []int64{0, -hour, 1}, "bac"},
		{"either side of a level's reach", 1, []int64{1 << 26, 1<<26 + 1, 1<<26 - 1, 1<<26 + 1<<20}, "cabd"},
		{"every level", 0, []int64{1 << 62, 1 << 50, 1 << 40, 1 << 30, 1 << 20, 1 << 10, 1}, "gfedcba"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var q Queue[string]
			q.PopExpired(test.now)
			earliest := int64(math.MaxInt64)
			for i, d := range test.deadlines {
				q.Set(&timer{Value: string(rune('a' + i))}, d)
				earliest = min(earliest, d)
				wantEarliest(t, &q, earliest, true)
				check(t, &q)
			}
			if got := q.Len(); got != len(test.deadlines) {
				t.Errorf("Len() = %d", got)
			}
			if earliest > math.MinInt64 {
				if got := drain(&q, earliest-1); got != "" {
					t.Errorf("popped %q before the earliest deadline", got)
				}
			}
			if got := drain(&q, math.MaxInt64); got != test.want {
				t.Errorf("popped %q, want %q", got, test.want)
			}
			if q.Len() != 0 {
				t.Errorf("Len() = %d at the end", q.Len())
			}
			check(t, &q)
		})
	}
}

// TestReset sets a timer twice, in every relation of the deadlines to cells and heap.
func TestReset(t *testing.T) {
	const near, far = 1000, int64(time.Hour)
	for _, opened := range []bool{false, true} { // Earliest between the two moves the timer to the heap
		for _, from := range []int64{0, near, far, math.MaxInt64} {
			for _, to := range []int64{-1, 0, near - 1, near, near + 1, far - int64(time.Minute), far - 1, far, far + 1, 2 * far, math.MaxInt64} {
				var q Queue[string]
				x, other := &timer{Value: "x"}, &timer{Value: "o"}
				q.Set(other, far+1)
				if was, _ := q.Set(x, from); was {
					t.Fatal("first Set reports that the timer was pending")
				}
				if opened {
					wantEarliest(t, &q, min(from, far+1), true)
				}
				if was, _ := q.Set(x, to); !was {
					t.Fatal("second Set reports that the timer was not pending")
				}
				wantEarliest(t, &q, min(to, far+1), true)
				check(t, &q)
				if q.Len() != 2 {
					t.Errorf("Len() = %d", q.Len())
				}
				want := "ox"
				if to < far+1 {
					want = "xo"
				}
				if got := drain(&q, math.MaxInt64); got != want {
					t.Errorf("from %d to %d: popped %q, want %q", from, to, got, want)
				}
			}
		}
	}
}

// A timer set again to the deadline that it has goes behind the others with that deadline.
func TestResetGoesBehindTies(t *testing.T) {
	for _, opened := range []bool{false, true} {
		var q Queue[string]
		a, b, c := &timer{Value: "a"}, &timer{Value: "b"}, &timer{Value: "c"}
		for _, x := range []*timer{a, b, c} {
			q.Set(x, 1<<40)
		}
		if opened {
			wantEarliest(t, &q, 1<<40, true)
		}
		q.Set(a, 1<<40)
		if got := drain(&q, 1<<40); got != "bca" {
			t.Errorf("opened %v: popped %q", opened, got)
		}
	}
}

func TestStop(t *testing.T) {
	for _, opened := range []bool{false, true} {
		for _, deadline := range []int64{-1, 0, 1 << 10, 1 << 40, math.MaxInt64} {
			var q Queue[string]
			x, other := &timer{Value: "x"}, &timer{Value: "o"}
			q.Set(x, deadline)
			q.Set(other, 1<<41)
			if opened {
				wantEarliest(t, &q, min(deadline, 1<<41), true)
			}
			if !q.Stop(x) {
				t.Error("Stop of a pending timer reports that it was not")
			}
			if q.Stop(x) {
				t.Error("a second Stop reports that the timer was pending")
			}
			if q.Len() != 1 {
				t.Errorf("Len() = %d", q.Len())
			}
			if was, _ := q.Set(x, 1<<42); was { // before anything was flushed
				t.Error("Set after Stop reports that the timer was pending")
			}
			wantEarliest(t, &q, 1<<41, true)
			check(t, &q)
			if got := drain(&q, math.MaxInt64); got != "ox" {
				t.Errorf("deadline %d: popped %q", deadline, got)
			}
			if q.Stop(x) {
				t.Error("Stop of a popped timer reports that it was pending")
			}
		}
	}
}

func TestSetReportsEarlier(t *testing.T) {
	const hour = int64(time.Hour)
	var q Queue[string]
	a, b, c := new(timer), new(timer), new(timer)
	set := func(x *timer, deadline int64, want bool) {
		t.Helper()
		if _, earlier := q.Set(x, deadline); earlier != want {
			t.Fatalf("Set(%d): earlier = %v", deadline, earlier)
		}
	}
	set(a, math.MaxInt64, true) // from no deadline to one
	set(b, math.MaxInt64, false)
	set(a, 2*hour, true)
	set(b, 3*hour, false)
	set(c, hour, true)
	set(c, hour+1, false) // the caller waits for hour by now
	set(c, hour, false)
	wantEarliest(t, &q, hour, true)
	set(c, hour, false)
	set(c, hour-1, true)
	q.Stop(c)
	set(c, hour-1, false) // the caller still waits for it
	q.Stop(c)
	wantEarliest(t, &q, 2*hour, true)
	set(c, 2*hour-1, true)
	for _, x := range []*timer{a, b, c} {
		q.Stop(x)
	}
	wantEarliest(t, &q, 0, false)
	set(c, 5*hour, true)
}

// Nothing is popped for hours, then time jumps over many cells.
func TestTimeJumps(t *testing.T) {
	var q Queue[string]
	want := ""
	for i := range 24 {
		name := string(rune('a' + i))
		q.Set(&timer{Value: name}, int64(i)*int64(time.Hour)+int64(i))
		want += name
	}
	for range 3 {
		wantEarliest(t, &q, 0, true)
	}
	if got := drain(&q, 10*int64(time.Hour)+9); got != want[:10] {
		t.Errorf("popped %q", got)
	}
	wantEarliest(t, &q, 10*int64(time.Hour)+10, true)
	if got := drain(&q, 5*int64(time.Hour)); got != "" {
		t.Errorf("time went back and popped %q", got)
	}
	check(t, &q)
	if got := drain(&q, math.MaxInt64); got != want[10:] {
		t.Errorf("popped %q", got)
	}
}

// A timer may be set from the round that popped it.
func TestSetWhilePopping(t *testing.T) {
	var q Queue[string]
	x := &timer{Value: "x"}
	q.Set(x, 100)
	for i := range int64(10) {
		if got := q.PopExpired(1000); got != x {
			t.Fatalf("round %d: PopExpired = %v", i, got)
		}
		if was, _ := q.Set(x, 100*(i+2)); was {
			t.Fatal("a popped timer is still pending")
		}
	}
	if got := q.PopExpired(1000); got != nil {
		t.Errorf("popped %q before its time", got.Value)
	}
	wantEarliest(t, &q, 1100, true)
}

// As time goes on, a wide cell comes to lie before narrow ones that were filled later.
func TestWideCellBeforeNarrowOnes(t *testing.T) {
	const ms = int64(time.Millisecond)
	var q Queue[string]
	q.Set(&timer{Value: "w"}, 1000*ms)
	q.PopExpired(990 * ms)
	for i, name := range []string{"a", "b", "c"} {
		q.Set(&timer{Value: name}, 1004*ms+int64(i)*4*ms)
	}
	check(t, &q)
	wantEarliest(t, &q, 1000*ms, true)
	if got := drain(&q, math.MaxInt64); got != "wabc" {
		t.Errorf("popped %q", got)
	}
}

// A narrow and a wide cell may start at the same time, and have timers due at that time.
func TestTiesInTwoCells(t *testing.T) {
	const edge = int64(1) << 40
	var q Queue[string]
	guard := &timer{Value: "guard"} // in the heap it keeps the wide cell closed
	q.Set(&timer{Value: "w"}, edge)
	q.Set(&timer{Value: "x"}, edge-1<<30)
	q.Set(guard, edge-1)
	if got := drain(&q, edge-1<<22); got != "x" {
		t.Fatalf("popped %q", got)
	}
	q.Set(&timer{Value: "n"}, edge)
	q.Stop(guard)
	if len(q.heap) != 0 {
		t.Fatal("a cell was opened without need")
	}
	check(t, &q)
	wantEarliest(t, &q, edge, true)
	if got := drain(&q, edge); got != "wn" {
		t.Errorf("popped %q", got)
	}
}

// A clock that goes back is taken for one that stands still.
func TestClockGoesBack(t *testing.T) {
	const hour = int64(time.Hour)
	var q Queue[string]
	q.PopExpired(1000 * hour)
	for i, name := range []string{"a", "b", "c", "d"} {
		q.Set(&timer{Value: name}, 1000*hour+int64(1)<<(20+5*i))
		if got := drain(&q, int64(i)*hour); got != "" {
			t.Fatalf("popped %q", got)
		}
		check(t, &q)
	}
	wantEarliest(t, &q, 1000*hour+1<<20, true)
	if got := drain(&q, 2000*hour); got != "abcd" {
		t.Errorf("popped %q", got)
	}
}

// What makes the queue fast is where timers are. The next tests pin it, without a clock.

func TestLaterSetWritesOnlyTheTimer(t *testing.T) {
	var q Queue[string]
	a, b, c := new(timer), new(timer), new(timer)
	for _, x := range []*timer{a, b, c} {
		q.Set(x, int64(time.Minute))
	}
	before := *b
	q.Set(b, int64(time.Hour))
	if b.place != before.place || b.next != before.next || b.prev != before.prev || q.lates != 0 {
		t.Error("a timer set to a later time left its cell")
	}
	wantEarliest(t, &q, int64(time.Minute), true)
	check(t, &q)
}

// A far timer that is alone must not make the heap swallow everything that is set before it.
func TestFarTimerLeavesTheWheelInUse(t *testing.T) {
	var q Queue[string]
	q.Set(new(timer), 100*int64(time.Hour))
	wantEarliest(t, &q, 100*int64(time.Hour), true)
	for i := range 10_000 {
		q.Set(new(timer), int64(time.Second)+int64(i)*int64(time.Millisecond))
		wantEarliest(t, &q, int64(time.Second), true)
	}
	if len(q.heap) > 100 {
		t.Errorf("%d of 10001 timers are in the heap", len(q.heap))
	}
	check(t, &q)
}

// Timers whose time seemed to come, and that are set to later times, must not stay in the heap.
func TestLaterSetLeavesTheHeap(t *testing.T) {
	for _, opened := range []bool{false, true} { // whether their cell is opened before or after the second Set
		var q Queue[string]
		timers := make([]timer, 10_000)
		for i := range timers {
			q.Set(&timers[i], int64(i))
		}
		if opened {
			wantEarliest(t, &q, 0, true)
			if len(q.heap) != len(timers) {
				t.Fatalf("%d timers are in the heap, although all are in one cell", len(q.heap))
			}
		}
		for i := range timers {
			q.Set(&timers[i], int64(time.Minute)+int64(i)*int64(time.Millisecond))
		}
		wantEarliest(t, &q, int64(time.Minute), true)
		if len(q.heap) > 2000 {
			t.Errorf("opened %v: %d of 10000 timers are still in the heap", opened, len(q.heap))
		}
		check(t, &q)
	}
}

func TestTimerFillsOneCacheLine(t *testing.T) {
	if got := reflect.TypeFor[Timer[[3]int64]]().Size(); got > 64 {
		t.Errorf("a Timer with a Value of 24 bytes takes %d bytes, more than 64", got)
	}
}

func TestEditsDoNotAllocate(t *testing.T) {
	var q Queue[string]
	timers := make([]timer, 1000)
	for i := range timers {
		q.Set(&timers[i], int64(i)<<20)
	}
	for q.PopExpired(math.MaxInt32) != nil { // the heap's array grows once
	}
	i, now := 0, int64(math.MaxInt32)
	edit := map[string]func(x *timer){
		"Set later":    func(x *timer) { q.Set(x, now+int64(i)<<24) },
		"Set earlier":  func(x *timer) { q.Set(x, now+int64(1000-i)<<20) },
		"Set far":      func(x *timer) { q.Set(x, now+int64(i)<<40) },
		"Stop and Set": func(x *timer) { q.Stop(x); q.Set(x, now+int64(i)<<22) },
		"Stop":         func(x *timer) { q.Stop(x) },
		"PopExpired":   func(*timer) { now += 1 << 20; q.PopExpired(now) },
		"Earliest":     func(*timer) { q.Earliest() },
	}
	for name, f := range edit {
		allocs := testing.AllocsPerRun(5000, func() {
			i = (i + 7) % len(timers)
			f(&timers[i])
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}

// The queue keeps no timer alive that has left it.
func TestStoppedTimersAreCollected(t *testing.T) {
	for _, opened := range []bool{false, true} {
		var q Queue[string]
		var gone []weak.Pointer[timer]
		stay := new(timer)
		q.Set(stay, int64(time.Hour)) // in the same cells, before and after the others
		func() {
			timers := make([]*timer, 5*lateLen)
			for i := range timers {
				timers[i] = &timer{Value: "x"}
				gone = append(gone, weak.Make(timers[i]))
				q.Set(timers[i], int64(time.Hour)+int64(i))
			}
			if opened {
				q.Earliest()
			}
			for _, x := range timers {
				q.Stop(x)
			}
		}()
		if got := alive(gone); got >= lateLen {
			t.Errorf("opened %v: %d stopped timers are alive, at most %d may be", opened, got, lateLen-1)
		}
		wantEarliest(t, &q, int64(time.Hour), true)
		if got := alive(gone); got != 0 {
			t.Errorf("opened %v: %d stopped timers are alive after Earliest", opened, got)
		}
		runtime.KeepAlive(&q)
		runtime.KeepAlive(stay)
	}
}

func TestPoppedTimersAreCollected(t *testing.T) {
	var q Queue[string]
	var gone []weak.Pointer[timer]
	for i := range 100 {
		x := &timer{Value: "x"}
		gone = append(gone, weak.Make(x))
		q.Set(x, int64(i)<<18)
	}
	q.Set(new(timer), math.MaxInt64)
	drain(&q, 1<<40)
	if got := alive(gone); got != 0 {
		t.Errorf("%d popped timers are alive", got)
	}
	runtime.KeepAlive(&q)
}

func alive(pointers []weak.Pointer[timer]) (n int) {
	runtime.GC()
	for _, p := range pointers {
		if p.Value() != nil {
			n++
		}
	}
	return n
}

func TestCopiedTimerPanics(t *testing.T) {
	var q Queue[string]
	a, b := new(timer), new(timer)
	q.Set(a, 1<<40)
	q.Set(b, 1<<40)
	copied := *a
	q.Stop(&copied)
	q.Set(new(timer), 1<<40)
	q.Stop(b)
	defer func() {
		if recover() == nil {
			t.Error("a copied timer was taken for the original")
		}
	}()
	q.Earliest()
}
