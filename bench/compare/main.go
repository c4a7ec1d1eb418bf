// Command compare measures ringport side by side with what its users would use instead, and prints a row for each figure with
// the goal that the project has set itself.
//
//	go -C bench run ./compare [-only NAME] [-json] [-runs N] [-seconds S] [-dir DIR]
//
// Ours and theirs run in turn, each time in a process of its own, on the same file. A ratio is the median over the runs of the
// ratio of each pair, so that what disturbs the machine for a while disturbs both sides. Peers that are not installed (fio, wrk, a C
// compiler with liburing, coreutils) are reported as missing.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path"
	"slices"
	"strings"
	"text/tabwriter"
)

// result is one printed row.
type result struct {
	Name    string  `json:"name"`
	Ours    float64 `json:"ours"`
	Theirs  float64 `json:"theirs"`
	Unit    string  `json:"unit"`
	Ratio   float64 `json:"ratio"`
	Goal    string  `json:"goal"`
	Met     bool    `json:"met"`
	Runs    int     `json:"runs"`
	Against string  `json:"against"`
	Missing string  `json:"missing,omitempty"` // what was not there to compare with
	Error   string  `json:"error,omitempty"`
}

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		playRole(role)
		return
	}
	only := flag.String("only", "", "run only the rows with this `NAME` (patterns such as read-*, separated by commas)")
	asJSON := flag.Bool("json", false, "print one JSON object a row")
	runs := flag.Int("runs", 5, "how often each pair runs")
	seconds := flag.Float64("seconds", 2, "how long each side of a pair runs, where that can be chosen")
	dir := flag.String("dir", ".", "where to put the temporary files: the disk to be measured")
	flag.Parse()
	if *runs < 1 || *seconds <= 0 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *only, *dir, *asJSON, *runs, *seconds); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only, dir string, asJSON bool, runs int, seconds float64) error {
	e, err := newEnvironment(ctx, dir, seconds)
	if err != nil {
		return err
	}
	defer e.close()
	var results []result
	for _, c := range contests {
		if !slices.ContainsFunc(c.rows, func(r row) bool { return wanted(only, r.name) }) {
			continue
		}
		for _, r := range e.hold(c, runs) {
			if !wanted(only, r.Name) {
				continue
			}
			results = append(results, r)
			if asJSON {
				json.NewEncoder(os.Stdout).Encode(r)
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	if len(results) == 0 && ctx.Err() == nil {
		return fmt.Errorf("no row is named %q", only)
	}
	if !asJSON {
		printTable(results)
	}
	return ctx.Err()
}

func wanted(only, name string) bool {
	if only == "" {
		return true
	}
	for _, pattern := range strings.Split(only, ",") {
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return false
}

func printTable(results []result) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "name\tours\ttheirs\tunit\tratio\tgoal\t\truns\tagainst")
	for _, r := range results {
		switch {
		case r.Missing != "":
			fmt.Fprintf(w, "%s\t\t\t%s\t\t%s\tmissing\t\t%s\n", r.Name, r.Unit, r.Goal, r.Missing)
		case r.Error != "":
			fmt.Fprintf(w, "%s\t\t\t%s\t\t%s\terror\t\t%s\n", r.Name, r.Unit, r.Goal, r.Error)
		default:
			met := "short"
			if r.Met {
				met = "met"
			}
			fmt.Fprintf(w, "%s\t%.4g\t%.4g\t%s\t%.2f\t%s\t%s\t%d\t%s\n", r.Name, r.Ours, r.Theirs, r.Unit, r.Ratio, r.Goal, met,
				r.Runs, r.Against)
		}
	}
	w.Flush()
}
