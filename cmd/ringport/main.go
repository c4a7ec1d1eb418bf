// Ringport is the command of the ringport library: it measures what a deep queue does on a disk (bench), copies files with
// one (cp), hands out files by HTTP (serve), and says which backend this system gets and why (doctor).
//
// Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (Ctrl-C), 143 terminated.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const (
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the command with its arguments and streams; it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, release := withSignals(context.Background())
	defer release()
	// Cobra finds wrong flags and arguments before it runs anything: what fails until then is wrong usage.
	running := false
	root := newRootCommand()
	root.PersistentPreRun = func(*cobra.Command, []string) { running = true }
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "ringport:", strings.TrimPrefix(err.Error(), "ringport: ")) // the library's errors begin so too
	var stop *signalError
	var usage *usageError
	switch {
	case errors.As(context.Cause(ctx), &stop):
		return 128 + int(stop.signal)
	case !running || errors.As(err, &usage):
		fmt.Fprintln(stderr, "Try 'ringport --help' or 'ringport COMMAND --help'.")
		return exitUsage
	}
	return exitFailed
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "ringport",
		Short:         "Asynchronous I/O: measure it, copy with it, see what this system offers",
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("ringport {{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newBenchCommand(), newEngineCommand(), newCpCommand(), newServeCommand(), newDoctorCommand(), newProbeCommand())
	return root
}

// flagsOnly is the arguments of a command that takes none.
func flagsOnly(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments, and %q is one: a flag's value follows a =, as in --direct=false", cmd.Name(), args[0])
	}
	return nil
}

// flagError says what is wrong with a flag's value in the words of the user, and not in those of the function that parses it.
func flagError(_ *cobra.Command, err error) error {
	var value *pflag.InvalidValueError
	if !errors.As(err, &value) {
		return err
	}
	what := "not a value for it"
	switch flag := value.GetFlag().Value; {
	case errors.Is(err, strconv.ErrRange):
		what = "too large"
	case errors.Is(err, errByteSize):
		what = errByteSize.Error()
	case flag.Type() == "int", flag.Type() == "int64":
		what = "not a whole number"
	case flag.Type() == "duration":
		what = "not a duration; examples: 500ms, 16s, 2m"
	case flag.Type() == "bool":
		what = "neither true nor false"
	}
	return usagef("--%s %s: %s", value.GetFlag().Name, value.GetValue(), what)
}

// usageError is what the user asked for and cannot be; exit code 2.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// signalError is the cause of a context that a signal ended.
type signalError struct{ signal syscall.Signal }

func (e *signalError) Error() string {
	if e.signal == syscall.SIGINT {
		return "interrupted"
	}
	return "ended by a signal: " + e.signal.String()
}

// withSignals returns a context that ends with the first SIGINT or SIGTERM. The second one ends the process as usual, should
// an orderly stop hang.
func withSignals(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		select {
		case s := <-signals:
			signal.Stop(signals)
			cancel(&signalError{s.(syscall.Signal)})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}

// version is the module's version, or the commit it was built from, with toolchain and platform.
func version() string {
	v, commit := "(unknown)", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		v = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = " " + s.Value[:min(12, len(s.Value))]
			}
		}
	}
	return fmt.Sprintf("%s%s (%s %s/%s)", v, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
