package authz

import (
	"sync"
	"time"
)

// A Record is one API call that was answered. It holds neither parameters nor
// credentials.
type Record struct {
	Time      time.Time
	RequestID string
	Service   string
	Operation string
	Region    string
	Caller    string // ARN, or "anonymous"
	KeyID     string // the access key id that signed the request
	Status    int    // HTTP status of the answer
	Code      string // error code; empty for success and where it is not known

	trace *trace
}

// Decisions returns what was decided for the call, in order, including what a
// service decided after it had answered. There are none for calls refused
// before authorization.
func (r *Record) Decisions() []*Decision {
	if r.trace == nil {
		return nil
	}
	return r.trace.list()
}

// Remember puts a call into the record. The call may be nil if the request was
// refused before its caller was known.
func (e *Engine) Remember(r Record, c *Call) {
	if c != nil {
		r.trace = c.trace
	}
	e.record.add(&r)
}

// Records returns the calls in the record, oldest first.
func (e *Engine) Records() []*Record { return e.record.list() }

// A ring keeps the last size records.
type ring struct {
	size int

	mu      sync.Mutex
	records []*Record
	next    int // where the next record goes once the ring is full
}

func (r *ring) add(record *Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.records) < r.size {
		r.records = append(r.records, record)
		return
	}
	r.records[r.next] = record
	r.next = (r.next + 1) % r.size
}

func (r *ring) list() []*Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*Record, 0, len(r.records))
	list = append(list, r.records[r.next:]...)
	return append(list, r.records[:r.next]...)
}
