package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringport/ringport"
)

const doctorLong = `Doctor says which backend ringport gets on this system, why not io_uring if it does not, what the system
offers, which limits apply, and what to do about what is in the way.

Exit code: 0 if a backend works, be it the pool of threads that io_uring falls back to; 1 if none does.`

func newDoctorCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say which backend this system gets, why, and what to do about it",
		Long:  doctorLong,
		Args:  flagsOnly,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := diagnose(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				err = enc.Encode(d)
			} else {
				err = d.write(cmd.OutOrStdout())
			}
			if err == nil && d.Backend == "" {
				err = errors.New("no backend works here: " + strings.TrimPrefix(d.Why, "ringport: "))
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// diagnosis is what doctor finds out. Sizes are in bytes; a limit of -1 means that there is none.
type diagnosis struct {
	System     string        `json:"system"`
	Backend    string        `json:"backend"` // empty: none works
	Why        string        `json:"why"`
	Ring       *ringFindings `json:"io_uring,omitempty"` // Linux
	Port       *portFindings `json:"iocp,omitempty"`     // Windows
	Limits     []limit       `json:"limits"`
	Processors int           `json:"processors"`
	GoMaxProcs int           `json:"gomaxprocs"`
	Advice     []string      `json:"advice"`
}

// ringFindings is what doctor finds out about io_uring.
type ringFindings struct {
	Usable     bool            `json:"usable"`
	Reason     string          `json:"reason,omitempty"` // why it is not usable
	Errno      int             `json:"errno,omitempty"`  // of io_uring_setup
	Killed     bool            `json:"killed,omitempty"` // the system ends who asks
	Disabled   string          `json:"sysctl_io_uring_disabled"`
	Seccomp    string          `json:"seccomp_mode"` // of this process, see proc(5): 0 none, 1 strict, 2 filter
	Threaded   map[string]bool `json:"setup_flags_threaded,omitempty"`
	Driven     map[string]bool `json:"setup_flags_caller_driven,omitempty"`
	Features   map[string]bool `json:"features,omitempty"`
	Operations map[string]bool `json:"operations,omitempty"` // false: runs as a system call on a thread
}

// portFindings is what doctor finds out about completion ports: what the system can do, by name. What it can't is done in another way.
type portFindings struct {
	Wine     string          `json:"wine,omitempty"` // its version, if this is not Windows itself
	Features map[string]bool `json:"features"`
}

// limit is a resource limit. See getrlimit(2).
type limit struct {
	Name  string `json:"name"`
	Unit  string `json:"unit,omitempty"`
	Soft  int64  `json:"soft"`
	Hard  int64  `json:"hard"`
	About string `json:"about"`
}

// A probe runs in a process of its own, since a seccomp filter may end whoever asks for io_uring. It tells each step as soon as
// it is done.
type probeStep struct {
	Manager *managerFindings `json:",omitempty"`
	Ring    *ringFindings    `json:",omitempty"`
	Port    *portFindings    `json:",omitempty"`
}

type managerFindings struct {
	Backend string
	Why     string
}

const probeCommandName = "doctor-probe"

func newProbeCommand() *cobra.Command {
	return &cobra.Command{
		Use:    probeCommandName,
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			enc := json.NewEncoder(cmd.OutOrStdout())
			if err := enc.Encode(probeStep{Manager: probeManager(cmd.Context())}); err != nil {
				return err
			}
			if r := probeRing(); r != nil {
				return enc.Encode(probeStep{Ring: r})
			}
			if p := probePort(); p != nil {
				return enc.Encode(probeStep{Port: p})
			}
			return nil
		},
	}
}

// probeManager makes a manager as every program would, and has it do something.
func probeManager(ctx context.Context) *managerFindings {
	m, err := ringport.New(ringport.Config{})
	if err != nil {
		return &managerFindings{Why: err.Error()}
	}
	s := m.Stats()
	nop := ringport.Nop()
	_, err = m.Do(ctx, &nop)
	if err = errors.Join(err, m.Close()); err != nil {
		return &managerFindings{Why: fmt.Sprintf("%s does not work: %v", s.Backend, err)}
	}
	return &managerFindings{Backend: s.Backend, Why: s.Why}
}

// diagnose finds everything out.
func diagnose(ctx context.Context) (*diagnosis, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the program for the probe: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, probeCommandName)
	out, probeErr := cmd.Output()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	d := &diagnosis{System: kernelVersion() + ", " + runtime.GOARCH, Limits: limits(), Processors: runtime.NumCPU(),
		GoMaxProcs: runtime.GOMAXPROCS(0), Advice: []string{}}
	var m *managerFindings
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var step probeStep
		if err := dec.Decode(&step); err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("read what the probe says: %w", err)
		}
		if step.Manager != nil {
			m = step.Manager
		}
		if step.Ring != nil {
			d.Ring = step.Ring
		}
		if step.Port != nil {
			d.Port = step.Port
		}
	}
	if probeErr != nil && d.Ring == nil {
		d.Ring = deadProbe(cmd.ProcessState)
	}
	switch {
	case m != nil:
		d.Backend, d.Why = m.Backend, m.Why
	case d.Ring != nil:
		d.Why = d.Ring.Reason
	case probeErr != nil:
		return nil, fmt.Errorf("the probe failed: %w", probeErr)
	}
	d.Advice = append(d.Advice, d.advise()...)
	return d, nil
}
