//go:build linux || windows

package ringport_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/ringport/ringport"
)

// A program keeps itself informed of what is in a directory: it lists it when it is told to, and then goes by the events.
func ExampleManager_WatchDir() {
	m, err := ringport.New(ringport.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(file("first"), nil, 0o666); err != nil {
		log.Fatal(err)
	}

	for event, err := range m.WatchDir(context.Background(), dir, ringport.DirOptions{Recursive: true}) {
		if err != nil {
			log.Fatal(err)
		}
		switch event.Op {
		case ringport.DirRescan:
			entries, err := os.ReadDir(dir)
			if err != nil {
				log.Fatal(err)
			}
			for _, e := range entries {
				fmt.Println("there is", e.Name())
			}
			os.WriteFile(file("second"), nil, 0o666) // as somebody else would
		case ringport.DirCreate:
			fmt.Println("there is", event.Name)
			os.Rename(file("second"), file("third"))
		case ringport.DirRename:
			fmt.Println(event.OldName, "is called", event.Name)
			os.Remove(file("first"))
		case ringport.DirRemove:
			fmt.Println("there is no", event.Name)
		}
		if event.Op == ringport.DirRemove {
			break
		}
	}

	// Output:
	// there is first
	// there is second
	// second is called third
	// there is no first
}
