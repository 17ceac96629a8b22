// A message from bytes (docs/formats/envelope.md): gowebpki/jcs and the standard library.
// IFAB_ENDPOINT (unix:…), IFAB_AS, IFAB_KEY, [IFAB_TO].
package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gowebpki/jcs"
)

type object = map[string]any

var b64url = base64.RawURLEncoding.EncodeToString

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func uuid7() string {
	b := make([]byte, 18)
	must(rand.Read(b))
	binary.BigEndian.PutUint64(b, uint64(time.Now().UnixMilli())<<16|0x7000|uint64(b[16]&15)<<8|uint64(b[17]))
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

func canonical(value object) []byte { return must(jcs.Transform(must(json.Marshal(value)))) }

func main() {
	to, now := "Demo.B", time.Now().UTC()
	if name := os.Getenv("IFAB_TO"); name != "" {
		to = name
	}
	block, _ := pem.Decode(must(os.ReadFile(os.Getenv("IFAB_KEY"))))
	key := must(x509.ParsePKCS8PrivateKey(block.Bytes)).(ed25519.PrivateKey)
	pub := []byte(key.Public().(ed25519.PublicKey))
	signature := object{"algorithm": "ed25519", "key_id": fmt.Sprintf("k-%x", sha256.Sum256(pub))[:18], "pubkey": b64url(pub)}
	message := object{"v": "2.1", "id": "msg-" + uuid7(), "performative": "inform", "conversation_id": "conv-" + uuid7(),
		"topic_hash": fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("builds"))), "sender": "if://agent/" + os.Getenv("IFAB_AS") + "/go",
		"receiver": "if://agent/" + to, "issued_at": now.Format("2006-01-02T15:04:05.000Z"), "ttl_s": 60, "seq": now.UnixMicro(),
		"nonce": rand.Text()[:24] /* reads as 18 bytes of base64url */, "signature": signature,
		"content": object{"claim": "Go says: the build is green",
			"scope": object{"branch": "main"}, "confidence": object{"raw": 0.9, "normalized": 0.9}}}
	// Signed is the domain line and the canonical form without the signature itself.
	signature["sig"] = b64url(ed25519.Sign(key, append([]byte("IF-CONNECT-v2.1\n"), canonical(message)...)))
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", strings.TrimPrefix(os.Getenv("IFAB_ENDPOINT"), "unix:"))
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial}, Timeout: 15 * time.Second}
	request := must(http.NewRequest("POST", "http://localhost/v1/messages", bytes.NewReader(canonical(message))))
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", message["id"].(string))
	answer, response := object{}, must(client.Do(request))
	must(0, json.NewDecoder(response.Body).Decode(&answer))
	if answer["decision"] != "SHARE" {
		log.Fatal(answer)
	}
	fmt.Println(answer["decision"], answer["reason"])
}
