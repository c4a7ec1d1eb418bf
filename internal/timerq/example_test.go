package timerq_test

import (
	"fmt"
	"time"

	"github.com/ringport/ringport/internal/timerq"
)

// The loop of a manager: run what is due, then wait until the next deadline. Here time is a number, and waiting is free.
func Example() {
	var q timerq.Queue[string]
	now := int64(0)
	after := func(d time.Duration) int64 { return now + int64(d) }

	read := &timerq.Timer[string]{Value: "read timeout"}
	idle := &timerq.Timer[string]{Value: "idle timeout"}
	ping := &timerq.Timer[string]{Value: "ping"}
	q.Set(read, after(5*time.Second))
	q.Set(idle, after(time.Minute))
	q.Set(ping, after(20*time.Second))

	q.Stop(read)                    // the read has completed
	q.Set(idle, after(2*time.Hour)) // and the connection is not idle

	for {
		deadline, ok := q.Earliest()
		if !ok {
			break
		}
		now = deadline
		for t := q.PopExpired(now); t != nil; t = q.PopExpired(now) {
			fmt.Println(time.Duration(now), t.Value)
		}
	}
	// Output:
	// 20s ping
	// 2h0m0s idle timeout
}
