package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
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
	sweepInterval = 10 * time.Minute
	keepTime      = 10 * time.Second // for storing an answer
)

// An AnswerStore keeps answers to requests with idempotency keys beyond the life
// of a process. Keys are 32 bytes that tell nothing, answers are sealed.
// store/sqlite has one. Methods are safe for concurrent use.
type AnswerStore interface {
	// KeepAnswer keeps an answer until a time. One that was kept before and
	// has not expired stays. When KeepAnswer returns nil, the answer is durable.
	KeepAnswer(ctx context.Context, key, sealed []byte, now, until time.Time) error

	// Answer returns the answer that was kept and has not expired, or nil.
	Answer(ctx context.Context, key []byte, now time.Time) (sealed []byte, err error)

	// ForgetAnswers removes what has expired.
	ForgetAnswers(ctx context.Context, now time.Time) error
}

// answerCache remembers the answers to requests with idempotency keys: those
// that changed something in the store, if there is one, and the others in
// memory. When memory is full, the oldest are forgotten.
type answerCache struct {
	now     func() time.Time
	store   AnswerStore // may be nil
	encrypt crossaccount.Encryptor
	log     *slog.Logger

	mu      sync.Mutex
	answers map[string]*answer // :: scope NUL key →
	order   []string           // keys of answers, oldest first
	size    int                // bytes of all bodies
	swept   time.Time          // when expired answers were last removed from the store
}

type answer struct {
	request [sha256.Size]byte
	at      time.Time
	done    bool

	status int
	header http.Header
	body   []byte
}

func newAnswerCache(o Options) *answerCache {
	return &answerCache{now: o.Now, store: o.Answers, encrypt: o.Encryptor, log: o.Logger, answers: make(map[string]*answer), swept: o.Now()}
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
	request := fingerprint(r, body)
	known, problem := c.begin(key, request)
	if problem != nil {
		return problem
	}
	recording := &recorder{ResponseWriter: w, status: http.StatusOK, header: w.Header().Clone()}
	if known == nil {
		defer func() { c.end(key, recording) }() // also if the handler panics
		if known, problem = c.stored(r.Context(), key, request); problem != nil {
			return problem
		}
	}
	if known != nil {
		known.replay(w)
		return nil
	}
	next.ServeHTTP(recording, r.WithContext(crossaccount.WithRequestKey(r.Context(), key)))
	// Whoever sees the answer can rely on getting it again.
	recording.kept = recording.status == http.StatusOK && c.keep(r.Context(), key, request, recording)
	recording.complete = true
	recording.send()
	return nil
}

// replay gives an answer again.
func (a *answer) replay(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.Header().Set(ReplayedHeader, "true")
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // the connection is gone
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
		return nil, keyReused()
	case !known.done:
		return nil, newProblem(CodeKeyInUse, IdempotencyHeader+": the first request with this key is not answered yet", "try again")
	}
	return known, nil
}

func keyReused() *Problem {
	return newProblem(CodeKeyReused, IdempotencyHeader+": was used for another request", "use a new key for every request that is not a repetition")
}

// end keeps the answer in memory, or gives the key free: if the answer is in the
// store, is not the last word, or may be better next time.
func (c *answerCache) end(key string, r *recorder) {
	c.mu.Lock()
	defer c.mu.Unlock()
	reserved := c.answers[key]
	if reserved == nil || reserved.done {
		return // forgotten meanwhile
	}
	if !r.complete || r.kept || r.status == http.StatusAccepted || r.status >= http.StatusInternalServerError ||
		r.header.Get("Retry-After") != "" && r.status >= http.StatusBadRequest {
		delete(c.answers, key)
		return
	}
	reserved.done, reserved.status, reserved.body = true, r.status, bytes.Clone(r.body.Bytes())
	reserved.header = r.keptHeader()
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

// A recorder holds an answer back until it was kept. Answers are small.
type recorder struct {
	http.ResponseWriter
	status   int
	header   http.Header
	body     bytes.Buffer
	kept     bool // in the store
	complete bool
}

// Header returns the headers of the answer, with those that were set before.
func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) { r.status = status }

func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }

// Unwrap lets [http.ResponseController] reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) send() {
	maps.Copy(r.ResponseWriter.Header(), r.header)
	r.ResponseWriter.WriteHeader(r.status)
	_, _ = r.ResponseWriter.Write(r.body.Bytes()) // the connection is gone
}

func (r *recorder) keptHeader() http.Header {
	header := r.header.Clone()
	header.Del(requestIDHeader)
	return header
}

// A storedAnswer is what is sealed in the store.
type storedAnswer struct {
	Request [sha256.Size]byte `json:"request"`
	Status  int               `json:"status"`
	Header  http.Header       `json:"header"`
	Body    []byte            `json:"body"`
}

// answerBinding ties an answer to its key.
func answerBinding(index []byte) crossaccount.Binding {
	return crossaccount.Binding{Field: "idempotent_answer", IntegrationID: hex.EncodeToString(index)}
}

// stored returns the answer to the same request from the store, if there is one.
func (c *answerCache) stored(ctx context.Context, key string, request [sha256.Size]byte) (*answer, *Problem) {
	if c.store == nil {
		return nil, nil
	}
	index, err := c.encrypt.BlindIndex(ctx, "idempotency_key", []byte(key))
	if err != nil {
		return nil, problemOf(err)
	}
	sealed, err := c.store.Answer(ctx, index, c.now())
	if err != nil {
		return nil, problemOf(err)
	}
	if sealed == nil {
		return nil, nil
	}
	var found storedAnswer
	plain, err := c.encrypt.Open(ctx, sealed, answerBinding(index))
	if err == nil {
		err = json.Unmarshal(plain, &found)
	}
	if err != nil {
		// It was sealed with a key that was taken away. Carrying the request out
		// again is safe: the key of a start decides the integration's id.
		c.log.Warn("api: a kept answer cannot be opened", "code", crossaccount.CodeOf(err))
		return nil, nil
	}
	if found.Request != request {
		return nil, keyReused()
	}
	return &answer{status: found.Status, header: found.Header, body: found.Body}, nil
}

// keep puts an answer into the store and reports whether it is there.
func (c *answerCache) keep(ctx context.Context, key string, request [sha256.Size]byte, r *recorder) bool {
	if c.store == nil {
		return false
	}
	// The request was carried out, whether or not somebody still waits.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTime)
	defer cancel()
	c.sweep(ctx)
	index, err := c.encrypt.BlindIndex(ctx, "idempotency_key", []byte(key))
	if err == nil {
		err = c.keepSealed(ctx, index, storedAnswer{request, r.status, r.keptHeader(), r.body.Bytes()})
	}
	if err != nil {
		c.log.Warn("api: the answer to a request with an idempotency key is kept in memory only", "code", crossaccount.CodeOf(err))
	}
	return err == nil
}

func (c *answerCache) keepSealed(ctx context.Context, index []byte, a storedAnswer) error {
	plain, err := json.Marshal(a)
	if err != nil {
		return err
	}
	sealed, err := c.encrypt.Seal(ctx, plain, answerBinding(index))
	if err != nil {
		return err
	}
	now := c.now()
	return c.store.KeepAnswer(ctx, index, sealed, now, now.Add(answersFor))
}

// sweep removes what has expired from the store, now and then.
func (c *answerCache) sweep(ctx context.Context) {
	now := c.now()
	c.mu.Lock()
	due := now.Sub(c.swept) >= sweepInterval
	if due {
		c.swept = now
	}
	c.mu.Unlock()
	if !due {
		return
	}
	if err := c.store.ForgetAnswers(ctx, now); err != nil {
		c.log.Warn("api: expired answers could not be removed", "code", crossaccount.CodeOf(err))
	}
}
