//go:build unix

package rnet

import (
	"os"
	"syscall"
	"testing"
)

// TestPacketConn_Control: control messages go with a message, an open file for instance.
func TestPacketConn_Control(t *testing.T) {
	forEach(t, func(t *testing.T, s stack) {
		a, b := packets(t, s, "unixgram", addressOf(t, "unixgram")), packets(t, s, "unixgram", addressOf(t, "unixgram"))
		file, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		file.WriteString("content")
		oob := syscall.UnixRights(int(file.Fd()))
		if n, oobn, err := a.WriteMsg([]byte("take it"), oob, b.LocalAddr()); n != 7 || oobn != len(oob) || err != nil {
			t.Fatal(n, oobn, err)
		}
		buf, control := make([]byte, 10), make([]byte, 100)
		n, oobn, _, _, err := b.ReadMsg(buf, control)
		if string(buf[:n]) != "take it" || err != nil {
			t.Fatalf("%q, %v", buf[:n], err)
		}
		messages, err := syscall.ParseSocketControlMessage(control[:oobn])
		if err != nil || len(messages) != 1 {
			t.Fatal(messages, err)
		}
		fds, err := syscall.ParseUnixRights(&messages[0])
		if err != nil || len(fds) != 1 {
			t.Fatal(fds, err)
		}
		defer syscall.Close(fds[0])
		content := make([]byte, 10)
		if n, _ := syscall.Pread(fds[0], content, 0); string(content[:n]) != "content" {
			t.Errorf("the file has %q", content[:n])
		}
	})
}
