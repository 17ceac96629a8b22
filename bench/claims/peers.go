package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// A server that was started here: it dies with this program.
type server struct {
	process *exec.Cmd
	done    chan struct{}
	name    string
}

// Where it is installed: on PATH, where Debian keeps it, or in the user's cache (bench/peers).
func find(name string, also ...string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	cache, _ := os.UserCacheDir()
	for _, path := range append(also, filepath.Join(cache, "infrafabric", "bin", name)) {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", absent{name + " is not installed (bench/peers)"}
}

// Whoever runs this as root is another user inside: some servers refuse root, and nothing here needs it.
func command(path string, args ...string) *exec.Cmd {
	c := exec.Command(path, args...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 {
		uid, gid := 65534, 65534
		if nobody, err := user.Lookup("nobody"); err == nil {
			uid, _ = strconv.Atoi(nobody.Uid)
			gid, _ = strconv.Atoi(nobody.Gid)
		}
		c.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: 0, Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: 0, Size: 1}}
	}
	return c
}

func start(data, path string, args ...string) (*server, error) {
	return startIn(data, data, path, args...)
}

// Its working directory is where; its log stands beside data.
func startIn(where, data, path string, args ...string) (*server, error) {
	log, err := os.Create(data + ".log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s := &server{process: command(path, args...), done: make(chan struct{}), name: filepath.Base(path)}
	s.process.Dir, s.process.Stdout, s.process.Stderr = where, log, log
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = s.process.Wait()
		close(s.done)
	}()
	return s, nil
}

func (s *server) stop() {
	_ = s.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(10 * time.Second):
		_ = s.process.Process.Kill()
		<-s.done
	}
}

// Until try says nil.
func (s *server) await(try func() error) error {
	var err error
	for until := time.Now().Add(30 * time.Second); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		if err = try(); err == nil {
			return nil
		}
		select {
		case <-s.done:
			return fmt.Errorf("%s ended: %v; its log stands beside its data", s.name, s.process.ProcessState)
		default:
		}
	}
	s.stop()
	return fmt.Errorf("%s did not get ready: %w", s.name, err)
}
