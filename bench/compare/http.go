package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os/exec"
	"strconv"

	"github.com/ringport/ringport/rnet"
)

func init() {
	plays["http"] = playHTTP
}

// httpRole is a server of package net/http under wrk's load, on 64 connections that are kept.
func httpRole(engine string) func(*environment) (figures, error) {
	return func(e *environment) (figures, error) {
		wrk, err := exec.LookPath("wrk")
		if err != nil {
			return figures{}, errMissing{"wrk"}
		}
		server, err := e.child(role{Name: "http", Engine: engine})
		if err != nil {
			return figures{}, err
		}
		return underLoad(server, func(port string) (figures, error) {
			duration := strconv.Itoa(int(math.Ceil(e.seconds))) + "s" // wrk knows whole seconds only
			out, err := exec.CommandContext(e.ctx, wrk, "-t", "1", "-c", "64", "-d", duration, "http://127.0.0.1:"+port+"/").Output()
			if err != nil {
				return figures{}, fmt.Errorf("wrk: %w", err)
			}
			return wrkFigures(out)
		})
	}
}

// wrkFigures reads what wrk prints: "N requests in S.SSs, …". Errors have lines of their own.
func wrkFigures(out []byte) (f figures, err error) {
	for line := range bytes.Lines(out) {
		if bytes.Contains(line, []byte("errors")) || bytes.Contains(line, []byte("Non-2xx")) {
			return f, fmt.Errorf("wrk: %s", bytes.TrimSpace(line))
		}
		if n, _ := fmt.Sscanf(string(line), " %f requests in %fs", &f.Operations, &f.Seconds); n == 2 && f.Operations > 0 {
			return f, nil
		}
	}
	return f, fmt.Errorf("wrk printed no figures: %s", out)
}

// playHTTP is a server of plain text.
func playHTTP(r role) (figures, error) {
	listen := net.Listen
	if r.Engine == "rnet" {
		listen = rnet.Listen
	}
	l, err := listen("tcp", "127.0.0.1:0")
	if err != nil {
		return figures{}, err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, "Hello, World!")
	})}
	go server.Serve(l)
	return figures{}, serveUntilInputEnds(l.Addr(), server)
}
