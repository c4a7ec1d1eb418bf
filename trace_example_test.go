package ringport_test

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/ringport/ringport"
)

// A program hangs, and its log says what it waits for. Here it is a read of a pipe that nobody writes to, and a time-out helps.
func ExampleConfig_logger() {
	handler := slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		Level: ringport.LevelOperation,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if slices.Contains([]string{"time", "took", "id", "backend", "why"}, a.Key) { // not the same every time
				return slog.Attr{}
			}
			return a
		},
	})
	m, err := ringport.New(ringport.Config{CallerDriven: true, Logger: slog.New(handler)})
	if err != nil {
		log.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	defer w.Close()

	ctx, cancel := context.WithCancelCause(context.Background())
	m.AfterFunc(time.Millisecond, func() { cancel(errors.New("nobody writes")) })
	read := ringport.Read(ringport.Handle(r.Fd()), make([]byte, 8), ringport.CurrentOffset)
	m.Do(ctx, read.Named("the pipe"))
	m.Close()

	// Output:
	// level=DEBUG msg=opened callerDriven=true
	// level=DEBUG-4 msg="operation started" op=read name="the pipe"
	// level=DEBUG-4 msg=cancel op=read name="the pipe" cause="nobody writes"
	// level=DEBUG-4 msg="operation done" op=read name="the pipe" n=0 err="read the pipe: nobody writes"
	// level=DEBUG msg="close: begun" inFlight=map[]
	// level=DEBUG msg="close: operations are over"
	// level=DEBUG msg=closed
}
