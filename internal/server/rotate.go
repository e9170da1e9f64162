package server

import (
	"context"

	"github.com/crossaccount/crossaccount"
)

// Reseal seals all external IDs with the active key again, beside servers that
// use the same database. See [crossaccount.Client.Reseal].
func (s *Server) Reseal(ctx context.Context, progress func(crossaccount.ResealProgress)) (crossaccount.ResealProgress, error) {
	return s.client.Reseal(ctx, progress)
}

// KeyIDs returns the ids of the keys, the active one first.
func (s *Server) KeyIDs() []string { return s.keys.KeyIDs() }

// SealedWith counts the integrations whose external ID is sealed with each key,
// by the keys' ids.
func (s *Server) SealedWith(ctx context.Context) (map[string]int, error) {
	found := make(map[string]int)
	query := crossaccount.IntegrationQuery{AllCustomers: true}
	for {
		page, err := s.store.List(ctx, query)
		if err != nil {
			return nil, err
		}
		for _, i := range page.Integrations {
			if len(i.SealedExternalID) > 0 {
				found[crossaccount.KeyOf(i.SealedExternalID)]++
			}
		}
		if page.Next == "" {
			return found, nil
		}
		query.Cursor = page.Next
	}
}
