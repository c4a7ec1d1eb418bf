package main

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"
)

//go:embed report.html
var pageText string

var pageTemplate = template.Must(template.New("report").Parse(pageText))

// page is what the template shows. The page is one file: style and plots are in it, and it has no script.
type page struct {
	Title      string
	Subtitle   string
	Head       []string
	Rows       []pageRow
	Bars       []pageBars
	Latency    template.HTML
	Throughput template.HTML
	Notes      []string
	Facts      []fact
}

type pageRow struct {
	Color template.CSS
	Cells []string
}

// pageBars is one figure of all engines, as bars.
type pageBars struct {
	Title string
	Bars  []pageBar
}

type pageBar struct {
	Engine string
	Value  string
	Ratio  string
	Width  template.CSS // of the bar, as a percentage of the longest
	Color  template.CSS
}

// writeHTML writes the results as a page.
func (b *bench) writeHTML(w io.Writer, all []figures) error {
	latency, err := latencyPlot(b.tallies)
	if err != nil {
		return fmt.Errorf("plot latencies: %w", err)
	}
	rate, err := throughputPlot(b.tallies)
	if err != nil {
		return fmt.Errorf("plot throughput: %w", err)
	}
	p := page{
		Title:    b.o.workTitle(b.file),
		Subtitle: b.file.subtitle(),
		// The plots are made from numbers and fixed words alone.
		Latency: template.HTML(latency), Throughput: template.HTML(rate),
		Notes: b.notes(all),
		Bars: []pageBars{
			bars("Operations a second", all, func(f figures) (float64, float64) { return f.OperationsPerSecond, f.SpeedRatio }),
			bars("Processor time an operation, µs", all, func(f figures) (float64, float64) { return f.CPUMicros, f.CPURatio }),
		},
		Facts: append([]fact{{"Command", commandLine()}, {"Time", time.Now().Format(time.RFC1123Z)}}, machineFacts()...),
	}
	rows := tableOf(all)
	p.Head = rows[0]
	for i, r := range rows[1:] {
		p.Rows = append(p.Rows, pageRow{colorOf(all[i].Engine), r})
	}
	return pageTemplate.Execute(w, p)
}

func bars(title string, all []figures, get func(figures) (value, ratio float64)) pageBars {
	longest := 0.0
	for _, f := range all {
		v, _ := get(f)
		longest = max(longest, v)
	}
	p := pageBars{Title: title}
	for _, f := range all {
		v, ratio := get(f)
		width := 0.0
		if longest > 0 {
			width = 100 * v / longest
		}
		p.Bars = append(p.Bars, pageBar{Engine: f.Engine, Value: formatFigure(v), Ratio: strings.TrimSpace(formatRatio(ratio)),
			Width: template.CSS(fmt.Sprintf("%.1f%%", width)), Color: colorOf(f.Engine)})
	}
	return p
}

func colorOf(engine string) template.CSS { return template.CSS(hexColor(engineColors[engine])) }
