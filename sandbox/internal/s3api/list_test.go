package s3api

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// However a listing is cut into pages, together they are the whole: every key
// below the prefix once, or once the group it belongs to, in order of the bytes.
func TestPagesAreTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfNDistinct(rapid.StringMatching(`[ab/é]{1,5}`), 0, 30, rapid.ID[string]).Draw(t, "keys")
		deleted := rapid.SliceOfN(rapid.Bool(), len(keys), len(keys)).Draw(t, "deleted")
		l := listing{
			prefix:    rapid.StringMatching(`[ab/]{0,2}`).Draw(t, "prefix"),
			delimiter: rapid.SampledFrom([]string{"", "/", "ab"}).Draw(t, "delimiter"),
			max:       rapid.IntRange(1, 5).Draw(t, "page size"),
		}
		b := newBucket("b", "111111111111", "aws", "us-east-1", time.Time{})
		b.versioning = versioningEnabled
		id := 0
		newID := func() string { id++; return strings.Repeat("v", id) }
		var want []string
		for i, key := range keys {
			b.add(&version{key: key}, newID)
			if deleted[i] {
				b.add(&version{key: key, deleteMarker: true}, newID)
				continue
			}
			rest, ok := strings.CutPrefix(key, l.prefix)
			if !ok {
				continue
			}
			if j := strings.Index(rest, l.delimiter); l.delimiter != "" && j >= 0 {
				key = l.prefix + rest[:j+len(l.delimiter)]
			}
			want = append(want, key)
		}
		slices.Sort(want)
		want = slices.Compact(want)

		var got []string
		for pages := 0; ; pages++ {
			if pages > len(want)+1 {
				t.Fatal("the listing does not end")
			}
			p := l.cut(l.objects(b))
			var names []string
			for _, v := range p.versions {
				names = append(names, v.key)
			}
			names = append(names, p.groups...)
			slices.Sort(names)
			if len(names) > l.max {
				t.Fatalf("a page of at most %d has %d entries", l.max, len(names))
			}
			got = append(got, names...)
			if !p.truncated {
				break
			}
			l.after = p.lastName
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
	})
}
