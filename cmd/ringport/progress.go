package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress tells the user how far a command is.
type progress interface {
	// stage begins a part of the work that has total units.
	stage(what string, total int64)
	// at says how many units are done, and what is going on.
	at(done int64, what string)
	// line says that something is finished, for good.
	line(text string)
	// end clears what is not for good.
	end()
}

// newProgress is a live bar on a terminal, and else plain lines for what is finished.
func newProgress(w io.Writer) progress {
	if isTerminal(w) {
		return &liveProgress{w: w}
	}
	return &plainProgress{w: w}
}

// isTerminal reports whether w can take a bar that moves.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

type plainProgress struct{ w io.Writer }

func (p *plainProgress) stage(what string, _ int64) { fmt.Fprintln(p.w, what) }
func (p *plainProgress) at(int64, string)           {}
func (p *plainProgress) line(text string)           { fmt.Fprintln(p.w, text) }
func (p *plainProgress) end()                       {}

// liveProgress is one line that is written over and over. It uses no escape sequences, which not every Windows console knows.
type liveProgress struct {
	w     io.Writer
	bar   *progressbar.ProgressBar
	width int // of what is said before the bar
}

func (p *liveProgress) stage(_ string, total int64) {
	p.end()
	p.width = 36 // so wide that the bar stands still, and fits beside it in 80 columns
	p.bar = progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(p.w),
		progressbar.OptionSetWidth(24),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionThrottle(50*time.Millisecond),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "█", SaucerPadding: "░", BarStart: "", BarEnd: ""}),
	)
}

func (p *liveProgress) at(done int64, what string) {
	if p.bar == nil {
		return
	}
	p.width = max(p.width, utf8.RuneCountInString(what)) // a line that got shorter would leave its end behind
	p.bar.Describe(fmt.Sprintf("%-*s", p.width, what))
	p.bar.Set64(min(done, p.bar.GetMax64()))
}

// line shows nothing: the bar has shown it, and the table will.
func (p *liveProgress) line(string) {}

func (p *liveProgress) end() {
	if p.bar == nil {
		return
	}
	// The library's Clear leaves the line as it is on Windows.
	if n := utf8.RuneCountInString(strings.TrimPrefix(p.bar.String(), "\r")); n > 0 {
		fmt.Fprintf(p.w, "\r%*s\r", n, "")
	}
	p.bar = nil
}
