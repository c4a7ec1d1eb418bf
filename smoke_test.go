package ringport

import (
	"context"
	"os"
	"testing"
	"time"
)

func TestSmoke(t *testing.T) {
	for _, owned := range []bool{false, true} {
		m, err := New(Config{CallerDriven: owned})
		if err != nil {
			t.Fatal(err)
		}
		t.Log(m.Stats().Backend, m.Stats().Why)
		r, w, _ := os.Pipe()
		buf := make([]byte, 10)
		op := Read(Handle(r.Fd()), buf, CurrentOffset)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		n, err := m.Do(ctx, &op)
		t.Log(n, err)
		cancel()
		w.WriteString("hello")
		n, err = m.Do(context.Background(), &op)
		t.Log(n, err)
		done := make(chan bool, 1)
		nop := Nop()
		if err := m.Start(&nop, func(op *Op) { done <- true }); err != nil {
			t.Fatal(err)
		}
		m.AfterFunc(5*time.Millisecond, func() { done <- false })
		if owned {
			for len(done) == 0 {
				m.Step(-1)
			}
			<-done
			for len(done) == 0 {
				m.Step(-1)
			}
		} else {
			<-done
		}
		t.Log(<-done)
		t.Logf("%+v", m.Stats())
		t.Log(m.Close(), m.Close())
	}
}

func BenchmarkNop32(b *testing.B) {
	m, err := New(Config{CallerDriven: true})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	ops := make([]Op, 32)
	n := 0
	f := func(op *Op) { n++ }
	b.ReportAllocs()
	for b.Loop() {
		for i := range ops {
			ops[i] = Nop()
			if err := m.Start(&ops[i], f); err != nil {
				b.Fatal(err)
			}
		}
		for n = 0; n < 32; {
			m.Step(-1)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*32), "ns/nop")
}
