package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

//go:embed peers/*.c
var sources embed.FS

// inC is the program that peers/NAME.c is compiled to. What it needs beside the C library is a flag and has a name.
func (e *environment) inC(name, flag, needs string) (string, error) {
	if program := e.built[name]; program != "" {
		return program, nil
	}
	source, err := sources.ReadFile("peers/" + name + ".c")
	if err != nil {
		return "", err
	}
	cc, err := exec.LookPath("cc")
	if err != nil {
		return "", errMissing{"a C compiler (cc)"}
	}
	program := filepath.Join(e.dir, name)
	arguments := []string{"-O2", "-x", "c", "-", "-o", program}
	if flag != "" {
		arguments = append(arguments, flag)
	}
	cmd := exec.CommandContext(e.ctx, cc, arguments...)
	cmd.Stdin = bytes.NewReader(source)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errMissing{needs + ": " + string(bytes.SplitN(out, []byte("\n"), 2)[0])}
	}
	e.built[name] = program
	return program, nil
}

// cNop runs nop.c.
func cNop(e *environment) (figures, error) {
	program, err := e.inC("nop", "-luring", "liburing for C")
	if err != nil {
		return figures{}, err
	}
	return parse(exec.CommandContext(e.ctx, program, fmt.Sprint(e.seconds)))
}

// underWine is the command that runs this program under Wine, for which it is compiled first.
func (e *environment) underWine() ([]string, error) {
	if runtime.GOOS != "linux" {
		return nil, errMissing{"Windows, or Wine on Linux"}
	}
	wine, err := filepath.Abs(filepath.Join("..", "internal", "winetest"))
	if err != nil {
		return nil, err
	}
	program := e.built["windows"]
	if program == "" {
		if out, err := exec.CommandContext(e.ctx, filepath.Join(wine, "setup")).CombinedOutput(); err != nil {
			lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
			return nil, errMissing{string(lines[len(lines)-1])}
		}
		program = filepath.Join(e.dir, "compare.exe")
		cmd := exec.CommandContext(e.ctx, "go", "build", "-o", program, "./compare")
		cmd.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build for Windows: %w: %s", err, out)
		}
		e.built["windows"] = program
	}
	return []string{filepath.Join(wine, "exec"), program}, nil
}

// fio runs fio's io_uring engine on the data file.
func fio(e *environment, depth int) (figures, error) {
	program, err := exec.LookPath("fio")
	if err != nil {
		return figures{}, errMissing{"fio"}
	}
	data, err := e.dataFile()
	if err != nil {
		return figures{}, err
	}
	out, err := exec.CommandContext(e.ctx, program, "--name=r", "--filename="+data, "--rw=randread", "--bs=4k", "--direct=1",
		"--ioengine=io_uring", "--iodepth="+strconv.Itoa(depth), "--time_based", "--runtime="+fmt.Sprint(e.seconds),
		"--output-format=json").Output()
	if err != nil {
		return figures{}, fmt.Errorf("fio: %w", err)
	}
	var report struct {
		Jobs []struct {
			User   float64 `json:"usr_cpu"`
			System float64 `json:"sys_cpu"`
			Read   struct {
				Operations float64 `json:"total_ios"`
				RuntimeMS  float64 `json:"runtime"`
			} `json:"read"`
		} `json:"jobs"`
	}
	if err := json.Unmarshal(out, &report); err != nil || len(report.Jobs) != 1 {
		return figures{}, fmt.Errorf("fio printed something else than one job: %w", err)
	}
	job := report.Jobs[0]
	seconds := job.Read.RuntimeMS / 1000
	return figures{Operations: job.Read.Operations, Seconds: seconds, CPUSeconds: (job.User + job.System) / 100 * seconds}, nil
}

// copyOurs and copyTheirs copy what prepare made, to a fresh place, with dropped caches.
func copyOurs(e *environment, prepare func(*environment) (string, error)) (figures, error) {
	program := e.built["ringport"]
	if program == "" {
		program = filepath.Join(e.dir, "ringport")
		cmd := exec.CommandContext(e.ctx, "go", "build", "-o", program, "github.com/ringport/ringport/cmd/ringport")
		cmd.Dir = filepath.Join("..", "cmd", "ringport")
		if out, err := cmd.CombinedOutput(); err != nil {
			return figures{}, fmt.Errorf("build the command: %w: %s", err, out)
		}
		e.built["ringport"] = program
	}
	return copyWith(e, prepare, program, "cp", "--quiet")
}

func copyTheirs(e *environment, prepare func(*environment) (string, error)) (figures, error) {
	program, err := exec.LookPath("cp")
	if err != nil {
		return figures{}, errMissing{"coreutils cp"}
	}
	return copyWith(e, prepare, program, "-a")
}

func copyWith(e *environment, prepare func(*environment) (string, error), command ...string) (figures, error) {
	source, err := prepare(e)
	if err != nil {
		return figures{}, err
	}
	target := filepath.Join(e.dir, "copy")
	if err := os.RemoveAll(target); err != nil {
		return figures{}, err
	}
	if err := dropCaches(); err != nil {
		return figures{}, err
	}
	if err := warmMemory(); err != nil {
		return figures{}, err
	}
	f, err := timed(exec.CommandContext(e.ctx, command[0], append(command[1:], source, target)...))
	os.RemoveAll(target)
	return f, err
}

// dropCaches writes everything back and empties the page cache, which takes root.
func dropCaches() error {
	if err := exec.Command("sync").Run(); err != nil {
		return errMissing{"sync(1)"}
	}
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		return errMissing{"the right to drop caches (root on Linux)"}
	}
	return nil
}

// warmMemory touches as much free memory as a copy fills with its caches. On a virtual machine, what was freed a while ago may have gone
// back to the host, and the next program that touches it pays for that: here every other copy took twice as long, whoever made it.
func warmMemory() error {
	meminfo, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return errMissing{"/proc/meminfo"}
	}
	_, text, _ := strings.Cut(string(meminfo), "MemAvailable:")
	var availableKiB int
	if _, err := fmt.Sscan(text, &availableKiB); err != nil {
		return errMissing{"the available memory in /proc/meminfo"}
	}
	memory := make([]byte, min(6<<30, availableKiB<<10/2))
	for i := 0; i < len(memory); i += os.Getpagesize() {
		memory[i] = 1
	}
	runtime.KeepAlive(memory)
	memory = nil
	debug.FreeOSMemory()
	return nil
}

func makeBigFile(e *environment) (string, error) {
	name := filepath.Join(e.dir, "big")
	if _, err := os.Stat(name); err == nil {
		return name, nil
	}
	data, err := e.dataFile()
	if err != nil {
		return "", err
	}
	f, err := os.Create(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	for range 2 { // 2 GiB
		part, err := os.Open(data)
		if err != nil {
			return "", err
		}
		_, err = f.ReadFrom(part)
		part.Close()
		if err != nil {
			return "", err
		}
	}
	return name, f.Sync()
}

// makeTree makes 20,000 files of 0 to 16 KiB in 200 folders.
func makeTree(e *environment) (string, error) {
	root := filepath.Join(e.dir, "tree")
	if _, err := os.Stat(root); err == nil {
		return root, nil
	}
	content := make([]byte, 16<<10)
	for i := range content {
		content[i] = byte(i * 7)
	}
	for d := range 200 {
		dir := filepath.Join(root, fmt.Sprintf("d%03d", d))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", err
		}
		for i := range 100 {
			name := filepath.Join(dir, fmt.Sprintf("f%02d", i))
			if err := os.WriteFile(name, content[:(d*100+i)*3541%len(content)], 0o600); err != nil {
				return "", err
			}
		}
	}
	return root, nil
}
