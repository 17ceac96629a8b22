// Reads the log with the stock packages of the Go checksum database (golang.org/x/mod/sumdb/note and tlog) and no code of the fabric:
// checkpoint signature, inclusion of every entry, chain of entries, consistency between sizes.
//
//	go run . -vkey VKEY|@FILE  http://HOST:PORT[/log/main] | unix:PATH | DIRECTORY
//
// Paths are those of C2SP tlog-tiles: checkpoint, tile/L/N[.p/W], tile/entries/N[.p/W], height 8.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8
const width = 1 << height

type source func(path string) ([]byte, error)

func open(where string) source {
	if !strings.HasPrefix(where, "http://") && !strings.HasPrefix(where, "unix:") {
		return func(path string) ([]byte, error) { return os.ReadFile(filepath.Join(where, filepath.FromSlash(path))) }
	}
	base, client := strings.TrimSuffix(where, "/"), &http.Client{Timeout: 15 * time.Second}
	if socket, ok := strings.CutPrefix(where, "unix:"); ok {
		base = "http://localhost"
		client.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}}
	}
	return func(path string) ([]byte, error) {
		answer, err := client.Get(base + "/" + path)
		if err != nil {
			return nil, err
		}
		defer answer.Body.Close()
		data, err := io.ReadAll(io.LimitReader(answer.Body, 64<<20))
		if err == nil && answer.StatusCode != 200 {
			err = fmt.Errorf("%s: %s", path, answer.Status)
		}
		return data, err
	}
}

// partOrWhole reads a partial tile, or the full one that has taken its place since the checkpoint.
func partOrWhole(read source, path string) ([]byte, error) {
	data, err := read(path)
	if err == nil {
		return data, nil
	}
	if whole, _, cut := strings.Cut(path, ".p/"); cut {
		return read(whole)
	}
	return nil, err
}

// tiles is a tlog.TileReader over tlog-tiles paths.
type tiles struct{ read source }

func (t tiles) Height() int                         { return height }
func (t tiles) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (t tiles) ReadTiles(want []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(want))
	for i, tile := range want {
		path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
		data, err := partOrWhole(t.read, path)
		if err != nil {
			return nil, err
		}
		if len(data) < tile.W*tlog.HashSize {
			return nil, fmt.Errorf("%s: %d bytes", path, len(data))
		}
		out[i] = data[:tile.W*tlog.HashSize]
	}
	return out, nil
}

func entries(read source, size int64) ([][]byte, error) {
	var all [][]byte
	for n := int64(0); n*width < size; n++ {
		w := min(size-n*width, width)
		path := strings.Replace(tlog.Tile{H: height, L: 0, N: n, W: int(w)}.Path(), fmt.Sprintf("tile/%d/0/", height), "tile/entries/", 1)
		data, err := partOrWhole(read, path)
		if err != nil {
			return nil, err
		}
		for ; w > 0; w-- { // tlog-tiles: big-endian uint16 length, then the entry
			if len(data) < 2 || len(data) < 2+int(data[0])<<8+int(data[1]) {
				return nil, fmt.Errorf("%s: cut short", path)
			}
			end := 2 + int(data[0])<<8 + int(data[1])
			all, data = append(all, data[2:end]), data[end:]
		}
	}
	return all, nil
}

func chain(all [][]byte) error {
	before := strings.Repeat("0", 64)
	for i, e := range all {
		var entry struct {
			Index    int64  `json:"index"`
			PrevHash string `json:"prev_hash"`
		}
		if err := json.Unmarshal(e, &entry); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
		if entry.Index != int64(i) || strings.TrimPrefix(entry.PrevHash, "sha256:") != before {
			return fmt.Errorf("entry %d: index or prev_hash breaks the chain", i)
		}
		sum := sha256.Sum256(e)
		before = hex.EncodeToString(sum[:])
	}
	return nil
}

func verify(read source, vkey string) error {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	raw, err := read("checkpoint")
	if err != nil {
		return err
	}
	signed, err := note.Open(raw, note.VerifierList(verifier))
	if err != nil {
		return err
	}
	lines := strings.Split(signed.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return errors.New("checkpoint of another origin")
	}
	// tlog.ParseTree knows one fixed origin line, that of the checksum database: put it in place of ours.
	tree, err := tlog.ParseTree([]byte("go.sum database tree\n" + strings.Join(lines[1:], "\n")))
	if err != nil {
		return err
	}
	fmt.Printf("# %s: size %d, checkpoint signature good\n", lines[0], tree.N)

	all, err := entries(read, tree.N)
	if err != nil {
		return err
	}
	if err := chain(all); err != nil {
		return err
	}
	hashes := tlog.TileHashReader(tree, tiles{read})
	for i, e := range all {
		proof, err := tlog.ProveRecord(tree.N, int64(i), hashes)
		if err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, int64(i), tlog.RecordHash(e)); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
	}
	fmt.Printf("# %d entries: chained and each included under the checkpoint\n", len(all))

	// Old roots are computed from the entries, the proofs come from the tiles.
	var stored []tlog.Hash
	mine := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			out[i] = stored[x]
		}
		return out, nil
	})
	checked := 0
	for i, e := range all {
		more, err := tlog.StoredHashes(int64(i), e, mine)
		if err != nil {
			return err
		}
		stored = append(stored, more...)
		old := int64(i + 1)
		if old > 64 && old%61 != 0 && old != tree.N { // every small size, then a sample
			continue
		}
		root, err := tlog.TreeHash(old, mine)
		if err != nil {
			return err
		}
		proof, err := tlog.ProveTree(tree.N, old, hashes)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, old, root); err != nil {
			return fmt.Errorf("sizes %d and %d are not consistent: %w", old, tree.N, err)
		}
		checked++
	}
	fmt.Printf("# consistent with %d earlier sizes\n", checked)
	return nil
}

func main() {
	vkey := flag.String("vkey", os.Getenv("IFAB_VKEY"), "verifier key, or @FILE")
	flag.Parse()
	if flag.NArg() != 1 || *vkey == "" {
		fmt.Fprintln(os.Stderr, "usage: interop -vkey VKEY|@FILE http://HOST:PORT|unix:PATH|DIRECTORY")
		os.Exit(2)
	}
	if file, ok := strings.CutPrefix(*vkey, "@"); ok {
		data, err := os.ReadFile(file)
		if err != nil {
			fmt.Println("not verified:", err)
			os.Exit(1)
		}
		*vkey = string(bytes.TrimSpace(data))
	}
	if err := verify(open(flag.Arg(0)), *vkey); err != nil {
		fmt.Println("not verified:", err)
		os.Exit(1)
	}
	fmt.Println("verified")
}
