// Package consumer is the function of the team that reads the orders.
package consumer

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
)

// An Order is what the orders app puts on its stream.
type Order struct {
	ID    string `json:"id"`
	Cents int    `json:"cents"`
}

// An Event is what Lambda hands over from a Kinesis stream. Only what is used
// here is named.
//
// https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
type Event struct {
	Records []struct {
		EventID string `json:"eventID"`
		Kinesis struct {
			Data []byte `json:"data"`
		} `json:"kinesis"`
	} `json:"Records"`
}

// A Counter adds up orders. A record may come more than once, and counts once;
// a real one would keep that in a table.
type Counter struct {
	mu    sync.Mutex
	seen  map[string]bool
	total int
}

// Handle is the function. It needs no credentials and no code for AWS: the event
// source mapping reads the stream with the function's role.
func (c *Counter) Handle(_ context.Context, e Event) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = map[string]bool{}
	}
	for _, r := range e.Records {
		var o Order
		if err := json.Unmarshal(r.Kinesis.Data, &o); err != nil {
			return fmt.Errorf("the record %s is no order: %w", r.EventID, err)
		}
		if !c.seen[o.ID] {
			c.seen[o.ID] = true
			c.total += o.Cents
		}
	}
	return nil
}

// Total returns how many cents were ordered, in how many orders.
func (c *Counter) Total() (cents, orders int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total, len(c.seen)
}
