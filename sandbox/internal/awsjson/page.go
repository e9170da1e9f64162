package awsjson

import (
	"slices"

	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// Page cuts a page out of entries, which are sorted by name, and returns the
// token of the next one, "" after the last. A token is the name of the last
// entry of the page before, so entries that come and go meanwhile do no harm.
// Limit is what the request asks for; zero means usual, and more than most is
// refused.
func Page[T any](entries []T, limit, usual, most int, token string, name func(T) string) ([]T, string, error) {
	if limit < 0 || limit > most {
		return nil, "", wire.BadRequest("ValidationException",
			"1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must be between 1 and %d", limit, most)
	}
	if limit == 0 {
		limit = usual
	}
	if token != "" {
		i := slices.IndexFunc(entries, func(e T) bool { return name(e) > token })
		if i < 0 {
			i = len(entries)
		}
		entries = entries[i:]
	}
	if len(entries) <= limit {
		return entries, "", nil
	}
	return entries[:limit], name(entries[limit-1]), nil
}
