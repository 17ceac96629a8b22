package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
)

// Redis with appendonly and appendfsync always: a list, a hash a task, a fence that only grows, a set of leases. The two scripts are atomic.
type redis struct {
	*server
	socket          string
	told            string
	claimSHA, doneS string
	made            int
}

type resp struct {
	conn   net.Conn
	reader *bufio.Reader
	out    []byte
	redis  *redis
}

const redisClaim = `local id = redis.call('LPOP', KEYS[1])
if not id then return false end
local fence = redis.call('INCR', KEYS[2])
redis.call('HSET', 'task:' .. id, 'state', 'claimed', 'owner', ARGV[1], 'fence', fence)
redis.call('ZADD', KEYS[3], ARGV[2], id)
return {id, tostring(fence)}`

const redisDone = `if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'state', 'done')
redis.call('ZREM', KEYS[2], ARGV[2])
return 1`

func startRedis(data, run string) (peer, error) {
	path, err := find("redis-server")
	if err != nil {
		return nil, err
	}
	r := &redis{socket: filepath.Join(run, "redis.sock")}
	r.server, err = start(data, path, "--port", "0", "--unixsocket", r.socket, "--dir", data, "--appendonly", "yes", "--appendfsync", "always",
		"--no-appendfsync-on-rewrite", "no", "--auto-aof-rewrite-percentage", "0", "--save", "", "--daemonize", "no")
	if err != nil {
		return nil, err
	}
	return r, r.await(r.ready)
}

func (r *redis) ready() error {
	c, err := r.link()
	if err != nil {
		return err
	}
	defer c.close()
	info, err := c.ask("INFO", "server")
	if err == nil {
		_, rest, _ := strings.Cut(info[0], "redis_version:")
		r.told, _, _ = strings.Cut(rest, "\r\n")
		var always, sha []string
		if always, err = c.ask("CONFIG", "GET", "appendfsync"); err == nil && always[len(always)-1] != "always" {
			return fmt.Errorf("appendfsync is %q", always)
		}
		if sha, err = c.ask("SCRIPT", "LOAD", redisClaim); err == nil {
			r.claimSHA = sha[0]
			if sha, err = c.ask("SCRIPT", "LOAD", redisDone); err == nil {
				r.doneS = sha[0]
			}
		}
	}
	return err
}

func (r *redis) version() string { return "Redis " + r.told + ", appendfsync always" }

func (r *redis) link() (*resp, error) {
	conn, err := net.Dial("unix", r.socket)
	if err != nil {
		return nil, err
	}
	return &resp{conn: conn, reader: bufio.NewReaderSize(conn, 8192), redis: r}, nil
}

func (r *redis) dial() (session, error) { return r.link() }

func (r *redis) fill(count int) error {
	c, err := r.link()
	if err != nil {
		return err
	}
	defer c.close()
	for made := 0; made < count; made += 100 {
		words := []string{"RPUSH", "queue"}
		for i := made; i < min(made+100, count); i++ {
			r.made++
			words = append(words, fmt.Sprintf("task-%032d", r.made))
		}
		if _, err := c.ask(words...); err != nil {
			return err
		}
	}
	return nil
}

func (c *resp) close() { c.conn.Close() }

func (c *resp) ask(words ...string) ([]string, error) {
	c.out = fmt.Appendf(c.out[:0], "*%d\r\n", len(words))
	for _, w := range words {
		c.out = fmt.Appendf(c.out, "$%d\r\n%s\r\n", len(w), w)
	}
	if _, err := c.conn.Write(c.out); err != nil {
		return nil, err
	}
	return c.read()
}

// What was said, flat.
func (c *resp) read() ([]string, error) {
	line, err := c.reader.ReadString('\n')
	if err != nil {
		return nil, err
	}
	text := strings.TrimRight(line[1:], "\r\n")
	count, _ := strconv.Atoi(text)
	switch line[0] {
	case '-':
		return nil, fmt.Errorf("redis: %s", text)
	case '$':
		if count < 0 {
			return nil, fmt.Errorf("redis: nothing there")
		}
		value := make([]byte, count+2)
		_, err = io.ReadFull(c.reader, value)
		return []string{string(value[:count])}, err
	case '*':
		var all []string
		for range count {
			one, err := c.read()
			if err != nil {
				return nil, err
			}
			all = append(all, one...)
		}
		return all, nil
	}
	return []string{text}, nil
}

func (c *resp) claim() (claimed, error) {
	got, err := c.ask("EVALSHA", c.redis.claimSHA, "3", "queue", "fence", "leases", "bench", "1900000000")
	if err != nil || len(got) != 2 {
		return claimed{}, fmt.Errorf("redis claim: %v %w", got, err)
	}
	fence, err := strconv.ParseUint(got[1], 10, 64)
	return claimed{got[0], fence}, err
}

func (c *resp) complete(task claimed) error {
	got, err := c.ask("EVALSHA", c.redis.doneS, "2", "task:"+task.id, "leases", strconv.FormatUint(task.fence, 10), task.id)
	if err == nil && got[0] != "1" {
		err = fmt.Errorf("redis complete: %v", got)
	}
	return err
}
