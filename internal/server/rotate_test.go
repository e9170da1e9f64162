package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
	"github.com/crossaccount/crossaccount/internal/servetest"
)

// The keys are rotated by the commands of the manual while a server serves on
// SQLite: nobody's external ID changes or is lost, and in the end nothing needs
// the old key.
func TestKeyRotationWhileServing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	keys := func(arguments ...string) string {
		t.Helper()
		out, err := w.Run(t.Context(), []string{os.Args[0]}, []string{serveVariable + "=1"}, append([]string{"keys"}, arguments...)...)
		if err != nil {
			t.Error(err)
		}
		return out
	}
	list := func() (shown []struct {
		ID     string `json:"id"`
		Active bool   `json:"active"`
		Sealed int    `json:"sealed"`
	}) {
		t.Helper()
		if err := json.Unmarshal([]byte(keys("list", "--json")), &shown); err != nil {
			t.Fatal(err)
		}
		return shown
	}
	var p *servetest.Process
	var client *api.Client
	restart := func() {
		t.Helper()
		if p != nil {
			if err := errors.Join(p.Interrupt(), p.Wait()); err != nil {
				t.Fatalf("%v\n%s", err, p.Log())
			}
		}
		p = serve(t, w)
		var err error
		if client, err = p.Client(nil); err != nil {
			t.Fatal(err)
		}
	}
	var told sync.Map // :: customer → external ID
	begin := func(n int) {
		customer := servetest.CustomerID(n)
		started, err := client.Start(t.Context(), &api.StartRequest{CustomerID: customer})
		if err != nil {
			t.Errorf("%s: %v", customer, err)
			return
		}
		if before, known := told.LoadOrStore(customer, started.ExternalID); known && before != started.ExternalID {
			t.Errorf("the external ID of %s changed", customer)
		}
	}
	restart()
	const before = 110 // more than a page
	for n := range before {
		begin(n)
	}
	old := list()
	if len(old) != 1 || !old[0].Active || old[0].Sealed != before {
		t.Fatalf("before: %+v", old)
	}

	var added struct{ ID string }
	if err := json.Unmarshal([]byte(keys("add", "--json")), &added); err != nil {
		t.Fatal(err)
	}
	begin(0) // the server does not know the new key, and nothing needs it yet
	if shown := list(); len(shown) != 2 || shown[0].ID != old[0].ID || shown[1].Active {
		t.Errorf("added: %+v", shown)
	}
	restart()
	keys("activate", added.ID)
	begin(before) // sealed with the old key by a server that was not restarted
	restart()

	// Onboardings begin and go on while everything is sealed again.
	ctx, stop := context.WithCancel(t.Context())
	var going sync.WaitGroup
	var next atomic.Int64
	next.Store(before)
	for range 4 {
		going.Go(func() {
			for ctx.Err() == nil {
				begin(int(next.Add(1)))
				begin(int(next.Load()) % before)
			}
		})
	}
	if out := keys("reseal"); !strings.Contains(out, fmt.Sprintf("Sealed %d of ", before+1)) {
		t.Errorf("resealing said %s", out)
	}
	stop()
	going.Wait()
	shown := list()
	if len(shown) != 2 || shown[0].ID == old[0].ID || shown[1].Sealed != 0 || shown[0].Sealed != int(next.Load())+1 {
		t.Errorf("sealed again: %+v, want %d with the new key", shown, next.Load()+1)
	}
	if out, err := w.Run(t.Context(), []string{os.Args[0]}, []string{serveVariable + "=1"}, "keys", "remove", shown[0].ID); err == nil {
		t.Errorf("the key in use was removed: %s", out)
	}
	keys("remove", old[0].ID)
	restart()
	for n := range int(next.Load()) + 1 {
		begin(n)
	}
	page, err := client.Integrations(t.Context(), api.ListRequest{States: []crossaccount.State{crossaccount.StatePending}, Limit: 100})
	if err != nil || len(page.Integrations) != 100 {
		t.Errorf("in the end: %d, %v", len(page.Integrations), err)
	}
	if err := p.Kill(); err != nil {
		t.Error(err)
	}
}
