package main

// What a task is to those who race for it, as porcupine's nondeterministic model. What the daemon does by itself (a lease that runs out, a claim that
// nobody heard of and that is given back) may happen before any operation, but a lease never before its time: each state knows until when it stands.

import (
	"fmt"
	"math"
	"sort"

	"github.com/anishathalye/porcupine"
)

type verb uint8

const (
	create verb = iota
	claim
	renew
	complete
	fail     // again, after a wait
	shutdown // again, at once
	read
)

var verbNames = [...]string{"create", "claim", "renew", "complete", "fail", "shutdown", "read"}

type input struct {
	task  string
	verb  verb
	who   int
	fence uint64
	key   uint64 // Idempotency-Key of a completion
	call  int64
	lease int64 // ns
}

type output struct {
	lost  bool // no answer: it was done, or will be, or not
	code  int  // 0: done; else IF_ERR
	fence uint64
	fresh bool   // a claim with an entry of its own, not the same lease told again
	state string // read
	until int64  // when the answer was there, or the connection had gone
}

type place uint8

const (
	none place = iota
	queued
	claimed
	done
)

type state struct {
	place place
	owner int
	fence uint64 // of the claim, or of the one that ended in done; 0: claimed by one that never heard of it
	least int64  // the lease stands until then
	heard bool   // somebody was told of the claim: it is not given back
	wait  bool   // it failed, so it may wait a while
	key   uint64 // of the completion
	last  uint64 // the largest fence that is known
}

// What may have become of it by itself until then.
func by_itself(s state, until int64) []state {
	out := []state{s}
	if s.place != claimed {
		return out
	}
	free := state{place: queued, last: s.last, wait: s.wait}
	if !s.heard {
		out = append(out, free)
	}
	if until >= s.least {
		free.wait = true
		out = append(out, free)
	}
	return out
}

// One operation that was told its outcome, on a state that nothing happens to meanwhile.
func told(s state, in input, out output) (state, bool) {
	known := s.place == claimed && in.fence == s.fence && in.fence != 0
	over := s.place == done && in.fence == s.fence
	switch in.verb {
	case create:
		if out.code == 409 {
			return s, s.place != none
		}
		return state{place: queued}, s.place == none && out.code == 0
	case claim:
		switch out.code {
		case 303: // its swarm is stopped, whatever the task is
			return s, true
		case 0:
			if out.fresh {
				next := state{place: claimed, owner: in.who, fence: out.fence, least: in.call + in.lease, heard: true, wait: false, last: out.fence}
				return next, s.place == queued && out.fence > s.last
			}
			good := s.place == claimed && s.owner == in.who && (s.fence == out.fence || (s.fence == 0 && out.fence > s.last))
			s.fence, s.last = out.fence, out.fence
			s.heard = true
			return s, good
		case 601:
			return s, s.place == none
		case 602:
			return s, s.place == claimed && s.owner != in.who
		case 605:
			return s, s.place == done || (s.place == queued && s.wait)
		}
	case renew, complete, fail, shutdown:
		switch out.code {
		case 601:
			return s, s.place == none
		case 603:
			return s, s.place != none && !known && !over
		case 605:
			return s, over && (in.verb != complete || in.key != s.key) // the same request again has the same answer
		case 0:
			if in.verb == complete && over && in.key == s.key {
				return s, true
			}
			return acted(s, in), known
		}
	case read:
		switch {
		case out.code == 601:
			return s, s.place == none
		case out.code != 0:
			return s, false
		case out.state == "queued":
			return s, s.place == queued
		case out.state == "claimed":
			good := s.place == claimed && (s.fence == out.fence || (s.fence == 0 && out.fence > s.last))
			s.fence, s.last = out.fence, out.fence
			return s, good
		case out.state == "done":
			return s, s.place == done
		}
	}
	return s, false
}

func acted(s state, in input) state {
	switch in.verb {
	case renew:
		s.least = in.call + in.lease
		return s
	case complete:
		return state{place: done, fence: s.fence, key: in.key, last: s.last}
	default:
		return state{place: queued, last: s.last, wait: in.verb == fail}
	}
}

func step(from, in_, out_ interface{}) []interface{} {
	s, in, out := from.(state), in_.(input), out_.(output)
	next := []interface{}{}
	if out.lost {
		next = append(next, s)
	}
	for _, now := range by_itself(s, out.until) {
		if !out.lost {
			if after, good := told(now, in, out); good {
				next = append(next, after)
			}
			continue
		}
		switch {
		case in.verb == create && now.place == none:
			next = append(next, state{place: queued})
		case in.verb == claim && now.place == queued:
			next = append(next, state{place: claimed, owner: in.who, least: in.call + in.lease, last: now.last})
		case in.verb > claim && in.verb < read && now.place == claimed && in.fence == now.fence && in.fence != 0:
			next = append(next, acted(now, in))
		}
	}
	return next
}

var model = (&porcupine.NondeterministicModel{
	Init: func() []interface{} { return []interface{}{state{}} },
	Step: step,
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		by := map[string][]porcupine.Operation{}
		for _, op := range history {
			name := op.Input.(input).task
			by[name] = append(by[name], op)
		}
		names := make([]string, 0, len(by))
		for name := range by {
			names = append(names, name)
		}
		sort.Strings(names)
		out := make([][]porcupine.Operation, 0, len(by))
		for _, name := range names {
			out = append(out, by[name])
		}
		return out
	},
	DescribeOperation: func(in_, out_ interface{}) string {
		in, out := in_.(input), out_.(output)
		what := fmt.Sprintf("client %d: %s", in.who, verbNames[in.verb])
		if in.fence != 0 {
			what += fmt.Sprintf(" with %d", in.fence)
		}
		switch {
		case out.lost:
			return what + " -> ?"
		case out.code != 0:
			return fmt.Sprintf("%s -> %d", what, out.code)
		case in.verb == claim:
			return fmt.Sprintf("%s -> %d fresh=%v", what, out.fence, out.fresh)
		case in.verb == read:
			return fmt.Sprintf("%s -> %s %d", what, out.state, out.fence)
		}
		return what + " -> done"
	},
	DescribeState: func(s interface{}) string { return fmt.Sprintf("%+v", s.(state)) },
}).ToModel()

const forever = int64(math.MaxInt64)

// Fences over all tasks: each claim has its own, and one that began after another's answer has the larger.
func fencesGrow(history []porcupine.Operation) error {
	type given struct {
		call, ret int64
		fence     uint64
	}
	all := []given{}
	for _, op := range history {
		in, out := op.Input.(input), op.Output.(output)
		if in.verb == claim && !out.lost && out.code == 0 && out.fresh {
			all = append(all, given{op.Call, op.Return, out.fence})
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].fence < all[j].fence })
	latest := int64(math.MinInt64) // call of the claims with smaller fences
	for i, g := range all {
		if i > 0 && all[i-1].fence == g.fence {
			return fmt.Errorf("two claims have the fence %d", g.fence)
		}
		if g.ret < latest {
			return fmt.Errorf("a claim that began later has a smaller fence than %d", g.fence)
		}
		latest = max(latest, g.call)
	}
	return nil
}
