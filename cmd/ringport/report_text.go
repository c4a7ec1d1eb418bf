package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
)

// writeJSON prints one object a line for each engine.
func writeJSON(out io.Writer, all []figures) error {
	enc := json.NewEncoder(out)
	for _, f := range all {
		for _, v := range []*float64{&f.OperationsPerSecond, &f.MegabytesPerSecond, &f.CPUMicros, &f.P50Micros, &f.P90Micros, &f.P99Micros,
			&f.P999Micros, &f.MaxMicros, &f.SpeedRatio, &f.CPURatio} {
			*v = math.Round(*v*1e4) / 1e4 // more digits would be noise
		}
		if err := enc.Encode(f); err != nil {
			return err
		}
	}
	return nil
}

// writeTable prints the results for a reader.
func (b *bench) writeTable(out io.Writer, all []figures) error {
	var s strings.Builder
	fmt.Fprintf(&s, "\n%s\n%s\n\n", b.o.workTitle(b.file), b.file.subtitle())
	writeColumns(&s, tableOf(all))
	for _, note := range b.notes(all) {
		fmt.Fprintf(&s, "\n%s", note)
	}
	s.WriteString("\n")
	_, err := io.WriteString(out, s.String())
	return err
}

// tableOf is the results as text, a row an engine, after the heads. The page shows the same.
func tableOf(all []figures) [][]string {
	compared := false
	for _, f := range all {
		compared = compared || f.SpeedRatio != 0
	}
	head := []string{"engine", "op/s", "", "MB/s", "CPU µs/op", "", "p50 µs", "p90 µs", "p99 µs", "p99.9 µs", "max µs", "threads"}
	rows := [][]string{head}
	for _, f := range all {
		rows = append(rows, []string{f.Engine,
			humanize.Comma(int64(math.Round(f.OperationsPerSecond))), formatRatio(f.SpeedRatio),
			formatFigure(f.MegabytesPerSecond), formatFigure(f.CPUMicros), formatRatio(f.CPURatio),
			formatFigure(f.P50Micros), formatFigure(f.P90Micros), formatFigure(f.P99Micros), formatFigure(f.P999Micros),
			formatFigure(f.MaxMicros), strconv.Itoa(f.Threads)})
	}
	if !compared { // no column for what is not there
		for i, r := range rows {
			rows[i] = append(append(append([]string{}, r[:2]...), r[3:5]...), r[6:]...)
		}
	}
	return rows
}

// formatRatio is how a figure stands to that of osfile: ×2.34.
func formatRatio(r float64) string {
	if r == 0 {
		return ""
	}
	return "×" + strconv.FormatFloat(r, 'f', 2, 64)
}

// formatFigure shows three digits or all whole ones: 4.82, 87.3, 312, 12,345.
func formatFigure(v float64) string {
	switch {
	case v >= 99.95:
		return humanize.Comma(int64(math.Round(v)))
	case v >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// writeColumns prints rows in columns: the first to the left, figures to the right.
func writeColumns(s *strings.Builder, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			switch {
			case i == 0:
				line = cell + pad
			case rows[0][i] == "": // a ratio stands close to its figure
				line += " " + cell + pad
			default:
				line += "   " + pad + cell
			}
		}
		s.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// notes are the sentences below the table: what ran, and what to mind.
func (b *bench) notes(all []figures) (notes []string) {
	notes = sameBackend(all)
	for _, f := range all {
		if f.Note != "" {
			notes = append(notes, fmt.Sprintf("%s: %s.", f.Engine, f.Note))
		}
		if f.Errors > 0 {
			notes = append(notes, fmt.Sprintf("%s: %s operations failed, the first with: %s.", f.Engine, humanize.Comma(f.Errors), f.FirstError))
		}
	}
	if b.file.cached != "" {
		notes = append(notes, "Not direct but through the page cache, since "+b.file.cached+".")
	}
	if systemNote() != "" {
		notes = append(notes, systemNote()+".")
	}
	for _, n := range b.file.notes {
		notes = append(notes, n+".")
	}
	shortest := b.o.rounds
	for _, f := range all {
		shortest = min(shortest, f.Rounds)
	}
	if len(all) < len(b.tallies) || shortest < b.o.rounds {
		notes = append(notes, "Stopped early: the figures are of what was measured until then.")
	}
	how := "CPU is user and system time of the engine's own process."
	if len(all) > 0 && all[0].SpeedRatio != 0 {
		how += " × is against " + baseline + "."
	}
	return append(notes, how)
}

// sameBackend says once for each backend which engines ran on it, and why.
func sameBackend(all []figures) (lines []string) {
	type choice struct{ backend, why string }
	var order []choice
	engines := map[choice][]string{}
	for _, f := range all {
		c := choice{f.Backend, f.Why}
		if f.Backend == "" {
			continue
		}
		if engines[c] == nil {
			order = append(order, c)
		}
		engines[c] = append(engines[c], f.Engine)
	}
	for _, c := range order {
		lines = append(lines, fmt.Sprintf("%s: backend %s (%s).", strings.Join(engines[c], ", "), c.backend, c.why))
	}
	return lines
}
