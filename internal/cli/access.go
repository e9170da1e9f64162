package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/iam/world"
	"github.com/crossaccount/crossaccount/internal/server"
)

// defaultWorld is the snapshot that questions are about if none is named.
const defaultWorld = "world.json"

// contextHelp is the part of the help that can, who-can and what-can share.
const contextHelp = `
What follows from the world (tags, organisations, who owns what) is known. Other
condition keys, such as aws:SourceIp, are unknown until --context gives them or
--absent says that the request lacks them; --closed makes all of them absent. An
answer that hangs on something unknown is DEPENDS, and says on what.

Make a world.json from what the aws command prints: crossaccount world --help.`

// A question is what can, who-can, what-can and why have in common: a world and
// what is known about the request.
type question struct {
	streams Streams

	world   string
	context []string
	absent  []string
	session []string
	owner   string
	closed  bool
	asJSON  bool
}

func (q *question) flags(c *cobra.Command) {
	c.Flags().StringVar(&q.world, "world", "", "snapshot `file` (default: ./"+defaultWorld+")")
	c.Flags().StringArrayVar(&q.context, "context", nil, "`key=value` of the request's context; repeat a key that has several values")
	c.Flags().StringArrayVar(&q.absent, "absent", nil, "context `key` that the request does not have")
	c.Flags().StringArrayVar(&q.session, "session-policy", nil, "`file` with a session policy")
	c.Flags().StringVar(&q.owner, "account", "", "`account` that owns the resource, if neither its ARN nor the world says so")
	c.Flags().BoolVar(&q.closed, "closed", false, "take context keys that are not given, and resources that are not listed, for absent instead of unknown")
	c.Flags().BoolVar(&q.asJSON, "json", false, "print the answer as JSON")
	completeFlag(c, "world", func(string) ([]string, cobra.ShellCompDirective) {
		return []string{"json"}, cobra.ShellCompDirectiveFilterFileExt
	})
	completeFlag(c, "context", func(typed string) ([]string, cobra.ShellCompDirective) {
		return contextKeys(typed, "="), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	})
	completeFlag(c, "absent", func(typed string) ([]string, cobra.ShellCompDirective) {
		return contextKeys(typed, ""), cobra.ShellCompDirectiveNoFileComp
	})
}

// An openWorld is a world with the text it was read from.
type openWorld struct {
	*world.World
	snapshot *world.Snapshot
	places   *places
}

// open reads the world. An error is bad input.
func (q *question) open() (*openWorld, error) {
	name := q.world
	if name == "" {
		name = defaultWorld
	}
	snapshot, data, err := readWorld(name, q.streams)
	if errors.Is(err, fs.ErrNotExist) && q.world == "" {
		return nil, &exitError{ExitUsage, fmt.Errorf("there is no %s here; name a snapshot with --world FILE, or make one: crossaccount world --help", defaultWorld)}
	}
	if err != nil {
		return nil, &exitError{ExitUsage, err}
	}
	compiled, err := world.Compile(snapshot)
	if err != nil {
		return nil, &exitError{ExitUsage, fmt.Errorf("%s: %w", name, err)}
	}
	return &openWorld{compiled, snapshot, newPlaces(name, data)}, nil
}

// maxWorldSize is the largest snapshot that is read, in bytes.
const maxWorldSize = 2 << 30

// readWorld reads a snapshot in JSON or YAML. The data is nil if it was YAML,
// because then its lines are not those of the file.
func readWorld(name string, streams Streams) (*world.Snapshot, []byte, error) {
	data, err := readInput(name, streams, maxWorldSize)
	if err != nil {
		return nil, nil, err
	}
	written := data
	if strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") {
		if data, err = server.ReadDocument(name, data); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
		written = nil
	}
	snapshot, err := world.Read(strings.NewReader(string(data)))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return snapshot, written, nil
}

// ask makes the world's question of what was given.
func (q *question) ask(principal, action, resource string) (world.Question, error) {
	asked := world.Question{Principal: principal, Action: action, Resource: resource, Closed: q.closed}
	if q.owner != "" {
		owner, err := iam.ParseAccountID(q.owner)
		if err != nil {
			return asked, &exitError{ExitUsage, fmt.Errorf("--account: %w", err)}
		}
		asked.ResourceAccount = owner
	}
	given := map[string][]string{}
	var order []string
	for _, text := range q.context {
		key, value, ok := strings.Cut(text, "=")
		if !ok || !strings.Contains(key, ":") {
			return asked, &exitError{ExitUsage, fmt.Errorf("--context %s: must be key=value, such as aws:SourceIp=203.0.113.7", text)}
		}
		if len(given[key]) == 0 {
			order = append(order, key)
		}
		given[key] = append(given[key], value)
	}
	for _, key := range order {
		values := given[key]
		known, ok := reference.LookupKey(key)
		if len(values) > 1 || ok && known.Type.Multivalued {
			asked.Context.SetMulti(key, values...)
		} else {
			asked.Context.Set(key, values[0])
		}
		if !ok {
			fmt.Fprintf(q.streams.Err, "note: %s is no condition key that the service reference knows\n", key)
		}
	}
	for _, key := range q.absent {
		if len(given[key]) > 0 {
			return asked, &exitError{ExitUsage, fmt.Errorf("--absent %s: --context gives it a value", key)}
		}
		asked.Context.SetAbsent(key)
	}
	for _, name := range q.session {
		policy, err := readSessionPolicy(name, q.streams)
		if err != nil {
			return asked, &exitError{ExitUsage, err}
		}
		asked.Session = append(asked.Session, policy)
	}
	return asked, nil
}

func readSessionPolicy(name string, streams Streams) (*eval.Policy, error) {
	data, err := readInput(name, streams, maxConfigSize)
	if err != nil {
		return nil, err
	}
	parsed, err := iam.ParsePolicy(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	policy, err := eval.Compile(parsed, iam.KindSession, "session policy "+name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return policy, nil
}

// checkAction warns of an action that the reference does not know; AWS may.
func (q *question) checkAction(action string) error {
	service, name, ok := strings.Cut(action, ":")
	if !ok || service == "" || name == "" {
		return &exitError{ExitUsage, fmt.Errorf("action %q: must be SERVICE:ACTION, such as s3:GetObject", action)}
	}
	if _, known := reference.LookupAction(action); !known {
		note := fmt.Sprintf("note: %s is no action that the service reference knows", action)
		if suggestion := reference.SuggestAction(action); suggestion != "" {
			note += "; did you mean " + suggestion + "?"
		}
		fmt.Fprintln(q.streams.Err, note)
	}
	return nil
}

// outcomeOfVerdict is the exit code of a verdict, without a further message.
func outcomeOfVerdict(v eval.Verdict) error {
	switch v {
	case eval.Allowed:
		return nil
	case eval.Depends:
		return &exitError{code: ExitUndetermined}
	case eval.ImplicitlyDenied, eval.ExplicitlyDenied:
		return &exitError{code: ExitNo}
	}
	return &exitError{ExitInternal, fmt.Errorf("unknown verdict %s", v)}
}

// readInput reads a file, or standard input for "-".
func readInput(name string, streams Streams, limit int64) ([]byte, error) {
	in := streams.In
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	data, err := readAtMost(in, limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}
