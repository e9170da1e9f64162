package broker

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"time"
)

// An entry keeps what it needs to ask for a session as one string, in which
// every field has its length before it: that is one allocation instead of a
// dozen, and the key is the hash of it. Fields are never joined by a delimiter
// that could be part of one.

// encoded is whom an entry is for and the role it assumes.
type encoded string

// encode lays out the fields in a fixed order; lists that mean the same in any
// order are sorted.
func encode(customer, integration string, role *Role) encoded {
	var out []byte
	text := func(s string) {
		out = binary.AppendUvarint(out, uint64(len(s)))
		out = append(out, s...)
	}
	list := func(items []string) {
		items = slices.Sorted(slices.Values(items))
		out = binary.AppendUvarint(out, uint64(len(items)))
		for _, s := range items {
			text(s)
		}
	}
	text(customer)
	text(integration)
	text(role.ARN)
	text(role.SessionName)
	text(role.ExternalID)
	out = binary.AppendUvarint(out, uint64(role.Duration))
	text(role.SourceIdentity)
	text(role.Policy)
	list(role.PolicyARNs)
	tags := slices.SortedFunc(slices.Values(role.Tags), func(a, b Tag) int { return strings.Compare(a.Key, b.Key) })
	out = binary.AppendUvarint(out, uint64(len(tags)))
	for _, t := range tags {
		text(t.Key)
		text(t.Value)
	}
	list(role.TransitiveTagKeys)
	return encoded(out)
}

// reader takes an encoding apart. It trusts it: we made it.
type reader struct{ rest string }

func (r *reader) number() int {
	n, shift := 0, 0
	for i := range len(r.rest) {
		c := r.rest[i]
		n |= int(c&0x7f) << shift
		if c < 0x80 {
			r.rest = r.rest[i+1:]
			break
		}
		shift += 7
	}
	return n
}

func (r *reader) text() string {
	n := r.number()
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

func (r *reader) list() []string {
	items := make([]string, r.number())
	for i := range items {
		items[i] = r.text()
	}
	return items
}

// who returns customer and integration.
func (e encoded) who() (customer, integration string) {
	r := reader{string(e)}
	return r.text(), r.text()
}

// role returns all the rest.
func (e encoded) role() Role {
	r := reader{string(e)}
	r.text()
	r.text()
	role := Role{ARN: r.text(), SessionName: r.text(), ExternalID: r.text()}
	role.Duration = time.Duration(r.number())
	role.SourceIdentity, role.Policy, role.PolicyARNs = r.text(), r.text(), r.list()
	role.Tags = make([]Tag, r.number())
	for i := range role.Tags {
		role.Tags[i] = Tag{Key: r.text(), Value: r.text()}
	}
	role.TransitiveTagKeys = r.list()
	return role
}

// accountID returns the account of the role, which is the fifth part of its ARN.
func (e encoded) accountID() string {
	r := reader{string(e)}
	r.text()
	r.text()
	_, rest, _ := strings.Cut(r.text(), "::")
	account, _, _ := strings.Cut(rest, ":")
	return account
}

// entryKey hashes all that makes a session what it is. ground holds partition and
// base identity; parent is the key of the role before it in the chain, if any.
func entryKey(ground encoded, parent *Key, purpose *Purpose, entry encoded) Key {
	h := sha256.New()
	write := func(s string) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	write("crossaccount broker entry 1")
	write(string(ground))
	if parent != nil {
		write(string(parent[:]))
	} else {
		write("")
	}
	if purpose != nil {
		write(purpose.Name)
		write(purpose.Policy)
		arns := slices.Sorted(slices.Values(purpose.PolicyARNs))
		write(strings.Join(arns, "\n")) // ARNs were checked to have none
	} else {
		write("")
		write("")
		write("")
	}
	write(string(entry))
	return Key(h.Sum(nil))
}
