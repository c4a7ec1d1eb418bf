package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ringport/ringport"
)

// Each engine runs in a process of its own, so that one's threads, processor time and garbage are not counted as another's.
// The processes live through the whole run and do a round when they are told to. Both sides speak JSON, one object a line:
// first the spec, then commands; ready or failure, then ticks and results.
type (
	engineCommand struct {
		Round *roundSpec `json:",omitempty"`
		Stop  bool       `json:",omitempty"` // end the round under way; nothing comes after it
	}
	engineReply struct {
		Ready   *engineInfo  `json:",omitempty"`
		Tick    *sample      `json:",omitempty"`
		Result  *roundResult `json:",omitempty"`
		Failure string       `json:",omitempty"` // the process ends
		Usage   bool         `json:",omitempty"` // the failure is the user's to mend
	}
)

const engineCommandName = "bench-engine"

// newEngineCommand is what bench starts for each engine.
func newEngineCommand() *cobra.Command {
	return &cobra.Command{
		Use:    engineCommandName,
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Ctrl-C reaches the whole group of processes; bench tells us what to do about it. If it dies, our input ends. On Windows
			// a signal that is ignored ends the process nevertheless; one that is waited for does not.
			signal.Notify(make(chan os.Signal, 1), syscall.SIGINT)
			signal.Reset(syscall.SIGTERM)
			s := &engineServer{in: json.NewDecoder(cmd.InOrStdin()), out: json.NewEncoder(cmd.OutOrStdout())}
			return s.serve()
		},
	}
}

// engineServer is the engine's side.
type engineServer struct {
	in      *json.Decoder
	mu      sync.Mutex // over out
	out     *json.Encoder
	stopped atomic.Bool
	current atomic.Pointer[round]
}

func (s *engineServer) reply(r engineReply) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Encode(r)
}

// serve opens the engine, runs rounds until the input ends, and closes it. What fails is told to the other side.
func (s *engineServer) serve() error {
	err := s.rounds()
	if err == nil {
		return nil
	}
	var config *ringport.ConfigError
	return errors.Join(err, s.reply(engineReply{Failure: err.Error(), Usage: errors.As(err, &config)}))
}

func (s *engineServer) rounds() (err error) {
	var spec engineSpec
	if err := s.in.Decode(&spec); err != nil {
		return fmt.Errorf("%s is started by bench and not by hand: %w", engineCommandName, err)
	}
	e, err := openEngine(&spec)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	info := e.about()
	if err := s.reply(engineReply{Ready: &info}); err != nil {
		return err
	}
	commands := make(chan roundSpec)
	go s.listen(commands)
	for how := range commands {
		r := newRound(&spec, how)
		s.current.Store(r)
		if s.stopped.Load() {
			r.over.Store(true)
		}
		res, err := runRound(e, r, how, func(t sample) { s.reply(engineReply{Tick: &t}) })
		if err == nil {
			err = s.reply(engineReply{Result: res})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// listen passes rounds on. A stop, or the end of the input, ends the round under way.
func (s *engineServer) listen(rounds chan<- roundSpec) {
	defer close(rounds)
	for {
		var c engineCommand
		if err := s.in.Decode(&c); err != nil || c.Stop {
			if err != nil && err != io.EOF {
				s.reply(engineReply{Failure: "bad command: " + err.Error()})
			}
			s.stopped.Store(true)
			if r := s.current.Load(); r != nil {
				r.over.Store(true)
			}
			if err != nil {
				return
			}
			continue
		}
		rounds <- *c.Round
	}
}
