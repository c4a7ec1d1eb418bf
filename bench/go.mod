module github.com/ringport/ringport/bench

go 1.25.0

require (
	github.com/Microsoft/go-winio v0.6.2
	github.com/ringport/ringport v0.0.0
	golang.org/x/sys v0.47.0
)

replace github.com/ringport/ringport => ..
