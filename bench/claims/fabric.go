package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
)

// The fabric: HTTP over its Unix socket, as SURFACE section 8 says. Tasks of one swarm's queue; the step chooses.
type fabric struct{ socket string }

type link struct { // one request at a time
	conn   net.Conn
	reader *bufio.Reader
	token  string // whose; empty: the daemon's own user
	out    bytes.Buffer
	body   []byte
}

func openFabric(socket string) (peer, error) {
	f := &fabric{socket}
	return f, f.swarm("bench", "any", 1000)
}

func (f *fabric) version() string { return "" }
func (f *fabric) stop()           {}

func (f *fabric) link() (*link, error) {
	conn, err := net.Dial("unix", f.socket)
	if err != nil {
		return nil, err
	}
	return &link{conn: conn, reader: bufio.NewReaderSize(conn, 8192)}, nil
}

func (l *link) close() { l.conn.Close() }

func (l *link) send(target string, body []byte) error {
	l.out.Reset()
	fmt.Fprintf(&l.out, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", target, len(body))
	if l.token != "" {
		fmt.Fprintf(&l.out, "Authorization: Bearer %s\r\n", l.token)
	}
	l.out.WriteString("\r\n")
	l.out.Write(body)
	_, err := l.conn.Write(l.out.Bytes())
	return err
}

func (l *link) post(target string, body []byte) (int, error) {
	if err := l.send(target, body); err != nil {
		return 0, err
	}
	return l.answer()
}

// The next answer; its body stands in l.body until the next call.
func (l *link) answer() (int, error) {
	status, length := 0, 0
	for {
		line, err := l.reader.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		switch {
		case status == 0 && len(line) > 12:
			status, _ = strconv.Atoi(string(line[9:12]))
		case len(line) > 16 && (line[0]|32) == 'c' && bytes.EqualFold(line[:15], []byte("content-length:")):
			length, _ = strconv.Atoi(strings.TrimSpace(string(line[15:])))
		case len(line) == 2:
			if cap(l.body) < length {
				l.body = make([]byte, length)
			}
			l.body = l.body[:length]
			_, err = io.ReadFull(l.reader, l.body)
			return status, err
		}
	}
}

func (l *link) must(target, format string, args ...any) error {
	status, err := l.post(target, fmt.Appendf(nil, format, args...))
	if err == nil && status >= 300 {
		err = fmt.Errorf("POST %s: %d %.300s", target, status, l.body)
	}
	return err
}

// The value of "name" in an answer of ours, whose strings hold no escapes here.
func member(body []byte, name string) []byte {
	at := bytes.Index(body, []byte(`"`+name+`":`))
	if at < 0 {
		return nil
	}
	value := body[at+len(name)+3:]
	if value[0] == '"' {
		value = value[1:]
		return value[:bytes.IndexByte(value, '"')]
	}
	return value[:bytes.IndexAny(value, ",}")]
}

func (l *link) askNext(swarm string, waitMs int) error {
	return l.send("/v1/tasks/claim", fmt.Appendf(nil, `{"swarm":"%s","wait_ms":%d}`, swarm, waitMs))
}

func (l *link) claimNext(swarm string) (claimed, error) {
	if err := l.askNext(swarm, 0); err != nil {
		return claimed{}, err
	}
	return l.next()
}

// The answer to a claim.
func (l *link) next() (claimed, error) {
	status, err := l.answer()
	if err != nil {
		return claimed{}, err
	}
	fence, _ := strconv.ParseUint(string(member(l.body, "fence")), 10, 64)
	at := bytes.Index(l.body, []byte(`"task":`))
	if status != 200 || fence == 0 || at < 0 {
		return claimed{}, fmt.Errorf("claim: %d %.300s", status, l.body)
	}
	return claimed{string(member(l.body[at:], "id")), fence}, nil
}

func (l *link) completeTask(task claimed) error {
	return l.must("/v1/tasks/"+task.id+"/complete", `{"fence":%d}`, task.fence)
}

func (f *fabric) swarm(name, skill string, concurrency int) error {
	return f.once(func(l *link) error {
		return l.must("/v1/swarms", `{"id":"%s","skills":["%s"],"concurrency":%d,"queue":{"limit":100000},"why":"bench"}`, name, skill, concurrency)
	})
}

func (f *fabric) once(what func(*link) error) error {
	l, err := f.link()
	if err != nil {
		return err
	}
	defer l.close()
	return what(l)
}

// What it needs only its own swarm can do: nobody else takes it when the queue is long.
func (l *link) create(swarm, skill string) error {
	return l.must("/v1/tasks", `{"type":"bench","swarm":"%s","needs":["%s"],"why":"bench"}`, swarm, skill)
}

func (f *fabric) fill(count int) error {
	return f.fillQueues(count, func(int) (string, string) { return "bench", "any" }, "")
}

func (f *fabric) fillQueues(count int, swarm func(int) (name, skill string), token string) error {
	const links = 32
	var all sync.WaitGroup
	errs := make(chan error, links)
	for c := range links {
		all.Add(1)
		go func() {
			defer all.Done()
			l, err := f.link()
			if err == nil {
				defer l.close()
				l.token = token
			}
			for i := c; i < count && err == nil; i += links {
				err = l.create(swarm(i))
			}
			errs <- err
		}()
	}
	all.Wait()
	for range links {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

type fabricSession struct{ *link }

func (s fabricSession) claim() (claimed, error)     { return s.claimNext("bench") }
func (s fabricSession) complete(task claimed) error { return s.completeTask(task) }

func (f *fabric) dial() (session, error) {
	l, err := f.link()
	return fabricSession{l}, err
}
