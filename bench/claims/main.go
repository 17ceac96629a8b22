// claims: many clients claim queued tasks and complete them, on the fabric and on others that keep what they say. One harness for all: the same loop, the
// same clock, the cheapest client that each protocol allows.
//
//	claims fabric SOCKET            a daemon that runs
//	claims PEER DATA RUN            starts redis, postgres, etcd or nats itself, in DATA (the disk that is measured), sockets in RUN; ends it by its pid
//
// Then commands on stdin, a line each; answers are "name value" lines that end with "end":
//
//	fill COUNT                      so many more tasks are queued
//	run CLIENTS COUNT               CLIENTS, a connection each, claim and complete COUNT of them
//	echo COUNT | hand COUNT | …     the fabric alone: see fabric_rows.go
//
// "absent WHY" instead of "ready" when the peer is not installed. It shares no code with the product.
package main

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type claimed struct {
	id    string
	fence uint64 // or revision: what the complete must show
}

// One client: its own connection, one request at a time.
type session interface {
	claim() (claimed, error)
	complete(claimed) error
	close()
}

type peer interface {
	version() string
	fill(count int) error
	dial() (session, error)
	stop()
}

type absent struct{ why string } // the peer is not installed

func (e absent) Error() string { return e.why }

func main() {
	if len(os.Args) == 2 && os.Args[1] == "echo" {
		echoes()
		return
	}
	target, err := open(os.Args[1:])
	if missing, ok := err.(absent); ok {
		fmt.Println("absent", missing.why)
		return
	}
	if err != nil {
		fail(err)
	}
	defer target.stop()
	fmt.Println("ready", target.version())
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if err := obey(target, strings.Fields(lines.Text())); err != nil {
			target.stop()
			fail(err)
		}
		fmt.Println("end")
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "claims:", err)
	os.Exit(1)
}

func open(args []string) (peer, error) {
	if len(args) == 2 && args[0] == "fabric" {
		return openFabric(args[1])
	}
	starts := map[string]func(data, run string) (peer, error){"redis": startRedis, "postgres": startPostgres, "etcd": startEtcd, "nats": startNATS}
	if len(args) != 3 || starts[args[0]] == nil {
		return nil, fmt.Errorf("usage: claims fabric SOCKET | claims redis|postgres|etcd|nats DATA RUN")
	}
	return starts[args[0]](args[1], args[2])
}

func obey(target peer, words []string) error {
	numbers := make([]int, 0, 8)
	for _, w := range words[min(1, len(words)):] {
		n, err := strconv.Atoi(w)
		if err != nil {
			return err
		}
		numbers = append(numbers, n)
	}
	switch {
	case len(words) == 2 && words[0] == "fill":
		return target.fill(numbers[0])
	case len(words) == 3 && words[0] == "run":
		return run(target, numbers[0], numbers[1])
	}
	if f, ok := target.(*fabric); ok {
		return f.obey(words[0], numbers)
	}
	return fmt.Errorf("what is %q?", words)
}

// The whole race: who is free takes the next one, until count were claimed.
func run(target peer, clients, count int) error {
	var left atomic.Int64
	var all sync.WaitGroup
	left.Store(int64(count))
	sessions := make([]session, clients)
	claims, completes := make([][]time.Duration, clients), make([][]time.Duration, clients)
	errs := make(chan error, clients)
	for c := range sessions {
		s, err := target.dial()
		if err != nil {
			return err
		}
		defer s.close()
		sessions[c] = s
	}
	began, cpu := time.Now(), ownCPU()
	for c, s := range sessions {
		all.Add(1)
		go func() {
			defer all.Done()
			for left.Add(-1) >= 0 {
				from := time.Now()
				task, err := s.claim()
				middle := time.Now()
				if err == nil {
					err = s.complete(task)
				}
				if err != nil {
					errs <- err
					return
				}
				claims[c] = append(claims[c], middle.Sub(from))
				completes[c] = append(completes[c], time.Since(middle))
			}
		}()
	}
	all.Wait()
	took := time.Since(began)
	select {
	case err := <-errs:
		return err
	default:
	}
	fmt.Printf("seconds %.6f\nclient_cpu_us %.3f\n", took.Seconds(), float64((ownCPU()-cpu).Nanoseconds())/1e3/float64(count))
	quantiles("claim", slices.Concat(claims...))
	quantiles("complete", slices.Concat(completes...))
	return nil
}

func quantiles(name string, took []time.Duration) {
	slices.Sort(took)
	for _, q := range []int{50, 95, 99} {
		fmt.Printf("%s_p%d_us %.1f\n", name, q, float64(took[min(len(took)-1, len(took)*q/100)].Nanoseconds())/1e3)
	}
}

func ownCPU() time.Duration {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
