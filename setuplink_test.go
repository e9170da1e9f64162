package crossaccount_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crossaccount/crossaccount"
)

func TestSetupLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		id := w.start("one").IntegrationID
		ctx := t.Context()
		link := crossaccount.SetupLink{CustomerID: "one", IntegrationID: id, ExpiresAt: time.Now().Add(time.Hour)}
		token, err := w.client.SealSetupLink(ctx, link)
		if err != nil {
			t.Fatal(err)
		}
		again, err := w.client.SealSetupLink(ctx, link)
		if err != nil || again == token {
			t.Errorf("two links have the same token, or %v", err)
		}
		found, err := w.client.OpenSetupLink(ctx, token)
		if err != nil || found.CustomerID != "one" || found.IntegrationID != id || !found.ExpiresAt.Equal(link.ExpiresAt) {
			t.Errorf("%+v, %v", found, err)
		}
		// Every single character matters, also the last one's unused bits.
		for i := range token {
			for _, other := range []byte("AB_9") {
				altered := []byte(token)
				if altered[i] == other {
					continue
				}
				altered[i] = other
				if _, err := w.client.OpenSetupLink(ctx, string(altered)); crossaccount.CodeOf(err) != crossaccount.CodeForbidden {
					t.Fatalf("altered at %d: %v", i, err)
				}
			}
		}
		// Other sealed values are no links, and other installations' links are
		// not ours.
		elsewhere, err := crossaccount.New(w.config, crossaccount.WithStorage(w.store), crossaccount.WithLogger(nil))
		if err != nil {
			t.Fatal(err)
		}
		_, err = elsewhere.OpenSetupLink(ctx, token)
		wantCode(t, err, crossaccount.CodeForbidden)
		for name, wrong := range map[string]crossaccount.SetupLink{
			"past":        {CustomerID: "one", IntegrationID: id, ExpiresAt: time.Now()},
			"never":       {CustomerID: "one", IntegrationID: id},
			"short":       {CustomerID: "one", IntegrationID: id, ExpiresAt: time.Now().Add(58 * time.Second)},
			"long":        {CustomerID: "one", IntegrationID: id, ExpiresAt: time.Now().Add(31 * 24 * time.Hour)},
			"nobody":      {IntegrationID: id, ExpiresAt: link.ExpiresAt},
			"somebody":    {CustomerID: "two", IntegrationID: id, ExpiresAt: link.ExpiresAt},
			"nothing":     {CustomerID: "one", IntegrationID: "int-0", ExpiresAt: link.ExpiresAt},
			"hostile ids": {CustomerID: "one\x00", IntegrationID: "../", ExpiresAt: link.ExpiresAt},
		} {
			if token, err := w.client.SealSetupLink(ctx, wrong); err == nil {
				t.Errorf("%s: %s", name, token)
			}
		}
		time.Sleep(time.Hour - time.Second)
		if _, err := w.client.OpenSetupLink(ctx, token); err != nil {
			t.Errorf("a moment before the end: %v", err)
		}
		time.Sleep(time.Second)
		_, err = w.client.OpenSetupLink(ctx, token)
		wantCode(t, err, crossaccount.CodeForbidden)

		link.ExpiresAt = time.Now().Add(time.Hour)
		if token, err = w.client.SealSetupLink(ctx, link); err != nil {
			t.Fatal(err)
		}
		if err := w.client.Revoke(context.Background(), "one", id); err != nil {
			t.Fatal(err)
		}
		_, err = w.client.OpenSetupLink(ctx, token)
		wantCode(t, err, crossaccount.CodeForbidden)
	})
}
