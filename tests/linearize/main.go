// linearize: many clients race for tasks on a real daemon that is killed with -9 and stopped; what each was told must fit one order. INV-11, INV-04.
//
//	linearize BUILD [seconds]    BUILD has src/programs/ifd/ifd; prints TAP
//
// It shares no code with the product. Environment: IFAB_LINEARIZE_CLIENTS (32), IFAB_SEED, IFAB_LINEARIZE_KEEP (a directory for the picture of a
// history that fits no order).
package main

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/anishathalye/porcupine"
)

var began = time.Now()

func now() int64 { return int64(time.Since(began)) }

// ---- the daemon ----

type daemon struct {
	program, directory string
	process            *exec.Cmd
}

func (d *daemon) socket() string { return filepath.Join(d.directory, "run", "ifd.sock") }

func (d *daemon) start() error {
	d.process = exec.Command(d.program, "--config", filepath.Join(d.directory, "ifd.yaml"))
	out, err := d.process.StdoutPipe()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(d.directory+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	d.process.Stderr = log
	if err := d.process.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "ready ") {
		d.kill()
		text, _ := os.ReadFile(d.directory + ".log")
		return fmt.Errorf("not ready: %s", text)
	}
	return nil
}

func (d *daemon) signal(s syscall.Signal) { _ = d.process.Process.Signal(s) }

func (d *daemon) kill() {
	d.signal(syscall.SIGKILL)
	_ = d.process.Wait()
}

// ---- one connection: what is sent is sent once ----

type client struct {
	socket, token string
	conn          net.Conn
	reader        *bufio.Reader
}

var errNotSent = errors.New("nothing was sent")

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
	}
	c.conn = nil
}

func (c *client) ask(method, target string, body any, key string, patience time.Duration) (int, map[string]any, error) {
	if c.conn == nil {
		conn, err := net.DialTimeout("unix", c.socket, patience)
		if err != nil {
			return 0, nil, errNotSent
		}
		c.conn, c.reader = conn, bufio.NewReader(conn)
	}
	var text []byte
	if body != nil {
		text, _ = json.Marshal(body)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n", method, target, len(text))
	if body != nil {
		b.WriteString("Content-Type: application/json\r\n")
	}
	if c.token != "" && method != "GET" { // a person looks: an agent does not see what is neither its own nor its swarm's
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", c.token)
	}
	if key != "" {
		fmt.Fprintf(&b, "Idempotency-Key: %s\r\n", key)
	}
	b.WriteString("\r\n")
	b.Write(text)
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	if _, err := c.conn.Write(b.Bytes()); err != nil {
		c.close()
		return 0, nil, err
	}
	response, err := http.ReadResponse(c.reader, &http.Request{Method: method})
	if err != nil {
		c.close()
		return 0, nil, err
	}
	data, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil {
		c.close()
		return 0, nil, err
	}
	if response.Close {
		c.close()
	}
	answer := map[string]any{}
	if len(data) > 0 {
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		if err := decoder.Decode(&answer); err != nil {
			return 0, nil, fmt.Errorf("an answer that is no JSON: %q", data)
		}
	}
	return response.StatusCode, answer, nil
}

func must(c *client, method, target string, body any) map[string]any {
	status, answer, err := c.ask(method, target, body, "", 20*time.Second)
	if err != nil || status >= 300 {
		bail("%s %s: %d %v %v", method, target, status, answer, err)
	}
	return answer
}

func bail(format string, args ...any) {
	fmt.Printf("Bail out! "+format+"\n", args...)
	if running != nil && running.process != nil {
		running.kill()
	}
	os.Exit(1)
}

var running *daemon

func integer(v any) uint64 {
	n, ok := v.(json.Number)
	if !ok {
		return 0
	}
	u, _ := strconv.ParseUint(n.String(), 10, 64)
	return u
}

// ---- the race ----

const lease = 400 * time.Millisecond

type arena struct { // the tasks that are raced for now
	mutex sync.Mutex
	names []string
	next  int
}

func (a *arena) pick(r *rand.Rand) string {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return a.names[r.IntN(len(a.names))]
}

// Another one in place of one that is done.
func (a *arena) over(name string) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	for i := range a.names {
		if a.names[i] == name {
			a.names[i] = fmt.Sprintf("t%d", a.next)
			a.next++
		}
	}
}

type racer struct {
	client
	who     int
	arena   *arena
	random  *rand.Rand
	history []porcupine.Operation
	keys    uint64
	held    map[string]uint64 // newest fence of each task: also when it may have ended
	tally   *[7][3]atomic.Int64
}

var strange atomic.Pointer[string] // an answer that no outcome explains

func (r *racer) do(in input) (output, bool) {
	in.who, in.lease = r.who, int64(lease)
	target, body, key := "/v1/tasks/"+in.task+"/"+verbNames[in.verb], map[string]any{"fence": in.fence}, ""
	method := "POST"
	switch in.verb {
	case create:
		target, body = "/v1/tasks", map[string]any{"id": in.task, "type": "race", "needs": []string{"sql"}, "max_attempts": 100, "why": "a race"}
	case claim:
		body = map[string]any{"swarm": fmt.Sprintf("racers.%d", in.who), "lease_ms": lease.Milliseconds()}
	case complete:
		key = fmt.Sprintf("%d-%d", r.who, in.key)
	case fail, shutdown:
		target = "/v1/tasks/" + in.task + "/fail"
		body["kind"] = map[verb]string{fail: "transient", shutdown: "shutdown"}[in.verb]
	case read:
		method, target, body = "GET", "/v1/tasks/"+in.task, nil
	}
	patience := 5 * time.Second
	if r.random.IntN(4) == 0 {
		patience = time.Duration(20+r.random.IntN(200)) * time.Millisecond // one of those that do not wait
	}
	var payload any
	if body != nil {
		payload = body
	}
	in.call = now()
	status, answer, err := r.ask(method, target, payload, key, patience)
	out := output{until: now()}
	back := out.until
	var late net.Error
	switch {
	case errors.Is(err, errNotSent):
		return out, false
	case errors.As(err, &late) && late.Timeout():
		out.lost, out.until, back = true, forever, forever // a daemon that was stopped may read it yet
	case err != nil:
		out.lost = true // the daemon is dead, and what it did it did before
	case status == 429: // too much at once: nothing was done
		return out, false
	case status >= 500 && !stopped(answer):
		text := fmt.Sprintf("%s %s: %d %v", method, target, status, answer)
		strange.Store(&text)
		return out, false
	default:
		r.understand(in, status, answer, &out)
	}
	if in.verb == read && out.lost {
		return out, true
	}
	kind := 0
	if out.lost {
		kind = 2
	} else if out.code != 0 {
		kind = 1
	}
	r.tally[in.verb][kind].Add(1)
	r.history = append(r.history, porcupine.Operation{ClientId: r.who, Input: in, Call: in.call, Output: out, Return: back})
	return out, true
}

// Its swarm's breaker is open: a refusal like any other.
func stopped(answer map[string]any) bool {
	e, _ := answer["error"].(map[string]any)
	return e["code"] == "IF_ERR_303"
}

func (r *racer) understand(in input, status int, answer map[string]any, out *output) {
	if status >= 300 {
		e, _ := answer["error"].(map[string]any)
		text, _ := e["code"].(string)
		out.code, _ = strconv.Atoi(strings.TrimPrefix(text, "IF_ERR_"))
		if out.code == 0 {
			text := fmt.Sprintf("%s: %d %v", verbNames[in.verb], status, answer)
			strange.Store(&text)
		}
		return
	}
	switch in.verb {
	case claim:
		out.fence = integer(answer["fence"])
		_, out.fresh = answer["entry"]
	case read:
		out.state, _ = answer["state"].(string)
		out.fence = integer(answer["fence"])
	}
}

func (r *racer) rest(most time.Duration) { time.Sleep(time.Duration(r.random.Int64N(int64(most)))) }

// One that holds a task: works on it, or forgets it, or is slow.
func (r *racer) work(task string, fence uint64) {
	r.held[task] = fence
	for i := r.random.IntN(3); i > 0; i-- {
		r.rest(60 * time.Millisecond)
		if out, sent := r.do(input{task: task, verb: renew, fence: fence}); sent && !out.lost && out.code != 0 {
			return
		}
	}
	switch n := r.random.IntN(10); {
	case n < 2: // forgotten: its lease runs out
	case n < 3:
		r.do(input{task: task, verb: fail, fence: fence})
	case n < 6:
		r.do(input{task: task, verb: shutdown, fence: fence})
	default:
		if n == 9 {
			time.Sleep(lease) // too late, if nothing was stopped meanwhile
		}
		r.keys++
		in := input{task: task, verb: complete, fence: fence, key: uint64(r.who)<<32 | r.keys}
		for range 4 { // the same request until there is an answer
			out, sent := r.do(in)
			if sent && !out.lost {
				if out.code == 0 || out.code == 605 {
					r.arena.over(task)
				}
				return
			}
			r.rest(100 * time.Millisecond)
		}
	}
}

func (r *racer) run(stop *atomic.Bool) {
	for !stop.Load() {
		task := r.arena.pick(r.random)
		switch n := r.random.IntN(20); {
		case n < 2:
			r.do(input{task: task, verb: read})
		case n < 4 && r.held[task] != 0: // late, or not
			r.do(input{task: task, verb: []verb{renew, complete, fail, shutdown}[r.random.IntN(4)], fence: r.held[task], key: uint64(r.who)<<32 | 1<<31 | uint64(n)})
		default:
			out, sent := r.do(input{task: task, verb: claim})
			switch {
			case !sent:
				r.rest(20 * time.Millisecond)
			case out.lost && r.random.IntN(2) == 0: // asks again whether it has it
				out, sent = r.do(input{task: task, verb: claim})
			}
			switch {
			case !sent || out.lost:
			case out.code == 0:
				r.work(task, out.fence)
			case out.code == 303: // its tasks failed again and again; a person is at hand
				person := &client{socket: r.socket}
				_, _, _ = person.ask("POST", "/v1/breakers/reset", map[string]any{"breaker": fmt.Sprintf("swarm:racers.%d", r.who), "why": "a race"}, "", time.Second)
				person.close()
			case out.code == 601:
				r.do(input{task: task, verb: create})
			case out.code == 605 && r.random.IntN(6) == 0:
				if look, sent := r.do(input{task: task, verb: read}); sent && look.state == "done" {
					r.arena.over(task)
				}
			}
		}
		r.rest(8 * time.Millisecond)
	}
	r.close()
}

func enrol(d *daemon, clients int) []string {
	c := &client{socket: d.socket()}
	defer c.close()
	tokens := []string{}
	for i := range clients {
		public, _, err := ed25519.GenerateKey(nil)
		if err != nil {
			bail("%v", err)
		}
		name := fmt.Sprintf("Racer.%d", i)
		must(c, "POST", "/v1/talents", map[string]any{"name": name, "owner": "racers", "pubkey": base64.RawURLEncoding.EncodeToString(public), "why": "test"})
		secret, _ := must(c, "POST", "/v1/tokens", map[string]any{"talent": name, "why": "test"})["secret"].(string)
		tokens = append(tokens, secret)
		must(c, "POST", "/v1/swarms", map[string]any{"id": fmt.Sprintf("racers.%d", i), "skills": []string{"sql"}, "members": []string{name},
			"concurrency": 1000, "why": "test"})
	}
	return tokens
}

// kill -9 and stops at random moments.
func torment(d *daemon, random *rand.Rand, until time.Time) (kills, stops int) {
	for time.Now().Before(until) {
		time.Sleep(time.Duration(100+random.IntN(700)) * time.Millisecond)
		if random.IntN(2) == 0 {
			kills++
			d.kill()
			if err := d.start(); err != nil {
				bail("%v", err)
			}
			continue
		}
		stops++
		d.signal(syscall.SIGSTOP)
		time.Sleep(time.Duration(20+random.IntN(600)) * time.Millisecond)
		if random.IntN(3) == 0 { // killed while it is stopped: nothing that waits is read
			kills++
			d.kill()
			if err := d.start(); err != nil {
				bail("%v", err)
			}
			continue
		}
		d.signal(syscall.SIGCONT)
	}
	return kills, stops
}

func race(build string, seconds, clients int, seed uint64) ([]porcupine.Operation, string) {
	root, err := os.MkdirTemp("", "ifab-linearize-")
	if err != nil {
		bail("%v", err)
	}
	defer os.RemoveAll(root)
	d := &daemon{program: filepath.Join(build, "src/programs/ifd/ifd"), directory: filepath.Join(root, "d")}
	if out, err := exec.Command(d.program, "--init", d.directory, "--http", "127.0.0.1:0").CombinedOutput(); err != nil {
		bail("%v %s", err, out)
	}
	if err := d.start(); err != nil {
		bail("%v", err)
	}
	running = d
	tokens := enrol(d, clients)
	var stop atomic.Bool
	var wait sync.WaitGroup
	var tally [7][3]atomic.Int64
	shared := &arena{names: []string{"t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"}, next: 8}
	racers := []*racer{}
	for i := range clients {
		r := &racer{client: client{socket: d.socket(), token: tokens[i]}, who: i, arena: shared, random: rand.New(rand.NewPCG(seed, uint64(i))),
			held: map[string]uint64{}, tally: &tally}
		racers = append(racers, r)
		wait.Go(func() { r.run(&stop) })
	}
	kills, stops := torment(d, rand.New(rand.NewPCG(seed, 1<<32)), time.Now().Add(time.Duration(seconds)*time.Second))
	stop.Store(true)
	wait.Wait()
	d.kill()
	running = nil
	history := []porcupine.Operation{}
	for _, r := range racers {
		history = append(history, r.history...)
	}
	text := fmt.Sprintf("seed %d: %d clients, %d s, %d kills, %d stops, %d tasks, %d operations", seed, clients, seconds, kills, stops, shared.next, len(history))
	for v, name := range verbNames {
		text += fmt.Sprintf("; %s %d done %d refused %d unknown", name, tally[v][0].Load(), tally[v][1].Load(), tally[v][2].Load())
	}
	enough := tally[claim][0].Load() > 0 && tally[claim][1].Load() > 0 && tally[complete][0].Load() > 0 && tally[complete][1].Load() > 0 && kills > 0 && stops > 0
	if !enough {
		bail("too little happened to prove anything: %s", text)
	}
	return history, text
}

func number(name string, fallback uint64) uint64 {
	if text := os.Getenv(name); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			bail("%s: %v", name, err)
		}
		return n
	}
	return fallback
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: linearize BUILD [seconds]")
		os.Exit(2)
	}
	n, failed := 0, 0
	report := func(name string, good bool) {
		n++
		if good {
			fmt.Printf("ok %d - %s\n", n, name)
		} else {
			failed++
			fmt.Printf("not ok %d - %s\n", n, name)
		}
	}
	checkPlanted(report)
	seconds := 20
	if len(os.Args) > 2 {
		seconds, _ = strconv.Atoi(os.Args[2])
	}
	history, text := race(os.Args[1], seconds, int(number("IFAB_LINEARIZE_CLIENTS", 32)), number("IFAB_SEED", uint64(time.Now().UnixNano())%1000000))
	fmt.Println("# " + text)
	if s := strange.Load(); s != nil {
		fmt.Println("# " + *s)
	}
	report("every answer was an outcome or a refusal", strange.Load() == nil)
	since := time.Now()
	result, info := porcupine.CheckOperationsVerbose(model, history, 5*time.Minute)
	fmt.Printf("# checked in %.1f s: %s\n", time.Since(since).Seconds(), result)
	report("what 32 clients were told fits one order", result == porcupine.Ok)
	if result != porcupine.Ok {
		explain(history, info)
	}
	err := fencesGrow(history)
	if err != nil {
		fmt.Println("# " + err.Error())
	}
	report("every claim has a fence of its own, and later ones have larger ones", err == nil)
	fmt.Printf("1..%d\n", n)
	if failed > 0 {
		os.Exit(1)
	}
}

// The smallest task that fits no order, in words; and as a picture where that was asked for.
func explain(history []porcupine.Operation, info porcupine.LinearizationInfo) {
	shown := []porcupine.Operation{}
	for _, part := range model.Partition(history) {
		if porcupine.CheckOperationsTimeout(model, part, time.Minute) != porcupine.Ok && (len(shown) == 0 || len(part) < len(shown)) {
			shown = part
		}
	}
	for _, op := range shown {
		fmt.Printf("# %12.6f %12.6f %s %s\n", float64(op.Call)/1e9, float64(op.Return)/1e9, op.Input.(input).task, model.DescribeOperation(op.Input, op.Output))
	}
	if keep := os.Getenv("IFAB_LINEARIZE_KEEP"); keep != "" {
		_ = porcupine.VisualizePath(model, info, filepath.Join(keep, "history.html"))
	}
}
