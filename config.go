package ringport

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"

	"github.com/ringport/ringport/internal/driver"
)

// The backends, as [Config].Backend, the environment variable RINGPORT_BACKEND and [Stats] name them.
const (
	BackendIOUring = "io_uring" // Linux 5.12 or later, where it is permitted
	BackendPool    = "pool"     // a pool of threads, on every Unix
	BackendIOCP    = "iocp"     // I/O completion ports, on Windows
)

// BackendVariable is the environment variable that chooses the backend where [Config].Backend does not. It is read before
// any backend is tried, so that it helps even where the attempt alone would end the process (a killing seccomp filter).
const BackendVariable = "RINGPORT_BACKEND"

// MaxDepth is the largest [Config].Depth.
const MaxDepth = 32768

// Config says how a manager is made. The zero value is right for most.
type Config struct {
	// Backend is the backend to use, and no other. Empty: what RINGPORT_BACKEND says, else the best that there is.
	Backend string

	// CallerDriven makes a manager without goroutines: its owner calls Step. See [New].
	CallerDriven bool

	// Depth is how many operations can be handed to the system at once, 0 to MaxDepth; zero: 256. More can be in flight.
	Depth int

	// MinWorkers and MaxWorkers bound the goroutines that wait for completions and run callbacks. A worker that is in
	// callbacks hands the wait on, to an idle worker or a new one; idle ones above MinWorkers end. While MaxWorkers of them
	// are blocked in callbacks, nothing is delivered; if all of these wait for the manager itself, by Do, a File, RunCmd and the like, they do so
	// for ever, even when their contexts end. The logger is told when all are in callbacks. Zero: 2 (or MaxWorkers, if that is less) and 256.
	MinWorkers, MaxWorkers int

	// MaxThreads bounds the threads that the driver blocks in system calls that cannot wait in any other way. Zero: 64. On Windows, what may wait
	// for somebody else on a handle that can't be attached has up to 1024 more for reads and polls, for writes and flushes, and for Overlapped's
	// calls each; what is beyond that queues.
	MaxThreads int

	// Logger gets what happens, for whoever looks for the reason of a hang: at slog.LevelDebug what happens to the manager, that is
	// its opening with the backend and why, workers, attaches that were refused, and how far Close has come; at [LevelOperation] the
	// start, cancel and end of each operation. Nil: nobody. It is called where that happens, with no lock held, and so must not
	// wait for the manager or use its files. See docs/how-it-works.md.
	Logger *slog.Logger
}

const (
	defaultMinWorkers = 2
	defaultMaxWorkers = 256
	defaultMaxThreads = 64
)

// complete checks c and fills in what is zero.
func (c *Config) complete() error {
	minWorkers := defaultMinWorkers
	if c.MaxWorkers > 0 {
		minWorkers = min(minWorkers, c.MaxWorkers)
	}
	for _, f := range []struct {
		name      string
		value     *int
		byDefault int
		max       int
	}{
		{"Depth", &c.Depth, 256, MaxDepth},
		{"MinWorkers", &c.MinWorkers, minWorkers, 1 << 16},
		{"MaxWorkers", &c.MaxWorkers, max(defaultMaxWorkers, c.MinWorkers), 1 << 16},
		{"MaxThreads", &c.MaxThreads, defaultMaxThreads, 1 << 16},
	} {
		if *f.value < 0 || *f.value > f.max {
			return &ConfigError{f.name, strconv.Itoa(*f.value), fmt.Sprintf("it must be from 0 (default) to %d", f.max)}
		}
		if *f.value == 0 {
			*f.value = f.byDefault
		}
	}
	if c.MaxWorkers < c.MinWorkers {
		return &ConfigError{"MaxWorkers", strconv.Itoa(c.MaxWorkers), "it must not be below MinWorkers"}
	}
	return nil
}

// backend is one way to get a driver.
type backend struct {
	name string
	open func(driver.Options) (driver.Driver, error)
}

// openDriver opens the driver that c and the environment ask for, or the best there is, and says why it is this one. Only
// "not permitted" and "not supported" lead to the next; every other failure is an error.
func openDriver(c *Config) (driver.Driver, string, error) {
	name, field, why := c.Backend, "Backend", "chosen by Config.Backend"
	if name == "" {
		name, field, why = os.Getenv(BackendVariable), BackendVariable, "chosen by "+BackendVariable
	}
	o := driver.Options{Owned: c.CallerDriven, Depth: c.Depth, MaxThreads: c.MaxThreads}
	var names, refusals []string
	for _, b := range backends {
		names = append(names, b.name)
		if name != "" && name != b.name {
			continue
		}
		d, err := b.open(o)
		if err == nil {
			if name == "" {
				why = strings.Join(append(refusals, "best available"), "; ")
			}
			return d, why, nil
		}
		var unavailable *driver.UnavailableError
		if name != "" || !errors.As(err, &unavailable) {
			return nil, "", fmt.Errorf("ringport: %w", err)
		}
		refusals = append(refusals, err.Error())
	}
	if name == "" {
		return nil, "", fmt.Errorf("ringport: no backend for this system: %w", errors.ErrUnsupported)
	}
	for _, known := range []string{BackendIOUring, BackendPool, BackendIOCP} {
		if name == known {
			return nil, "", fmt.Errorf("ringport: %w", &UnavailableError{Backend: name, Reason: "not on this operating system"})
		}
	}
	return nil, "", &ConfigError{field, name, "it must be one of " + strings.Join(names, ", ")}
}
