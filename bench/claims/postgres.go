package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
)

// PostgreSQL with fsync and synchronous_commit on: UPDATE of the first queued row, FOR UPDATE SKIP LOCKED. Prepared statements, a transaction each.
type postgres struct {
	*server
	run, told string
}

type pgSession struct{ conn *pgconn.PgConn }

const pgTable = `create table task (id bigserial primary key, state text not null default 'queued', owner text, fence bigint, lease_until timestamptz);
create index queued on task (id) where state = 'queued'; create sequence fence;`

const pgClaim = `update task set state = 'claimed', owner = $1, fence = nextval('fence'), lease_until = now() + interval '30 s'
where id = (select id from task where state = 'queued' order by id for update skip locked limit 1) returning id, fence`

const pgDone = `update task set state = 'done' where id = $1::bigint and fence = $2::bigint and state = 'claimed'`

func startPostgres(data, run string) (peer, error) {
	const debian = "/usr/lib/postgresql/15/bin/"
	initdb, err := find("initdb", debian+"initdb")
	if err != nil {
		return nil, err
	}
	path, err := find("postgres", debian+"postgres")
	if err != nil {
		return nil, err
	}
	where := filepath.Join(data, "cluster")
	if out, err := command(initdb, "-D", where, "-U", "bench", "-A", "trust", "-E", "UTF8", "--locale=C").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	p := &postgres{run: run}
	p.server, err = start(data, path, "-D", where, "-c", "listen_addresses=", "-c", "unix_socket_directories="+run, "-c", "fsync=on", "-c", "synchronous_commit=on",
		"-c", "full_page_writes=on")
	if err != nil {
		return nil, err
	}
	return p, p.await(p.ready)
}

func (p *postgres) link() (*pgconn.PgConn, error) {
	return pgconn.Connect(context.Background(), "user=bench dbname=postgres sslmode=disable host="+p.run)
}

func (p *postgres) ready() error {
	conn, err := p.link()
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	got, err := conn.Exec(context.Background(), "show server_version; show synchronous_commit; show fsync").ReadAll()
	if err != nil {
		return err
	}
	if string(got[1].Rows[0][0]) != "on" || string(got[2].Rows[0][0]) != "on" {
		return fmt.Errorf("synchronous_commit or fsync is off")
	}
	p.told = string(got[0].Rows[0][0])
	_, err = conn.Exec(context.Background(), pgTable).ReadAll()
	return err
}

func (p *postgres) version() string { return "PostgreSQL " + p.told + ", synchronous_commit on" }

func (p *postgres) fill(count int) error {
	conn, err := p.link()
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	if _, err = conn.Exec(context.Background(), "insert into task select from generate_series(1, "+strconv.Itoa(count)+")").ReadAll(); err == nil {
		_, err = conn.Exec(context.Background(), "vacuum analyze task").ReadAll()
	}
	return err
}

func (p *postgres) dial() (session, error) {
	conn, err := p.link()
	if err != nil {
		return nil, err
	}
	for name, text := range map[string]string{"claim": pgClaim, "done": pgDone} {
		if _, err := conn.Prepare(context.Background(), name, text, nil); err != nil {
			return nil, err
		}
	}
	return pgSession{conn}, nil
}

func (s pgSession) close() { _ = s.conn.Close(context.Background()) }

func (s pgSession) claim() (claimed, error) {
	got := s.conn.ExecPrepared(context.Background(), "claim", [][]byte{[]byte("bench")}, nil, nil).Read()
	if got.Err != nil || len(got.Rows) != 1 {
		return claimed{}, fmt.Errorf("postgres claim: %d rows: %w", len(got.Rows), got.Err)
	}
	fence, err := strconv.ParseUint(string(got.Rows[0][1]), 10, 64)
	return claimed{string(got.Rows[0][0]), fence}, err
}

func (s pgSession) complete(task claimed) error {
	fence := strconv.AppendUint(nil, task.fence, 10)
	got := s.conn.ExecPrepared(context.Background(), "done", [][]byte{[]byte(task.id), fence}, nil, nil).Read()
	if got.Err == nil && got.CommandTag.RowsAffected() != 1 {
		return fmt.Errorf("postgres complete: %s", got.CommandTag)
	}
	return got.Err
}
