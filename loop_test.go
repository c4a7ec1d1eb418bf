package ringport

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/patience"
)

// TestStep_EndsForAReason: a driver's wait may end early (a signal, a coarse clock, a wake that was meant for an earlier one), but Step's doesn't.
func TestStep_EndsForAReason(t *testing.T) {
	forCallerDriven(t, func(t *testing.T, c Config) {
		m := open(t, c)
		late := m.AfterFunc(patience.Limit, func() {}) // else what waits too long would wait for ever
		defer late.Stop()
		steps := func(when string, limit, atLeast time.Duration) {
			t.Helper()
			begun := m.timeouts.now()
			ran, err := m.Step(limit)
			if took := time.Duration(m.timeouts.now() - begun); ran != 0 || err != nil || took < atLeast {
				t.Errorf("%s: %d, %v, after %v", when, ran, err, took)
			}
		}
		for _, d := range []time.Duration{time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond} {
			m.AfterFunc(d, func() {})
			m.poke()
			if ran, err := m.Step(-1); ran != 1 || err != nil {
				t.Errorf("until a timeout in %v: %d, %v", d, ran, err)
			}
			m.poke()
			steps("a limit", d, d)
		}
		m.Wake()
		steps("after a Wake", -1, 0)
		m.Wake()
		nop := Nop()
		do(t, m, &nop)
		steps("after a Wake that ended a Do's wait", -1, 0)
		steps("the Wake is over", time.Millisecond, time.Millisecond)
		soon := time.AfterFunc(time.Millisecond, m.Wake)
		defer soon.Stop()
		steps("until a Wake", -1, 0)
		soon.Reset(time.Millisecond)
		steps("a limit that the clock can't count", math.MaxInt64, 0)
	})
}

// startsInWait calls a function inside Wait, as IOCP's driver calls start functions.
type startsInWait struct {
	driver.Driver
	start func()
}

func (d *startsInWait) Wait(batch []*driver.Request, timeout time.Duration) (int, error) {
	if start := d.start; start != nil {
		d.start = nil
		start()
	}
	return d.Driver.Wait(batch, timeout)
}

// TestStep_InAStartFunction: a start function that steps takes from the Step that it is called in what that one waits for.
func TestStep_InAStartFunction(t *testing.T) {
	for name, start := range map[string]func(m *Manager, step func(done *bool)){
		"the timeout": func(m *Manager, step func(*bool)) {
			done := false
			m.AfterFunc(time.Millisecond, func() { done = true })
			step(&done)
		},
		"the completion, with a timeout to come": func(m *Manager, step func(*bool)) {
			done := false
			op := Nop()
			if err := m.Start(&op, func(*Op) { done = true }); err != nil {
				panic(err)
			}
			step(&done)
			m.AfterFunc(time.Hour, func() {})
		},
		"the Wake, in a Do": func(m *Manager, _ func(*bool)) {
			m.Wake()
			op := Nop()
			if _, err := m.Do(context.Background(), &op); err != nil {
				panic(err)
			}
		},
		"the Wake": func(m *Manager, step func(*bool)) {
			done := false
			m.AfterFunc(0, func() { done = true; m.Wake() })
			step(&done)
		},
	} {
		t.Run(name, func(t *testing.T) {
			forCallerDriven(t, func(t *testing.T, c Config) {
				m := open(t, c)
				drv := &startsInWait{Driver: m.drv}
				m.drv = drv
				late := m.AfterFunc(patience.Limit, func() { t.Error("Step did not return") })
				defer late.Stop()
				step := func(done *bool) {
					for !*done {
						if _, err := m.Step(-1); err != nil {
							t.Error(err)
							return
						}
					}
				}
				drv.start = func() { start(m, step) }
				if ran, err := m.Step(-1); ran != 0 || err != nil {
					t.Errorf("%d, %v", ran, err)
				}
			})
		})
	}
}

// TestStep_StrangersTakeNoWake: a Step that is refused leaves the Wake to the owner's.
func TestStep_StrangersTakeNoWake(t *testing.T) {
	forCallerDriven(t, func(t *testing.T, c Config) {
		m := open(t, c)
		nop := Nop()
		do(t, m, &nop)
		late := m.AfterFunc(patience.Limit, func() {})
		defer late.Stop()
		m.Wake()
		if c.Backend == BackendIOUring { // it alone can tell
			if err := onAnotherThread(func() error { _, err := m.Step(0); return err }); !errors.Is(err, ErrNotOwner) {
				t.Error(err)
			}
		}
		if ran, err := m.Step(-1); ran != 0 || err != nil {
			t.Errorf("%d, %v", ran, err)
		}
	})
}
