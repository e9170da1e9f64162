package cli

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// quietFor is how long a command may take without saying what it does.
const quietFor = time.Second

// A progress tells people on standard error what a command is doing, from the
// moment at which it takes longer than they expect. Results are not its
// business.
type progress struct {
	w io.Writer

	mu      sync.Mutex
	doing   string
	said    string
	started time.Time
	done    chan struct{}
	once    sync.Once
}

func startProgress(w io.Writer) *progress {
	p := &progress{w: w, started: time.Now(), done: make(chan struct{})}
	go func() {
		ticker := time.NewTicker(quietFor)
		defer ticker.Stop()
		for {
			select {
			case <-p.done:
				return
			case <-ticker.C:
				p.tick()
			}
		}
	}()
	return p
}

// say changes what is being done.
func (p *progress) say(doing string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doing = doing
}

// tick writes a line when something new is being done, and every ten seconds.
func (p *progress) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	elapsed := time.Since(p.started).Round(time.Second)
	if p.doing == "" || p.doing == p.said && elapsed%(10*time.Second) != 0 {
		return
	}
	p.said = p.doing
	select {
	case <-p.done: // stopped meanwhile
	default:
		fmt.Fprintf(p.w, "%s … %s\n", p.doing, elapsed)
	}
}

// stop ends it. It may be called again.
func (p *progress) stop() {
	p.once.Do(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		close(p.done)
	})
}
