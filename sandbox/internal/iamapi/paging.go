package iamapi

import (
	"encoding/base64"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// Paging asks for a part of a list.
type Paging struct {
	Marker   string // from the answer before; empty for the first page
	MaxItems *int   // 1 to 1,000; nil: 100
}

// Paged says whether a list goes on.
type Paged struct {
	IsTruncated bool
	Marker      string `wire:",omitempty"` // for the next page, if IsTruncated
}

// start returns the name to go on after, and how many items to return.
func (p Paging) start() (after string, limit int, err error) {
	limit = 100
	if p.MaxItems != nil {
		if limit = *p.MaxItems; limit < 1 || limit > 1000 {
			return "", 0, invalid("maxItems", "Member must have value between 1 and 1000")
		}
	}
	if p.Marker == "" {
		return "", limit, nil
	}
	decoded, err := base64.RawURLEncoding.DecodeString(p.Marker)
	after, ok := strings.CutPrefix(string(decoded), markerPrefix)
	if err != nil || !ok {
		return "", 0, wire.BadRequest("ValidationError", "Invalid Marker.")
	}
	return after, limit, nil
}

// A marker holds the name of the last item, so that a list may change between
// two pages. The prefix tells markers from anything else.
const markerPrefix = "after:"

func paged(more bool, last string) Paged {
	if !more {
		return Paged{}
	}
	return Paged{IsTruncated: true, Marker: base64.RawURLEncoding.EncodeToString([]byte(markerPrefix + last))}
}

// page returns the part of items that was asked for. Items are sorted by key.
func page[T any](items []T, p Paging, key func(T) string) ([]T, Paged, error) {
	after, limit, err := p.start()
	if err != nil {
		return nil, Paged{}, err
	}
	if after != "" {
		for len(items) > 0 && key(items[0]) <= after {
			items = items[1:]
		}
	}
	if len(items) <= limit {
		return items, Paged{}, nil
	}
	return items[:limit], paged(true, key(items[limit-1])), nil
}
