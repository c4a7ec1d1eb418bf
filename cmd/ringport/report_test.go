package main

import (
	"bytes"
	"encoding/xml"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type parsedPage struct {
	text     string
	plots    string // attributes of what is in an svg
	elements map[string]int
}

// parsePage reads a page and fails the test for whatever could fetch something or run.
func parsePage(t *testing.T, b []byte) parsedPage {
	t.Helper()
	p := parsedPage{elements: map[string]int{}}
	d := xml.NewDecoder(bytes.NewReader(b))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	plot := 0
	for {
		token, err := d.Token()
		if err == io.EOF {
			return p
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			p.elements[e.Name.Local]++
			if e.Name.Local == "svg" {
				plot++
			}
			switch e.Name.Local {
			case "script", "link", "iframe", "object", "embed", "img", "image", "use", "base", "form":
				t.Errorf("the page has a <%s>", e.Name.Local)
			}
			for _, a := range e.Attr {
				name := strings.ToLower(a.Name.Local)
				if name == "src" || name == "href" || name == "srcset" || strings.HasPrefix(name, "on") || strings.Contains(a.Value, "url(") {
					t.Errorf("the page has %s=%q", a.Name.Local, a.Value)
				}
				if plot > 0 {
					p.plots += a.Value + " "
				}
			}
		case xml.EndElement:
			if e.Name.Local == "svg" {
				plot--
			}
		case xml.CharData:
			p.text += string(e)
			if strings.Contains(string(e), "url(") || strings.Contains(string(e), "@import") {
				t.Errorf("the page fetches: %s", e)
			}
		}
	}
}

// What was measured is nothing, or one operation: still a page and a table.
func TestReportOfLittle(t *testing.T) {
	empty := &roundResult{}
	one := &roundResult{Operations: 1, Nanos: 1000, CPUNanos: 500, Threads: 3, Samples: []sample{{1000, 1}}}
	hist := newHistogram()
	hist.RecordValue(1000)
	b := &bench{o: &benchOptions{block: 4096, depth: 1, rw: "read", pattern: "random", rounds: 5}, file: &benchFile{title: "x", size: 4096},
		tallies: []*tally{newTally("osfile", engineInfo{}), newTally("loop", engineInfo{}), newTally("pool", engineInfo{})}}
	b.tallies[0].add(empty, newHistogram())
	b.tallies[1].add(one, hist)
	all := b.figures()
	if len(all) != 2 || all[1].OperationsPerSecond != 1e6 || all[1].CPUMicros != 0.5 || math.Abs(all[1].P50Micros-1) > 0.01 || all[1].SpeedRatio != 0 {
		t.Errorf("figures %+v", all)
	}
	var text, page bytes.Buffer
	if err := b.writeTable(&text, all); err != nil || !strings.Contains(text.String(), "Stopped early") {
		t.Errorf("%v, %s", err, &text)
	}
	if err := b.writeHTML(&page, all); err != nil {
		t.Fatal(err)
	}
	if s := page.String(); strings.Contains(s, "NaN") || strings.Contains(s, "Inf") {
		t.Error("the page has NaN or Inf in it")
	}
	parsePage(t, page.Bytes())
}

// Names from outside are shown and not obeyed.
func TestHTMLEscapes(t *testing.T) {
	b := &bench{o: &benchOptions{block: 4096, rw: "read"}, file: &benchFile{title: "<script>alert(1)</script>", size: 4096}}
	var page bytes.Buffer
	if err := b.writeHTML(&page, nil); err != nil {
		t.Fatal(err)
	}
	if p := parsePage(t, page.Bytes()); !strings.Contains(p.text, "<script>alert(1)") {
		t.Error("the file's name is not on the page")
	}
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		operations []int64
		want       float64
	}{{[]int64{7}, 7}, {[]int64{9, 1}, 5}, {[]int64{9, 1, 2}, 2}, {[]int64{4, 1, 100, 2}, 3}} {
		var rounds []*roundResult
		for _, n := range test.operations {
			rounds = append(rounds, &roundResult{Operations: n, Nanos: 1e9})
		}
		if got := medianOf(rounds, rateOf); got != test.want {
			t.Errorf("median of %v: %v, not %v", test.operations, got, test.want)
		}
	}
}

func TestFormat(t *testing.T) {
	for v, want := range map[float64]string{0: "0.00", 4.816: "4.82", 9.994: "9.99", 9.996: "10.0", 87.34: "87.3", 99.96: "100", 312.4: "312", 12345.6: "12,346"} {
		if got := formatFigure(v); got != want {
			t.Errorf("formatFigure(%v) = %s, not %s", v, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 512: "512 B", 4096: "4 KiB", 1 << 20: "1 MiB", 3 << 30: "3 GiB", 1536: "1.5 KiB", 1024 << 40: "1.0 PiB"} {
		if got := formatSize(n); got != want {
			t.Errorf("formatSize(%d) = %s, not %s", n, got, want)
		}
	}
}

func TestByteSize(t *testing.T) {
	for s, want := range map[string]byteSize{"4096": 4096, "4k": 4096, "4K": 4096, "4KiB": 4096, "4kb": 4096, "1.5m": 3 << 19, "2g": 2 << 30, "1t": 1 << 40,
		"512b": 512, " 8 m": 8 << 20, "0": 0} {
		var b byteSize
		if err := b.Set(s); err != nil || b != want {
			t.Errorf("%q: %d (%v), not %d", s, b, err, want)
		}
	}
	for _, s := range []string{"", "k", "four", "-1", "1.0001k", "9000000t", "1e400", "nan", "inf", "4 x"} {
		var b byteSize
		if err := b.Set(s); err == nil {
			t.Errorf("%q: %d", s, b)
		}
	}
}

// The points of the plots.
func TestPlotPoints(t *testing.T) {
	tl := newTally("loop", engineInfo{})
	hist := newHistogram()
	for i := range int64(1000) {
		hist.RecordValue((i + 1) * 1000)
	}
	// The second sample of the first round comes so early that it says nothing.
	tl.add(&roundResult{Operations: 1000, Nanos: 110e6, Samples: []sample{{100e6, 500}, {110e6, 1000}}}, hist)
	tl.add(&roundResult{Operations: 1000, Nanos: 200e6, Samples: []sample{{100e6, 400}, {200e6, 1000}}}, newHistogram())
	points := throughput(tl)
	want := []struct{ x, y float64 }{{0.05, 5}, {0.16, 4}, {0.26, 6}}
	if len(points) != len(want) {
		t.Fatalf("throughput: %v", points)
	}
	for i, w := range want {
		if math.Abs(points[i].X-w.x) > 1e-9 || math.Abs(points[i].Y-w.y) > 1e-9 {
			t.Errorf("throughput: point %d is %v, not %v", i, points[i], w)
		}
	}
	curve := percentiles(tl)
	last := curve[len(curve)-1]
	if math.Abs(last.Y-1000) > 1 || last.X > 3.31 || curve[0].X < 0 || curve[0].Y > 2 {
		t.Errorf("percentiles from %v to %v", curve[0], last)
	}
	for i := 1; i < len(curve); i++ {
		if curve[i].X < curve[i-1].X || curve[i].Y < curve[i-1].Y {
			t.Errorf("percentiles go back: %v, %v", curve[i-1], curve[i])
		}
	}
}

func TestReplaceFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "page")
	if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	failure := io.ErrUnexpectedEOF
	if err := replaceFile(file, func(w io.Writer) error { io.WriteString(w, "half"); return failure }); err != failure {
		t.Errorf("the error is %v", err)
	}
	if b, _ := os.ReadFile(file); string(b) != "old" {
		t.Errorf("after a failure the file has %q", b)
	}
	if err := replaceFile(file, func(w io.Writer) error { _, err := io.WriteString(w, "new"); return err }); err != nil {
		t.Error(err)
	}
	if b, _ := os.ReadFile(file); string(b) != "new" {
		t.Errorf("the file has %q", b)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%d files are left", len(entries))
	}
}
