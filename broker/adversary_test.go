package broker_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crossaccount/crossaccount/broker"
)

// A handle that lapsed, or was forgotten, is no entry at the moment; Revoke must
// end it all the same.
func TestRevokeEndsHandlesThatLapsed(t *testing.T) {
	for name, leave := range map[string]func(b *broker.Broker){
		"lapsed":    func(*broker.Broker) { time.Sleep(4 * time.Hour) },
		"forgotten": func(b *broker.Broker) { b.Forget("acme", "") },
	} {
		for _, integration := range []string{"", "int-acme"} {
			t.Run(name+" "+integration, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := start(t, newFake(t).config())
					old := handle(t, b, access("acme"))
					get(t, old)
					leave(b)
					if n := b.Stats().Entries; n != 0 {
						t.Fatalf("%d entries", n)
					}
					b.Revoke("acme", integration)
					if s := old.Status().State; s != broker.StateRevoked {
						t.Errorf("the state is %s", s)
					}
					fails(t, old, broker.CodeRevoked)
					if err := old.Recheck(context.Background()); broker.CodeOf(err) != broker.CodeRevoked {
						t.Errorf("Recheck: %v", err)
					}
					get(t, handle(t, b, access("acme"))) // taken up again
					fails(t, old, broker.CodeRevoked)
				})
			})
		}
	}
}
