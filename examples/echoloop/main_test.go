package main

import (
	"testing"

	"github.com/ringport/ringport/examples/internal/echotest"
)

func TestRun(t *testing.T) { echotest.Run(t, run) }
