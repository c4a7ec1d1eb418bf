//go:build race

package ringport

const raceEnabled = true
