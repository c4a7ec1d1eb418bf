package ringport

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/windows"
)

// TestOverlapped_TransmitFile: a file goes into a connection without passing through the program.
func TestOverlapped_TransmitFile(t *testing.T) {
	bothWays(t, func(t *testing.T, m *Manager) {
		content := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		client, server := connection(t, m)
		op := Overlapped("TransmitFile", client, 16, func(ov *windows.Overlapped) Started { // from offset 16 on
			return Unchecked(windows.TransmitFile(windows.Handle(client), windows.Handle(f.Fd()), uint32(len(content)-32), 0, ov, nil, 0))
		})
		ch := start(t, m, &op)
		var got []byte
		for len(got) < len(content)-32 {
			buf := make([]byte, 1<<16)
			got = append(got, buf[:do(t, m, ref(Recv(server, buf, 0)))]...)
		}
		if r := receive(t, m, ch); r.n != len(content)-32 || r.err != nil || !bytes.Equal(got, content[16:len(content)-16]) {
			t.Errorf("%+v, %d bytes", r, len(got))
		}
	})
}
