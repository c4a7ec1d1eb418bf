package ipc

import (
	"testing"

	"github.com/ringport/ringport"
)

// TestConn_NoAllocations: a message to the other side and back allocates nothing.
func TestConn_NoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	forEach(t, func(t *testing.T, m *ringport.Manager) {
		for _, messages := range modes {
			client, server := pair(t, ListenConfig{Manager: m, MessageMode: messages})
			there, back := make([]byte, 64), make([]byte, 64)
			trip := func() {
				for _, err := range []error{
					call(client.Write, there), expectFull(server, back), call(server.Write, back), expectFull(client, there),
				} {
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			for range 100 {
				trip()
			}
			if n := testing.AllocsPerRun(500, trip); n != 0 {
				t.Errorf("messages %v: %v allocations", messages, n)
			}
		}
	})
}

func call(f func([]byte) (int, error), p []byte) error {
	_, err := f(p)
	return err
}

// expectFull fills p.
func expectFull(c *Conn, p []byte) error {
	for n := 0; n < len(p); {
		m, err := c.Read(p[n:])
		if err != nil {
			return err
		}
		n += m
	}
	return nil
}
