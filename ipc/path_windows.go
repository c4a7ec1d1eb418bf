package ipc

import (
	"strings"
)

const localPipes = `\\.\pipe\`

// locate is Path. There are no folders.
func locate(name string) (path, folder string, err error) {
	switch {
	case name == "" || strings.ContainsRune(name, 0):
		return "", "", invalid(name)
	case !strings.ContainsAny(name, `\/`):
		return localPipes + name, "", nil
	}
	path = strings.ReplaceAll(name, "/", `\`)
	if root, rest := splitPath(path); root == "" || rest == "" {
		return "", "", invalid(name)
	}
	return path, "", nil
}

// splitPath divides \\HOST\pipe\NAME before NAME. Root is "" if path is none.
func splitPath(path string) (root, name string) {
	parts := strings.SplitN(path, `\`, 5)
	if len(parts) < 5 || parts[0] != "" || parts[1] != "" || parts[2] == "" || !strings.EqualFold(parts[3], "pipe") {
		return "", ""
	}
	return path[:len(path)-len(parts[4])], parts[4]
}

// ensurePath is where to listen: on this machine.
func ensurePath(name string) (string, error) {
	path, _, err := locate(name)
	if root, _ := splitPath(path); err == nil && !strings.EqualFold(root, localPipes) {
		return "", invalid(name)
	}
	return path, err
}

// checkedPath is where to connect.
func checkedPath(name string) (string, error) {
	path, _, err := locate(name)
	return path, err
}
