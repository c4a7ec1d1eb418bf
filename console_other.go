//go:build !unix && !windows

package ringport

// There is no manager on this system, and so nobody to listen.

type consoleListener struct{}

func listenToConsole() *consoleListener { return nil }

func (l *consoleListener) stop() {}

func (l *consoleListener) wait() {}
