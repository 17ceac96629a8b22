package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Round trips of a claim's sizes over a Unix socket to a process that only echoes: what any answer costs that is waited for here.
const echoAsk, echoAnswer = 170, 900

func (f *fabric) echo(count int) error {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	mine, other := os.NewFile(uintptr(pair[0]), "echo"), os.NewFile(uintptr(pair[1]), "echo")
	defer mine.Close()
	process := exec.Command(os.Args[0], "echo")
	process.ExtraFiles, process.SysProcAttr = []*os.File{other}, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := process.Start(); err != nil {
		return err
	}
	other.Close()
	conn, err := net.FileConn(mine)
	if err != nil {
		return err
	}
	bytes, took := make([]byte, echoAnswer), make([]time.Duration, 0, count)
	for range count {
		from := time.Now()
		if _, err = conn.Write(bytes[:echoAsk]); err == nil {
			_, err = io.ReadFull(conn, bytes)
		}
		if err != nil {
			return err
		}
		took = append(took, time.Since(from))
	}
	quantiles("echo", took)
	conn.Close()
	mine.Close() // the last end: it ends
	return process.Wait()
}

// The other side, on descriptor 3: a thread that waits in read(2), as plain as can be.
func echoes() {
	runtime.LockOSThread()
	bytes := make([]byte, echoAnswer)
	for {
		if n, err := syscall.Read(3, bytes); n <= 0 || err != nil {
			return
		}
		if _, err := syscall.Write(3, bytes); err != nil {
			fmt.Fprintln(os.Stderr, "claims: echo:", err)
			return
		}
	}
}
