package main

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"strconv"

	"github.com/dustin/go-humanize"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The size of a plot. The page stretches it to its own width.
const (
	plotWidth  = 9 * vg.Inch
	plotHeight = 3.6 * vg.Inch
)

// engineColors are those of the plots and the page.
var engineColors = map[string]color.RGBA{
	"osfile":   {0x6b, 0x72, 0x80, 0xff},
	"ringport": {0x25, 0x63, 0xeb, 0xff},
	"loop":     {0x05, 0x96, 0x69, 0xff},
	"pool":     {0xd9, 0x77, 0x06, 0xff},
	"osfiles":  {0xd9, 0x77, 0x06, 0xff},
}

var (
	plotInk  = color.RGBA{0x37, 0x41, 0x51, 0xff}
	plotGrid = color.RGBA{0xe5, 0xe7, 0xeb, 0xff}
)

// newPlot is an empty plot in the page's style.
func newPlot(x, y string) *plot.Plot {
	p := plot.New()
	sans := func(f *font.Font, size vg.Length) { f.Variant, f.Size = "Sans", size }
	for axis, label := range map[*plot.Axis]string{&p.X: x, &p.Y: y} {
		axis.Label.Text = label
		axis.Label.TextStyle.Color, axis.Tick.Label.Color = plotInk, plotInk
		axis.Color, axis.Tick.Color = plotGrid, plotGrid
		sans(&axis.Label.TextStyle.Font, 11)
		sans(&axis.Tick.Label.Font, 10)
		axis.Label.Padding = 4
		axis.Padding = 0
	}
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = plotGrid, plotGrid
	p.Add(grid)
	return p
}

func addLine(p *plot.Plot, engine string, points plotter.XYs) error {
	line, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	line.Color, line.Width = engineColors[engine], 1.8
	p.Add(line)
	if len(points) > 1 {
		return nil
	}
	dot, err := plotter.NewScatter(points) // a line of one point would not be seen
	if err != nil {
		return err
	}
	dot.GlyphStyle = draw.GlyphStyle{Color: line.Color, Radius: 2.5, Shape: draw.CircleGlyph{}}
	p.Add(dot)
	return nil
}

func renderSVG(p *plot.Plot) ([]byte, error) {
	c := vgsvg.New(plotWidth, plotHeight)
	p.Draw(draw.New(c))
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return nil, err
	}
	// In a page the picture has no XML declaration of its own.
	return b.Bytes()[bytes.Index(b.Bytes(), []byte("<svg")):], nil
}

// latencyPlot shows how long what part of the operations took: each step to the right is ten times rarer.
func latencyPlot(tallies []*tally) ([]byte, error) {
	p := newPlot("percentile of operations", "latency, µs")
	p.Y.Scale = plot.LogScale{}
	right, low, high := 1.0, math.Inf(1), 0.0
	for _, t := range tallies {
		points := percentiles(t)
		if len(points) == 0 {
			continue
		}
		if err := addLine(p, t.engine, points); err != nil {
			return nil, err
		}
		last := points[len(points)-1]
		right, low, high = max(right, last.X), min(low, points[0].Y), max(high, last.Y)
	}
	if high == 0 {
		low, high = 1, 10 // nothing was measured
	}
	p.X.Min, p.X.Max = 0, right+0.12 // room for the last label
	p.Y.Min, p.Y.Max = low*0.9, high*1.15
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.TickerFunc(percentileTicks), plot.TickerFunc(logTicks)
	return renderSVG(p)
}

// percentiles are the points of an engine's curve: x is the number of nines, y is in microseconds.
func percentiles(t *tally) (points plotter.XYs) {
	total := float64(t.latencies.TotalCount())
	if total == 0 {
		return nil
	}
	for _, b := range t.latencies.CumulativeDistributionWithTicks(8) {
		// The slowest operation has nothing behind it; it stands where half an operation would.
		rest := max(1-b.Quantile/100, 0.5/total)
		points = append(points, plotter.XY{X: -math.Log10(rest), Y: max(float64(b.ValueAt), 1) / 1e3})
	}
	return points
}

// percentileTicks are 0, 50, 90, 99, 99.9 and so on.
func percentileTicks(_, right float64) (ticks []plot.Tick) {
	ticks = []plot.Tick{{Value: 0, Label: "0"}, {Value: -math.Log10(0.5), Label: "50"}, {Value: 1, Label: "90"}}
	for nines := 2.0; nines <= right; nines++ {
		ticks = append(ticks, plot.Tick{Value: nines, Label: strconv.FormatFloat(100-math.Pow(10, 2-nines), 'f', -1, 64)})
	}
	return ticks
}

// logTicks are 1, 2 and 5 of each power of ten.
func logTicks(low, high float64) (ticks []plot.Tick) {
	for e := math.Floor(math.Log10(low)); e <= math.Log10(high); e++ {
		for _, digit := range []float64{1, 2, 5} {
			if v := digit * math.Pow(10, e); v >= low && v <= high {
				ticks = append(ticks, plot.Tick{Value: v, Label: formatTick(v)})
			}
		}
	}
	return ticks
}

func formatTick(v float64) string {
	if v < 1000 {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return humanize.Comma(int64(v + 0.5))
}

// throughputPlot shows operations a second over each engine's own time, its rounds put together.
func throughputPlot(tallies []*tally) ([]byte, error) {
	p := newPlot("seconds of the engine's own rounds", "thousand op/s")
	top, right := 0.0, 0.0
	for _, t := range tallies {
		points := throughput(t)
		if len(points) == 0 {
			continue
		}
		if err := addLine(p, t.engine, points); err != nil {
			return nil, err
		}
		for _, xy := range points {
			top, right = max(top, xy.Y), max(right, xy.X)
		}
	}
	if top == 0 {
		top, right = 1, 1
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, right*1.02, 0, top*1.1
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.TickerFunc(plainTicks), plot.TickerFunc(plainTicks)
	return renderSVG(p)
}

// throughput are the points of an engine's curve, one for each sample.
func throughput(t *tally) (points plotter.XYs) {
	begin := int64(0)
	for _, r := range t.rounds {
		before := sample{}
		for i, s := range r.Samples {
			span := s.Nanos - before.Nanos
			// The last sample of a round comes early; one that says little is left out.
			if i > 0 && span < int64(sampleInterval)/2 || span <= 0 {
				continue
			}
			rate := float64(s.Operations-before.Operations) / float64(span) * 1e9
			points = append(points, plotter.XY{X: float64(begin+before.Nanos+span/2) / 1e9, Y: rate / 1e3})
			before = s
		}
		begin += r.Nanos
	}
	return points
}

// plainTicks are about five round values.
func plainTicks(low, high float64) (ticks []plot.Tick) {
	step := math.Pow(10, math.Floor(math.Log10((high-low)/5)))
	for _, factor := range []float64{1, 2, 5, 10} {
		if (high-low)/(step*factor) <= 8 {
			step *= factor
			break
		}
	}
	for i := math.Ceil(low / step); i*step <= high; i++ {
		ticks = append(ticks, plot.Tick{Value: i * step, Label: formatTick(math.Round(i*step*1e6) / 1e6)})
	}
	return ticks
}

// hexColor is c as style sheets write it.
func hexColor(c color.RGBA) string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }
