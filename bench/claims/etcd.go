package main

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	etcdclient "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// etcd, whose log is flushed before every answer: a key a task, taken by a transaction that compares its version. Which key is free the harness says, so
// that nobody asks for one that another has: the cheapest way there is.
type etcd struct {
	*server
	endpoint, told string
	made           int
	next           atomic.Int64
}

type etcdSession struct {
	client *etcdclient.Client
	etcd   *etcd
}

func startEtcd(data, run string) (peer, error) {
	path, err := find("etcd")
	if err != nil {
		return nil, err
	}
	const clients, peers = "unix://localhost:1", "unix://localhost:2" // it takes no path; the sockets stand in its working directory
	e := &etcd{endpoint: "unix://" + filepath.Join(run, "localhost:1")}
	e.server, err = startIn(run, data, path, "--name", "bench", "--data-dir", filepath.Join(data, "etcd"), "--listen-client-urls", clients, "--advertise-client-urls", clients,
		"--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", "bench="+peers, "--log-level", "warn")
	if err != nil {
		return nil, err
	}
	return e, e.await(e.ready)
}

func (e *etcd) link() (*etcdclient.Client, error) {
	return etcdclient.New(etcdclient.Config{Endpoints: []string{e.endpoint}, DialTimeout: 2 * time.Second, Logger: zap.NewNop()})
}

func (e *etcd) ready() error {
	client, err := e.link()
	if err != nil {
		return err
	}
	defer client.Close()
	patience, end := context.WithTimeout(context.Background(), time.Second)
	defer end()
	status, err := client.Status(patience, e.endpoint)
	if err == nil {
		e.told = status.Version
	}
	return err
}

func (e *etcd) version() string { return "etcd " + e.told }

func etcdKey(n int64) string { return fmt.Sprintf("task-%032d", n) }

func (e *etcd) fill(count int) error {
	client, err := e.link()
	if err != nil {
		return err
	}
	defer client.Close()
	for made := 0; made < count; made += 100 { // at most 128 in a transaction
		var puts []etcdclient.Op
		for range min(100, count-made) {
			puts = append(puts, etcdclient.OpPut(etcdKey(int64(e.made)), "queued"))
			e.made++
		}
		if _, err := client.Txn(context.Background()).Then(puts...).Commit(); err != nil {
			return err
		}
	}
	return nil
}

func (e *etcd) dial() (session, error) {
	client, err := e.link()
	return etcdSession{client, e}, err
}

func (s etcdSession) close() { _ = s.client.Close() }

func (s etcdSession) claim() (claimed, error) {
	key := etcdKey(s.etcd.next.Add(1) - 1)
	got, err := s.client.Txn(context.Background()).If(etcdclient.Compare(etcdclient.Version(key), "=", 1)).Then(etcdclient.OpPut(key, "claimed by bench")).Commit()
	if err != nil || !got.Succeeded {
		return claimed{}, fmt.Errorf("etcd claim: %v %w", got, err)
	}
	return claimed{key, uint64(got.Header.Revision)}, nil
}

func (s etcdSession) complete(task claimed) error {
	got, err := s.client.Txn(context.Background()).If(etcdclient.Compare(etcdclient.ModRevision(task.id), "=", int64(task.fence))).
		Then(etcdclient.OpPut(task.id, "done")).Commit()
	if err == nil && !got.Succeeded {
		err = fmt.Errorf("etcd complete: %s is another's", task.id)
	}
	return err
}
