package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/iam/world"
)

// completeFlag completes a flag's values.
func completeFlag(c *cobra.Command, flag string, complete func(typed string) ([]string, cobra.ShellCompDirective)) {
	err := c.RegisterFlagCompletionFunc(flag, func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return complete(typed)
	})
	if err != nil {
		panic(err) // the flag does not exist
	}
}

// An argument is what an argument of a command means.
type argument int

const (
	argPrincipal argument = iota
	argAction
	argResource
)

// complete completes arguments from the world and the service reference.
func (q *question) complete(arguments ...argument) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(arguments) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var found []string
		switch arguments[len(args)] {
		case argAction:
			return actionsLike(typed)
		case argPrincipal:
			found = principalsOf(q.quietly())
		case argResource:
			found = resourcesOf(q.quietly())
		}
		found = slices.DeleteFunc(found, func(s string) bool { return !strings.HasPrefix(s, typed) })
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

// quietly reads the world for a completion; it is empty if it cannot be read.
func (q *question) quietly() *world.Snapshot {
	name := q.world
	if name == "" {
		name = defaultWorld
	}
	snapshot, _, err := readWorld(name, Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard})
	if err != nil {
		return &world.Snapshot{}
	}
	return snapshot
}

func principalsOf(s *world.Snapshot) []string {
	var found []string
	for i := range s.Roles {
		found = append(found, s.Roles[i].ARN)
	}
	for i := range s.Users {
		found = append(found, s.Users[i].ARN)
	}
	return append(found, world.Anonymous)
}

func resourcesOf(s *world.Snapshot) []string {
	var found []string
	for i := range s.Resources {
		found = append(found, s.Resources[i].ARN)
	}
	for i := range s.Roles {
		found = append(found, s.Roles[i].ARN)
	}
	return found
}

// actionsLike completes services, and after the colon their actions.
func actionsLike(typed string) ([]string, cobra.ShellCompDirective) {
	prefix, _, hasColon := strings.Cut(typed, ":")
	var found []string
	if !hasColon {
		for _, service := range reference.Services() {
			if strings.HasPrefix(service, strings.ToLower(prefix)) {
				found = append(found, service+":")
			}
		}
		return found, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	for _, action := range reference.Expand(prefix + ":*") {
		if name := action.String(); len(name) >= len(typed) && strings.EqualFold(name[:len(typed)], typed) {
			found = append(found, name)
		}
	}
	return found, cobra.ShellCompDirectiveNoFileComp
}

// contextKeys completes condition keys that every service has.
func contextKeys(typed, end string) []string {
	var found []string
	for _, key := range reference.GlobalKeys() {
		name, _, _ := strings.Cut(key.Name, "$")
		if len(name) < len(typed) || !strings.EqualFold(name[:len(typed)], typed) {
			continue
		}
		if !strings.HasSuffix(name, "/") {
			name += end
		}
		found = append(found, name)
	}
	return found
}

// readAtMost reads all of r, unless it is larger than limit bytes.
func readAtMost(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("larger than %d bytes", limit)
	}
	return data, nil
}
