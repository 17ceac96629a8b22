package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// What is measured of the fabric alone:
//
//	echo COUNT                bare round trips beside it
//	hand COUNT                a worker's long poll waits; from before the create is sent until the worker has the task
//	rescue COUNT              a holder blocks; from before that is sent until the helper, whose long poll waits, has its part
//	fair MS RATE FLOOD        50 swarms with one worker each: create, claim, complete, RATE of each a second (0: as fast as it goes), for MS ms. FLOOD
//	                          creates a second for the first of them over 8 more connections that do not listen
//	many SWARMS TASKS         so many swarms, so many open tasks in their queues
//	hop SWARMS COUNT          one connection claims for swarms at random and completes, COUNT times

func (f *fabric) obey(word string, n []int) error {
	switch {
	case word == "echo" && len(n) == 1:
		return f.echo(n[0])
	case word == "hand" && len(n) == 1:
		return f.hand(n[0])
	case word == "rescue" && len(n) == 1:
		return f.rescue(n[0])
	case word == "fair" && len(n) == 3:
		return f.fair(time.Duration(n[0])*time.Millisecond, n[1], n[2])
	case word == "many" && len(n) == 2:
		return f.many(n[0], n[1])
	case word == "hop" && len(n) == 2:
		return f.hop(n[0], n[1])
	}
	return fmt.Errorf("what is %q %v?", word, n)
}

func (f *fabric) links(count int) ([]*link, error) {
	all := make([]*link, count)
	for i := range all {
		l, err := f.link()
		if err != nil {
			return nil, err
		}
		all[i] = l
	}
	return all, nil
}

func closeAll(links []*link) {
	for _, l := range links {
		l.close()
	}
}

const settle = 3 * time.Millisecond // until a poll that was sent surely waits

func (f *fabric) hand(count int) error {
	l, err := f.links(2)
	if err != nil {
		return err
	}
	defer closeAll(l)
	if err = f.swarm("waiting", "wait", 10); err != nil {
		return err
	}
	maker, worker := l[0], l[1]
	var took []time.Duration
	for range count {
		if err = worker.askNext("waiting", 30000); err != nil {
			return err
		}
		time.Sleep(settle)
		var got claimed
		from, made := time.Now(), make(chan error, 1)
		go func() { made <- maker.create("waiting", "wait") }()
		if got, err = worker.next(); err != nil {
			return err
		}
		took = append(took, time.Since(from))
		if err = <-made; err == nil {
			err = worker.completeTask(got)
		}
		if err != nil {
			return err
		}
	}
	quantiles("hand", took)
	return nil
}

func (f *fabric) rescue(count int) error {
	l, err := f.links(3)
	if err != nil {
		return err
	}
	defer closeAll(l)
	if err = f.swarm("stuck", "dig", 10); err == nil {
		err = f.swarm("oracle", "ask", 10)
	}
	maker, holder, helper := l[0], l[1], l[2]
	var took []time.Duration
	for i := 0; i < count && err == nil; i++ {
		var held, part claimed
		if err = maker.create("stuck", "dig"); err == nil {
			held, err = holder.claimNext("stuck")
		}
		if err == nil {
			err = helper.askNext("oracle", 30000)
		}
		if err != nil {
			break
		}
		time.Sleep(settle)
		from, blocked := time.Now(), make(chan error, 1)
		go func() {
			blocked <- holder.must("/v1/tasks/"+held.id+"/block", `{"fence":%d,"needs":["ask"],"note":"bench"}`, held.fence)
		}()
		part, err = helper.next()
		took = append(took, time.Since(from))
		if err == nil {
			err = <-blocked
		}
		if err == nil {
			err = helper.completeTask(part)
		}
		if err == nil {
			_, err = holder.post("/v1/tasks/"+held.id+"/unblock", fmt.Appendf(nil, `{"fence":%d}`, held.fence)) // it may be unblocked already
		}
		if err == nil {
			err = holder.completeTask(held)
		}
	}
	if err == nil {
		quantiles("rescue", took)
	}
	return err
}

// ---- fairness ----

const fairSwarms = 50

func fair(i int) (name, skill string) {
	return fmt.Sprintf("fair-%d", i), fmt.Sprintf("fair-skill-%d", i)
}

func fairTask(i int, why string) []byte {
	name, skill := fair(i)
	return fmt.Appendf(nil, `{"type":"bench","swarm":"%s","needs":["%s"],"why":"%s"}`, name, skill, why)
}

type fairWorker struct {
	*link
	number int
	took   []time.Duration
	done   int
	err    error
}

// Equal demand: each makes a task of its swarm, claims and completes it, as often as every other.
func (w *fairWorker) work(until time.Time, rate int) {
	swarm, _ := fair(w.number)
	next := time.Now().Add(time.Duration(rand.Int64N(int64(time.Second) / int64(max(rate, 1)))))
	if rate == 0 {
		next = time.Now()
	}
	for w.err == nil && time.Now().Before(until) {
		if rate > 0 {
			time.Sleep(time.Until(next))
			next = next.Add(time.Second / time.Duration(rate))
		}
		var got claimed
		if status, err := w.post("/v1/tasks", fairTask(w.number, "bench")); err != nil || (status != 201 && status != 503) {
			w.err = fmt.Errorf("create: %d %w", status, err)
			return // 503: the flooded queue is full; something is there to claim
		}
		from := time.Now()
		if got, w.err = w.claimNext(swarm); w.err != nil {
			return
		}
		w.took = append(w.took, time.Since(from))
		if w.err = w.completeTask(got); w.err == nil {
			w.done++
		}
	}
}

// Sends creates at its share of a rate, up to 48 unanswered; what comes back is only counted.
func flood(l *link, until time.Time, rate float64, accepted, refused *atomic.Int64) {
	room, finished := make(chan struct{}, 48), make(chan struct{})
	go func() {
		defer close(finished)
		for range room {
			status, err := l.answer()
			if err != nil {
				return
			}
			if status == 201 {
				accepted.Add(1)
			} else {
				refused.Add(1)
			}
		}
	}()
	began := time.Now()
	for sent := 0.0; time.Now().Before(until); {
		for due := rate * time.Since(began).Seconds(); sent < due; sent++ {
			if l.send("/v1/tasks", fairTask(0, "flood")) != nil {
				break
			}
			room <- struct{}{}
		}
		time.Sleep(time.Millisecond)
	}
	close(room)
	<-finished
}

func (f *fabric) fair(length time.Duration, rate, flooding int) error {
	const floodLinks = 8
	for i := range fairSwarms {
		name, skill := fair(i)
		err := f.once(func(l *link) error {
			return l.must("/v1/swarms", `{"id":"%s","skills":["%s"],"concurrency":5,"queue":{"limit":2000},"why":"bench"}`, name, skill)
		})
		if err != nil {
			return err
		}
	}
	l, err := f.links(fairSwarms + floodLinks)
	if err != nil {
		return err
	}
	defer closeAll(l)
	var all sync.WaitGroup
	var accepted, refused atomic.Int64
	workers, until := make([]*fairWorker, fairSwarms), time.Now().Add(length)
	for i := range floodLinks * min(flooding, 1) {
		all.Add(1)
		go func() {
			defer all.Done()
			flood(l[fairSwarms+i], until, float64(flooding)/floodLinks, &accepted, &refused)
		}()
	}
	for i := range workers {
		workers[i] = &fairWorker{link: l[i], number: i}
		all.Add(1)
		go func() {
			defer all.Done()
			workers[i].work(until, rate)
		}()
	}
	all.Wait()
	var took []time.Duration
	var sum, squares float64
	for i, w := range workers {
		if w.err != nil {
			return fmt.Errorf("swarm %d: %w", i, w.err)
		}
		sum += float64(w.done)
		squares += float64(w.done) * float64(w.done)
		if i > 0 {
			took = append(took, w.took...)
		}
	}
	fmt.Printf("jain %.4f\nrate %.1f\nflood_accepted %d\nflood_refused %d\n", sum*sum/(fairSwarms*squares), sum/length.Seconds(), accepted.Load(), refused.Load())
	quantiles("claim", took)
	return nil
}

// ---- many ----

// A maker may have 50,000 open tasks: talents take turns.
func (f *fabric) maker(name string) (string, error) {
	var token string
	err := f.once(func(l *link) error {
		public, _, err := ed25519.GenerateKey(nil)
		if err == nil {
			err = l.must("/v1/talents", `{"name":"%s","owner":"%s","pubkey":"%s","why":"bench"}`, name, name, base64.RawURLEncoding.EncodeToString(public))
		}
		if err == nil {
			err = l.must("/v1/tokens", `{"talent":"%s","why":"bench"}`, name)
		}
		token = string(member(l.body, "secret"))
		return err
	})
	return token, err
}

func many(i int) (name, skill string) {
	return fmt.Sprintf("many-%d", i), fmt.Sprintf("skill-%d", i%20)
}

func (f *fabric) many(swarms, tasks int) error {
	for i := range swarms {
		name, skill := many(i)
		if err := f.swarm(name, skill, 10); err != nil {
			return err
		}
	}
	const each = 50000
	for made := 0; made < tasks; made += each {
		token, err := f.maker(fmt.Sprintf("Maker.%d", made/each))
		if err == nil {
			err = f.fillQueues(min(each, tasks-made), func(i int) (string, string) { return many((made + i) % swarms) }, token)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *fabric) hop(swarms, count int) error {
	return f.once(func(l *link) error {
		var took []time.Duration
		for range count {
			swarm, _ := many(rand.IntN(swarms))
			from := time.Now()
			got, err := l.claimNext(swarm)
			took = append(took, time.Since(from))
			if err == nil {
				err = l.completeTask(got)
			}
			if err != nil {
				return err
			}
		}
		quantiles("hop", took)
		return nil
	})
}
