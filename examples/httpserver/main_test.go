package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ringport/ringport/internal/conntest"
)

// TestRun: the folder's files are served, and the server ends with its context.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	content := bytes.Repeat([]byte("content "), 100_000)
	if err := os.WriteFile(filepath.Join(dir, "file"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	ended := make(chan error)
	go func() { ended <- run(ctx, conntest.Aside(3), dir, w) }() // nobody is there when it has ended
	url, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url = strings.TrimSpace(url)
	for range 3 {
		answer, err := http.Get(url + "/file")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if !bytes.Equal(got, content) || err != nil || answer.StatusCode != http.StatusOK {
			t.Errorf("%s, %d bytes, %v", answer.Status, len(got), err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := http.Get(url + "/file"); err == nil {
		t.Error("it still serves")
	}
}
