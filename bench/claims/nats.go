package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// JetStream KV of nats-server with sync_interval always: a key a task, updated at the revision that is known. As with etcd, the harness says which is free.
type jet struct {
	*server
	ports, url, told string
	revisions        []uint64
	next             atomic.Int64
}

type jetSession struct {
	conn *nats.Conn
	kv   jetstream.KeyValue
	jet  *jet
}

func startNATS(data, run string) (peer, error) {
	path, err := find("nats-server")
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(data, "nats.conf")
	text := fmt.Sprintf("listen: \"127.0.0.1:-1\"\nports_file_dir: %q\njetstream {\n  store_dir: %q\n  sync_interval: always\n}\n", run, filepath.Join(data, "store"))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	j := &jet{}
	if j.server, err = start(data, path, "-c", conf); err != nil {
		return nil, err
	}
	j.ports = filepath.Join(run, fmt.Sprintf("nats-server_%d.ports", j.process.Process.Pid))
	return j, j.await(j.ready)
}

func (j *jet) ready() error {
	var said struct {
		Nats []string `json:"nats"`
	}
	text, err := os.ReadFile(j.ports)
	if err != nil {
		return err
	}
	if err = json.Unmarshal(text, &said); err != nil || len(said.Nats) == 0 {
		return fmt.Errorf("%s: %w", text, err)
	}
	j.url = said.Nats[0]
	s, err := j.open(true)
	if err == nil {
		j.told = s.conn.ConnectedServerVersion()
		s.close()
	}
	return err
}

func (j *jet) version() string {
	return "JetStream KV of nats-server " + j.told + ", sync_interval always"
}

func (j *jet) open(create bool) (s jetSession, err error) {
	s.jet = j
	if s.conn, err = nats.Connect(j.url, nats.NoReconnect()); err != nil {
		return s, err
	}
	stream, err := jetstream.New(s.conn)
	if err == nil && create {
		s.kv, err = stream.CreateKeyValue(context.Background(), jetstream.KeyValueConfig{Bucket: "tasks", Storage: jetstream.FileStorage})
	} else if err == nil {
		s.kv, err = stream.KeyValue(context.Background(), "tasks")
	}
	return s, err
}

func (j *jet) dial() (session, error) { return j.open(false) }

func jetKey(n int64) string { return fmt.Sprintf("task-%032d", n) }

func (j *jet) fill(count int) error {
	s, err := j.open(false)
	if err != nil {
		return err
	}
	defer s.close()
	for range count {
		revision, err := s.kv.Create(context.Background(), jetKey(int64(len(j.revisions))), []byte("queued"))
		if err != nil {
			return err
		}
		j.revisions = append(j.revisions, revision)
	}
	return nil
}

func (s jetSession) close() { s.conn.Close() }

func (s jetSession) claim() (claimed, error) {
	n := s.jet.next.Add(1) - 1
	key := jetKey(n)
	revision, err := s.kv.Update(context.Background(), key, []byte("claimed by bench"), s.jet.revisions[n])
	return claimed{key, revision}, err
}

func (s jetSession) complete(task claimed) error {
	_, err := s.kv.Update(context.Background(), task.id, []byte("done"), task.fence)
	return err
}
