package main

// Controls: histories that no fabric may make, and beside each the same without its fault. The checker must tell them apart.

import (
	"fmt"
	"time"

	"github.com/anishathalye/porcupine"
)

const second = int64(time.Second)

type line struct {
	who       int
	call, ret int64 // seconds
	verb      verb
	fence     uint64
	out       output
}

func history(lines []line) []porcupine.Operation {
	ops := []porcupine.Operation{}
	for _, l := range lines {
		in := input{task: "t", verb: l.verb, who: l.who, fence: l.fence, call: l.call * second, lease: 10 * second, key: uint64(l.who)}
		l.out.until = l.ret * second
		ops = append(ops, porcupine.Operation{ClientId: l.who, Input: in, Call: l.call * second, Output: l.out, Return: l.ret * second})
	}
	return ops
}

var (
	ok    = output{}
	lost  = output{lost: true}
	stale = output{code: 603}
)

func refusedBy(code int) output  { return output{code: code} }
func fenced(fence uint64) output { return output{fence: fence, fresh: true} }

var planted = []struct {
	name      string
	good, bad []line
}{
	{"two owners at once",
		[]line{{1, 0, 1, create, 0, ok}, {1, 2, 5, claim, 0, fenced(7)}, {2, 3, 4, claim, 0, refusedBy(602)}},
		[]line{{1, 0, 1, create, 0, ok}, {1, 2, 5, claim, 0, fenced(7)}, {2, 3, 4, claim, 0, fenced(8)}}},
	{"a late completion with an old fence is taken",
		[]line{{1, 0, 1, create, 0, ok}, {1, 2, 3, claim, 0, fenced(7)}, {2, 20, 21, claim, 0, fenced(9)}, {1, 22, 23, complete, 7, stale}},
		[]line{{1, 0, 1, create, 0, ok}, {1, 2, 3, claim, 0, fenced(7)}, {2, 20, 21, claim, 0, fenced(9)}, {1, 22, 23, complete, 7, ok}}},
	{"a fence that does not grow",
		[]line{{1, 0, 1, create, 0, ok}, {1, 2, 3, claim, 0, fenced(7)}, {1, 4, 5, shutdown, 7, ok}, {2, 6, 7, claim, 0, fenced(8)}},
		[]line{{1, 0, 1, create, 0, ok}, {1, 2, 3, claim, 0, fenced(7)}, {1, 4, 5, shutdown, 7, ok}, {2, 6, 7, claim, 0, fenced(6)}}},
	{"a completion that was told is forgotten",
		[]line{{1, 0, 1, create, 0, ok}, {1, 2, 3, claim, 0, fenced(7)}, {1, 4, 5, complete, 7, ok}, {2, 30, 31, read, 0, output{state: "done"}}},
		[]line{{1, 0, 1, create, 0, ok}, {1, 2, 3, claim, 0, fenced(7)}, {1, 4, 5, complete, 7, ok}, {2, 30, 31, read, 0, output{state: "queued"}}}},
	{"a lease ends before its time",
		[]line{{1, 0, 1, create, 0, ok}, {1, 2, 3, claim, 0, fenced(7)}, {2, 12, 14, claim, 0, fenced(8)}},
		[]line{{1, 0, 1, create, 0, ok}, {1, 2, 3, claim, 0, fenced(7)}, {2, 9, 10, claim, 0, fenced(8)}}},
	{"a renewed lease ends before its time",
		[]line{{1, 0, 1, create, 0, ok}, {1, 2, 3, claim, 0, fenced(7)}, {1, 8, 9, renew, 7, ok}, {2, 17, 19, claim, 0, fenced(8)}},
		[]line{{1, 0, 1, create, 0, ok}, {1, 2, 3, claim, 0, fenced(7)}, {1, 8, 9, renew, 7, ok}, {2, 15, 16, claim, 0, fenced(8)}}},
	{"a task is lost",
		[]line{{1, 0, 1, create, 0, ok}, {1, 2, 3, claim, 0, lost}, {2, 4, 5, read, 0, output{state: "queued"}}},
		[]line{{1, 0, 1, create, 0, ok}, {1, 2, 3, claim, 0, lost}, {2, 4, 5, read, 0, refusedBy(601)}}},
	{"a task is made twice",
		[]line{{1, 0, 3, create, 0, ok}, {2, 1, 2, create, 0, refusedBy(409)}},
		[]line{{1, 0, 3, create, 0, ok}, {2, 1, 2, create, 0, ok}}},
	{"a completion is done twice",
		[]line{{1, 0, 1, create, 0, ok}, {1, 2, 3, claim, 0, fenced(7)}, {1, 4, 5, complete, 7, ok}, {2, 6, 7, complete, 7, refusedBy(605)}},
		[]line{{1, 0, 1, create, 0, ok}, {1, 2, 3, claim, 0, fenced(7)}, {1, 4, 5, complete, 7, ok}, {2, 6, 7, complete, 7, ok}}},
	{"a claim that somebody was told of is given back",
		[]line{{1, 0, 1, create, 0, ok}, {1, 2, 3, claim, 0, lost}, {1, 4, 5, claim, 0, output{fence: 7}}, {2, 6, 7, claim, 0, refusedBy(602)}},
		[]line{{1, 0, 1, create, 0, ok}, {1, 2, 3, claim, 0, lost}, {1, 4, 5, claim, 0, output{fence: 7}}, {2, 6, 7, claim, 0, fenced(9)}}},
}

func checkPlanted(report func(name string, good bool)) {
	for _, p := range planted {
		report(fmt.Sprintf("control: %s: found", p.name), !porcupine.CheckOperations(model, history(p.bad)))
		report(fmt.Sprintf("control: not %s: let through", p.name), porcupine.CheckOperations(model, history(p.good)))
	}
	grown, fallen := []line{{1, 0, 1, claim, 0, fenced(3)}, {1, 2, 3, claim, 0, fenced(4)}}, []line{{1, 0, 1, claim, 0, fenced(3)}, {1, 2, 3, claim, 0, fenced(2)}}
	report("control: fences of two tasks that fall: found", fencesGrow(history(fallen)) != nil && fencesGrow(history(grown)) == nil)
}
