package broker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// A HandOut says that credentials were handed out over HTTP: to one caller, one
// access key, within one minute.
type HandOut struct {
	Subject
	// Caller is the name of the token, and TokenID its id.
	Caller, TokenID string
	// AccessKeyID joins the record with its [Issuance] and with CloudTrail.
	AccessKeyID string
	Expires     time.Time
	Minute      time.Time // its beginning, UTC
	Count       int
}

const (
	handOutInterval = time.Minute

	// maxHandOuts bounds what is kept of hand-outs that were not told yet. When it
	// is reached they are told early; when that fails for long, the count of what
	// cannot be kept is logged.
	maxHandOuts  = 50_000
	earlyHandOut = maxHandOuts / 2
)

// handOuts counts hand-outs and tells somebody from a goroutine of its own.
type handOuts struct {
	tell func(context.Context, []HandOut) error
	log  *slog.Logger

	early   chan struct{} // has a value when there are many
	ended   chan struct{} // closed by close
	stopped chan struct{} // closed when the goroutine has ended
	cancel  context.CancelFunc
	once    sync.Once

	mu     sync.Mutex
	counts map[handOutKey]*HandOut
	lost   int // hand-outs that there was no room for
}

type handOutKey struct {
	tokenID, accessKeyID string
	key                  Key
	minute               int64
}

func newHandOuts(tell func(context.Context, []HandOut) error, log *slog.Logger) *handOuts {
	ctx, cancel := context.WithCancel(context.Background())
	h := &handOuts{
		tell: tell, log: log, cancel: cancel,
		early: make(chan struct{}, 1), ended: make(chan struct{}), stopped: make(chan struct{}),
		counts: make(map[handOutKey]*HandOut),
	}
	go h.run(ctx)
	return h
}

// count notes one hand-out.
func (h *handOuts) count(t *token, source Source, credentials aws.Credentials, now time.Time) {
	key := handOutKey{t.ID, credentials.AccessKeyID, sourceKey(source), now.Unix() / 60}
	if h.counted(key, nil) {
		return
	}
	h.counted(key, &HandOut{
		Subject: source.Subject(), Caller: t.Name, TokenID: t.ID, AccessKeyID: credentials.AccessKeyID,
		Expires: credentials.Expires, Minute: time.Unix(key.minute*60, 0).UTC(),
	})
}

// counted counts one hand-out, of which there are some already unless it is given
// how they begin. No function of others is called under the lock.
func (h *handOuts) counted(key handOutKey, first *HandOut) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	known := h.counts[key]
	switch {
	case known == nil && first == nil:
		return false
	case known == nil && len(h.counts) >= maxHandOuts:
		h.lost++
		return true
	case known == nil:
		known, h.counts[key] = first, first
	}
	known.Count++
	if len(h.counts) >= earlyHandOut {
		select {
		case h.early <- struct{}{}:
		default:
		}
	}
	return true
}

func (h *handOuts) run(ctx context.Context) {
	defer close(h.stopped)
	every := time.NewTicker(handOutInterval)
	defer every.Stop()
	early := h.early
	for {
		select {
		case <-every.C:
		case <-early:
		case <-h.ended:
			_ = h.flush(ctx) // it is in the log
			return
		}
		early = h.early
		if h.flush(ctx) != nil {
			early = nil // there are as many as before; whoever does not take them needs a pause
		}
	}
}

// flush tells what there is. If that fails, it is kept.
func (h *handOuts) flush(ctx context.Context) error {
	h.mu.Lock()
	counts, lost := h.counts, h.lost
	h.counts, h.lost = make(map[handOutKey]*HandOut, len(counts)), 0
	h.mu.Unlock()
	if lost > 0 {
		h.log.Error("broker: hand-outs of credentials could not be recorded: too many wait to be", "lost", lost)
	}
	if len(counts) == 0 {
		return nil
	}
	batch := make([]HandOut, 0, len(counts))
	for _, handOut := range counts {
		batch = append(batch, *handOut)
	}
	err := h.tell(ctx, batch)
	if err == nil {
		return nil
	}
	h.log.Error("broker: hand-outs of credentials could not be recorded; they will be recorded with the next ones", "count", len(batch), "error", err)
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, handOut := range counts {
		switch known := h.counts[key]; {
		case known != nil:
			known.Count += handOut.Count
		case len(h.counts) >= maxHandOuts:
			h.lost += handOut.Count
		default:
			h.counts[key] = handOut
		}
	}
	return err
}

// close tells the rest.
func (h *handOuts) close(ctx context.Context) error {
	h.once.Do(func() { close(h.ended) })
	select {
	case <-h.stopped:
	case <-ctx.Done():
		h.cancel()
		return &Error{Code: CodeCanceled, Message: "the last hand-outs of credentials were not recorded in time", cause: ctx.Err()}
	}
	h.cancel()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.counts) > 0 || h.lost > 0 {
		return &Error{Code: CodeUnavailable, Message: "the last hand-outs of credentials could not be recorded"}
	}
	return nil
}
