package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/broker"
	"github.com/crossaccount/crossaccount/store/sqlite"
)

// AuditToken writes into the server's database that a token of its credentials
// endpoint was issued or revoked. The server may run meanwhile. It needs no keys and
// no AWS: whoever issues tokens may not have them. It does not make the database: what
// is in one that no server has made is seen by nobody.
func AuditToken(ctx context.Context, config *Config, action string, token broker.TokenRecord) (err error) {
	service, options, err := config.parseService()
	if err != nil {
		return err
	}
	if _, err := os.Stat(config.Database); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no database %s; start the server once, which makes it, or name its database with --database", config.Database)
	}
	store, err := sqlite.Open(ctx, config.Database, sqlite.Options{Readers: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	// Its key is made for nothing: it seals nothing and opens nothing.
	options = append(options, crossaccount.WithStorage(store), crossaccount.WithLogger(slog.New(slog.DiscardHandler)))
	client, err := crossaccount.New(service, options...)
	if err != nil {
		return err
	}
	return client.AuditToken(crossaccount.WithActor(ctx, "operator"), action, token)
}
