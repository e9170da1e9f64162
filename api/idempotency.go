package api

import (
	"bytes"
	"crypto/sha256"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/crossaccount/crossaccount"
)

// IdempotencyHeader carries the key of a request that shall be carried out once.
// Answers that were given before carry ReplayedHeader.
const (
	IdempotencyHeader = "Idempotency-Key"
	ReplayedHeader    = "Idempotency-Replayed"
)

// Bounds of what is remembered for idempotency keys.
const (
	maxKeyLength  = 255
	maxAnswers    = 10_000
	maxAnswerSize = 64 << 20 // bytes, of all bodies together
	answersFor    = 24 * time.Hour
)

// answerCache remembers the answers to requests with idempotency keys, in
// memory. When it is full, the oldest are forgotten.
type answerCache struct {
	now func() time.Time

	mu      sync.Mutex
	answers map[string]*answer // :: scope NUL key →
	order   []string           // keys of answers, oldest first
	size    int                // bytes of all bodies
}

type answer struct {
	request [sha256.Size]byte
	at      time.Time
	done    bool

	status int
	header http.Header
	body   []byte
}

func newAnswerCache(now func() time.Time) *answerCache {
	return &answerCache{now: now, answers: make(map[string]*answer)}
}

// serve answers a request from memory or lets the handler answer it.
func (c *answerCache) serve(w http.ResponseWriter, r *http.Request, principal Principal, body []byte, next http.Handler) *Problem {
	keys := r.Header.Values(IdempotencyHeader)
	if len(keys) == 0 {
		next.ServeHTTP(w, r)
		return nil
	}
	if len(keys) > 1 || !isKey(keys[0]) {
		return newProblem(crossaccount.CodeInvalidRequest, IdempotencyHeader+": must be one value of 1 to 255 printable ASCII characters", "use a random UUID")
	}
	scope := "operator"
	if !principal.Operator {
		scope = "tenant " + principal.CustomerID
	}
	key := scope + "\x00" + keys[0]
	known, problem := c.begin(key, fingerprint(r, body))
	if problem != nil {
		return problem
	}
	if known != nil {
		for name, values := range known.header {
			w.Header()[name] = values
		}
		w.Header().Set(ReplayedHeader, "true")
		w.WriteHeader(known.status)
		_, _ = w.Write(known.body) // the connection is gone
		return nil
	}
	recording := &recorder{ResponseWriter: w, status: http.StatusOK}
	defer func() { c.end(key, recording) }() // also if the handler panics
	next.ServeHTTP(recording, r)
	recording.complete = true
	return nil
}

// isKey keeps control characters out of memory and logs.
func isKey(key string) bool {
	for i := range len(key) {
		if key[i] < 0x21 || key[i] > 0x7e {
			return false
		}
	}
	return key != "" && len(key) <= maxKeyLength
}

func fingerprint(r *http.Request, body []byte) (sum [sha256.Size]byte) {
	hash := sha256.New()
	_, _ = io.WriteString(hash, r.Method+" "+r.URL.RequestURI()+"\n") // never fails
	_, _ = hash.Write(body)
	hash.Sum(sum[:0])
	return sum
}

// begin returns the answer to the same request, or reserves the key for it.
func (c *answerCache) begin(key string, request [sha256.Size]byte) (*answer, *Problem) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget()
	known := c.answers[key]
	switch {
	case known == nil:
		c.answers[key] = &answer{request: request, at: c.now()}
		c.order = append(c.order, key)
		return nil, nil
	case known.request != request:
		return nil, newProblem(CodeKeyReused, IdempotencyHeader+": was used for another request", "use a new key for every request that is not a repetition")
	case !known.done:
		return nil, newProblem(CodeKeyInUse, IdempotencyHeader+": the first request with this key is not answered yet", "try again")
	}
	return known, nil
}

// end keeps the answer. One that may be better next time is forgotten, so that
// trying again works.
func (c *answerCache) end(key string, r *recorder) {
	c.mu.Lock()
	defer c.mu.Unlock()
	reserved := c.answers[key]
	if reserved == nil || reserved.done {
		return // forgotten meanwhile
	}
	if !r.complete || r.status >= http.StatusInternalServerError || r.Header().Get("Retry-After") != "" && r.status >= http.StatusBadRequest {
		delete(c.answers, key)
		return
	}
	reserved.done, reserved.status, reserved.body = true, r.status, bytes.Clone(r.body.Bytes())
	reserved.header = r.Header().Clone()
	reserved.header.Del(requestIDHeader)
	c.size += len(reserved.body)
}

// forget drops what is too old or too much. The caller holds the lock.
func (c *answerCache) forget() {
	before := c.now().Add(-answersFor)
	for len(c.order) > 0 {
		oldest := c.answers[c.order[0]]
		if oldest != nil && !oldest.at.Before(before) && len(c.order) < maxAnswers && c.size < maxAnswerSize {
			return
		}
		if oldest != nil {
			c.size -= len(oldest.body)
		}
		delete(c.answers, c.order[0])
		c.order = c.order[1:]
	}
}

// A recorder keeps a copy of what is sent.
type recorder struct {
	http.ResponseWriter
	status   int
	body     bytes.Buffer
	complete bool
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	r.body.Write(p)
	return r.ResponseWriter.Write(p)
}

// Unwrap lets [http.ResponseController] reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
