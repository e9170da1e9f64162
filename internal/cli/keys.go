package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/internal/server"
)

func newKeys(streams Streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "keys",
		Short: "Rotate the keys that seal external IDs",
		Long: `Rotate the keys that seal external IDs, while servers go on serving. Servers read
the key file when they start, so every change is followed by restarting them:

  crossaccount keys add          a new key, which opens and does not seal yet
  (restart all servers: now all of them know it)
  crossaccount keys activate ID  the new key seals from now on
  (restart all servers: now none of them seals with the old one)
  crossaccount keys reseal       seal everything with it, while they serve
  crossaccount keys remove ID    take the old key out of the key file
  (restart all servers)

Back the key file up after adding and after activating: what is sealed with a
lost key is lost. Setup links and kept answers to idempotency keys that were
sealed with a removed key work no more.`,
		Example: `  crossaccount keys list --config /etc/crossaccount/server.yaml`,
	}
	list := keysCommand(streams, "list", "List the keys, and how many external IDs each has sealed", cobra.NoArgs, listKeys)
	list.Long = `List the keys, and how many external IDs each has sealed. The first one seals;
the others only open what they sealed before.`
	list.Example = `  crossaccount keys list
  crossaccount keys list --json`
	add := keysCommand(streams, "add", "Add a key that opens and does not seal yet", cobra.NoArgs, addKey)
	add.Long = `Add a key to the key file. It seals nothing before it is activated, so that all
servers can learn of it first.`
	add.Example = `  crossaccount keys add --key-file crossaccount-keys.json`
	activate := keysCommand(streams, "activate ID", "Let a key seal", cobra.ExactArgs(1), activateKey)
	activate.Long = `Let a key seal from the next start of each server on. All servers must have been
started since the key was added: one that does not know it could not open what
the others seal. Activating the active key changes nothing.`
	activate.Example = `  crossaccount keys list
  crossaccount keys activate 3f9c1a2b4d5e6f70`
	reseal := keysCommand(streams, "reseal", "Seal everything with the active key, while servers serve", cobra.NoArgs, resealAll)
	reseal.Long = `Seal all external IDs with the active key. Servers go on serving meanwhile, and it
may be stopped and begun again at any time.`
	reseal.Example = `  crossaccount keys reseal`
	remove := keysCommand(streams, "remove ID", "Take a key that has sealed nothing any more out of the key file", cobra.ExactArgs(1), removeKey)
	remove.Long = `Take a key out of the key file. A key that some external ID is still sealed with
is not removed: the ID would be lost.`
	remove.Example = `  crossaccount keys list
  crossaccount keys remove 3f9c1a2b4d5e6f70`
	c.AddCommand(list, add, activate, reseal, remove)
	return c
}

// A keyWork is what one of the commands does. It returns what is printed as JSON
// and how to print it for people.
type keyWork func(ctx context.Context, streams Streams, config *server.Config, args []string) (value any, print func(io.Writer), err error)

func keysCommand(streams Streams, use, short string, args cobra.PositionalArgs, work keyWork) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{Use: use, Short: short, Args: args}
	read := configFlags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		config, err := read()
		if err != nil {
			return err
		}
		value, show, err := work(c.Context(), streams, config, args)
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(streams.Out, value)
		}
		show(streams.Out)
		return nil
	}
	return c
}

// editKeys changes the key file.
func editKeys(config *server.Config, change func(*crossaccount.KeySet) error) (*crossaccount.KeySet, error) {
	if config.Keys != "" {
		return nil, &exitError{ExitUsage, fmt.Errorf("the keys come from CROSSACCOUNT_KEYS, which only you can change; write them into a file, use --key-file without the variable, and set it to the result")}
	}
	keys, err := crossaccount.ReadKeyFile(config.KeyFile)
	if err != nil {
		return nil, err
	}
	if err := change(keys); err != nil {
		return nil, err
	}
	return keys, crossaccount.WriteKeyFile(config.KeyFile, keys)
}

// openServer opens what servers use. A database that does not exist is not made:
// looking at it, from the wrong folder, would leave one with keys of its own.
func openServer(ctx context.Context, streams Streams, config *server.Config) (*server.Server, error) {
	if _, err := os.Stat(config.Database); errors.Is(err, fs.ErrNotExist) {
		return nil, &exitError{ExitUsage, fmt.Errorf("there is no database %s; check --config, --database and the folder you are in, or start the server, which makes it", config.Database)}
	}
	return server.New(ctx, config, server.NewLogger(streams.Err, max(config.LogLevel, slog.LevelWarn)))
}

type keyShown struct {
	ID     string `json:"id"`
	Active bool   `json:"active"`
	Sealed int    `json:"sealed"` // external IDs
}

func listKeys(ctx context.Context, streams Streams, config *server.Config, _ []string) (any, func(io.Writer), error) {
	s, err := openServer(ctx, streams, config)
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	sealed, err := s.SealedWith(ctx)
	if err != nil {
		return nil, nil, err
	}
	var shown []keyShown
	for n, id := range s.KeyIDs() {
		shown = append(shown, keyShown{id, n == 0, sealed[id]})
	}
	return shown, func(w io.Writer) {
		for _, k := range shown {
			does := "opens"
			if k.Active {
				does = "seals"
			}
			fmt.Fprintf(w, "%s  %s  %d external IDs\n", k.ID, does, k.Sealed)
		}
	}, nil
}

func addKey(_ context.Context, _ Streams, config *server.Config, _ []string) (any, func(io.Writer), error) {
	var id string
	_, err := editKeys(config, func(keys *crossaccount.KeySet) (err error) {
		id, err = keys.Add(nil)
		return err
	})
	return keyShown{ID: id}, func(w io.Writer) {
		fmt.Fprintf(w, "Added the key %s. It seals nothing yet.\n\nBack up %s and restart all servers, then:\n\n  crossaccount keys activate %s\n", id, config.KeyFile, id)
	}, err
}

func activateKey(_ context.Context, _ Streams, config *server.Config, args []string) (any, func(io.Writer), error) {
	keys, err := editKeys(config, func(keys *crossaccount.KeySet) error { return keys.Activate(args[0]) })
	if err != nil {
		return nil, nil, err
	}
	id := keys.KeyIDs()[0]
	return keyShown{ID: id, Active: true}, func(w io.Writer) {
		fmt.Fprintf(w, "The key %s seals from the next start on. Restart all servers, then:\n\n  crossaccount keys reseal\n", id)
	}, nil
}

func resealAll(ctx context.Context, streams Streams, config *server.Config, _ []string) (any, func(io.Writer), error) {
	s, err := openServer(ctx, streams, config)
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	ctx = crossaccount.WithActor(ctx, "operator")
	done, err := s.Reseal(ctx, func(p crossaccount.ResealProgress) {
		fmt.Fprintf(streams.Err, "%d checked, %d to seal again, %d done\n", p.Checked, p.Needed, p.Resealed)
	})
	return done, func(w io.Writer) {
		fmt.Fprintf(w, "Sealed %d of %d external IDs with the key %s.\n", done.Resealed, done.Checked, s.KeyIDs()[0])
	}, err
}

func removeKey(ctx context.Context, streams Streams, config *server.Config, args []string) (any, func(io.Writer), error) {
	s, err := openServer(ctx, streams, config)
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	sealed, err := s.SealedWith(ctx)
	if err != nil {
		return nil, nil, err
	}
	if n := sealed[args[0]]; n > 0 {
		return nil, nil, &exitError{ExitNo, fmt.Errorf("%d external IDs are sealed with the key %s and would be lost; run crossaccount keys reseal first", n, args[0])}
	}
	_, err = editKeys(config, func(keys *crossaccount.KeySet) error { return keys.Remove(args[0]) })
	return keyShown{ID: args[0]}, func(w io.Writer) {
		fmt.Fprintf(w, "Removed the key %s. Restart all servers, and destroy its backups when you are sure.\n", args[0])
	}, err
}
