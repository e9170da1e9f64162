package world

import (
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// A keySetter fills in the condition keys of requests. It remembers the tags it
// has set, so that one context can be used for many principals in turn.
type keySetter struct {
	ctx        iam.Context
	closed     bool
	foreignOrg bool     // the organisations that policies name are all in the world
	tagKeys    []string // of the last caller
	given      []givenKey
}

// A givenKey is a key of the question.
type givenKey struct {
	name   string
	values []string
	multi  bool
	state  iam.KeyState
}

func givenKeys(ctx *iam.Context) []givenKey {
	var given []givenKey
	for _, name := range ctx.Keys() {
		values, multi, state := ctx.Lookup(name)
		given = append(given, givenKey{name, values, multi, state})
	}
	return given
}

func (k *keySetter) set(key, value string) { k.ctx.Set(key, value) }

func (k *keySetter) absent(keys ...string) {
	for _, key := range keys {
		k.ctx.SetAbsent(key)
	}
}

// unknown marks keys that requests of this kind have, with a value nobody knows.
func (k *keySetter) unknown(keys ...string) {
	for _, key := range keys {
		if k.closed {
			k.ctx.SetAbsent(key)
		} else {
			k.ctx.SetUnknown(key)
		}
	}
}

// orUnknown sets a key that requests of this kind always have. Even a closed
// question cannot make it absent.
func (k *keySetter) orUnknown(key, value string) {
	if value == "" {
		k.ctx.SetUnknown(key)
	} else {
		k.ctx.Set(key, value)
	}
}

// notInWorld is the id of an organisation that no policy names.
const notInWorld = "o-notinthisworld"

// organization sets the keys about the organisation of an account.
func (k *keySetter) organization(id, paths string, a *account) {
	switch {
	case a.org != "":
		k.ctx.Set(id, a.org)
		k.ctx.SetMulti(paths, a.orgPath)
	case a.listed:
		k.unknown(id, paths)
	case k.foreignOrg:
		// Every organisation that the policies compare with is in the world, and
		// the account is in none of them.
		k.ctx.Set(id, notInWorld)
		k.ctx.SetMulti(paths, notInWorld+"/")
	default:
		k.ctx.SetUnknown(id)
		k.ctx.SetUnknown(paths)
	}
}

// resourceTags sets the tags of a resource whose tags are known: others are
// absent.
func (k *keySetter) resourceTags(prefix string, tags []tag) {
	k.ctx.SetFamilyAbsent(prefix)
	for _, t := range tags {
		k.ctx.Set(prefix+t.key, t.value)
	}
}

const principalTag = "aws:PrincipalTag/"

// principalTags replaces the tags of the last caller. That tags not among them
// are absent has been said when the context was made.
func (k *keySetter) principalTags(tags []tag) {
	for _, key := range k.tagKeys {
		k.ctx.Delete(key)
	}
	k.tagKeys = k.tagKeys[:0]
	for _, t := range tags {
		key := principalTag + t.key
		k.ctx.Set(key, t.value)
		k.tagKeys = append(k.tagKeys, key)
	}
}

// overrule lets the keys of the question win.
func (k *keySetter) overrule() {
	for _, g := range k.given {
		switch {
		case g.state == iam.KeyUnknown:
			k.ctx.SetUnknown(g.name)
		case g.state == iam.KeyAbsent:
			k.ctx.SetAbsent(g.name)
		case g.multi:
			k.ctx.SetMulti(g.name, g.values...)
		default:
			k.ctx.Set(g.name, g.values[0])
		}
	}
}

// knowsOrganizations reports whether all organisations in a list are in the world, so
// that an account in none of them is surely not meant.
func (w *World) knowsOrganizations(values []string) bool {
	for _, v := range values {
		id, _, _ := strings.Cut(v, "/")
		if _, ok := w.orgs[id]; !ok {
			return false
		}
	}
	return true
}
