package kmsapi

import (
	"regexp"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

var aliasPattern = regexp.MustCompile(`^alias/[a-zA-Z0-9/_-]{1,250}$`)

func checkAlias(name string) error {
	if err := awsjson.Required("AliasName", name); err != nil {
		return err
	}
	switch {
	case !aliasPattern.MatchString(name):
		return wire.BadRequest("InvalidAliasNameException", "an alias is alias/ and 1 to 250 letters, digits, slashes, dashes and underscores")
	case strings.HasPrefix(name, "alias/aws/"):
		return wire.BadRequest("InvalidAliasNameException", "names that begin with alias/aws/ are AWS's")
	}
	return nil
}

func (s *Service) aliasARN(p place, name string) string {
	return "arn:" + s.directory.Partition(p.account) + ":kms:" + p.region + ":" + string(p.account) + ":" + name
}

// authorizeAlias asks for an action on an alias, which has no policy, and on
// the key it points to.
func (s *Service) authorizeAlias(c *authz.Call, action, name string, keys ...*key) error {
	if err := c.Authorize(authz.Query{Action: action, Resource: s.aliasARN(here(c), name)}); err != nil {
		return err
	}
	for _, k := range keys {
		if err := s.authorize(c, action, k, ""); err != nil {
			return err
		}
	}
	return nil
}

// AliasInput names an alias and the key it points to.
type AliasInput struct {
	AliasName   string
	TargetKeyID string `json:"TargetKeyId"`
}

// CreateAlias gives a key of the same account and region a name.
func (s *Service) CreateAlias(c *authz.Call, in *AliasInput) (*struct{}, error) {
	if err := checkAlias(in.AliasName); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.find(c, in.TargetKeyID, ownAccount)
	if err != nil {
		return nil, err
	}
	if err := s.authorizeAlias(c, "kms:CreateAlias", in.AliasName, k); err != nil {
		return nil, err
	}
	if err := k.unlessPendingDeletion(); err != nil {
		return nil, err
	}
	r := s.in(here(c))
	if _, exists := r.aliases[in.AliasName]; exists {
		return nil, wire.BadRequest("AlreadyExistsException", "An alias with the name %s already exists", s.aliasARN(here(c), in.AliasName))
	}
	r.aliases[in.AliasName] = &alias{name: in.AliasName, keyID: k.id, created: c.Now, updated: c.Now}
	return nil, nil
}

// UpdateAlias points an alias to another key.
func (s *Service) UpdateAlias(c *authz.Call, in *AliasInput) (*struct{}, error) {
	if err := checkAlias(in.AliasName); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a, old, err := s.findAlias(c, in.AliasName)
	if err != nil {
		return nil, err
	}
	k, err := s.find(c, in.TargetKeyID, ownAccount)
	if err != nil {
		return nil, err
	}
	if err := s.authorizeAlias(c, "kms:UpdateAlias", in.AliasName, old, k); err != nil {
		return nil, err
	}
	if err := k.unlessPendingDeletion(); err != nil {
		return nil, err
	}
	a.keyID, a.updated = k.id, c.Now
	return nil, nil
}

// DeleteAlias takes a name away.
func (s *Service) DeleteAlias(c *authz.Call, in *AliasInput) (*struct{}, error) {
	if err := checkAlias(in.AliasName); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, k, err := s.findAlias(c, in.AliasName)
	if err != nil {
		return nil, err
	}
	if err := s.authorizeAlias(c, "kms:DeleteAlias", in.AliasName, k); err != nil {
		return nil, err
	}
	delete(s.in(here(c)).aliases, in.AliasName)
	return nil, nil
}

func (s *Service) findAlias(c *authz.Call, name string) (*alias, *key, error) {
	r := s.in(here(c))
	a, ok := r.aliases[name]
	if !ok {
		return nil, nil, wire.BadRequest("NotFoundException", "Alias %s is not found.", s.aliasARN(here(c), name))
	}
	return a, r.keys[a.keyID], nil
}

// ListAliasesInput may name a key.
type ListAliasesInput struct {
	KeyID  string `json:"KeyId"`
	Limit  int
	Marker string
}

// ListAliasesOutput is a page of aliases.
type ListAliasesOutput struct {
	Aliases    []AliasEntry
	NextMarker string `json:",omitempty"`
	Truncated  bool
}

// An AliasEntry is an alias in a list.
type AliasEntry struct {
	AliasName       string
	AliasArn        string
	TargetKeyID     string          `json:"TargetKeyId"`
	CreationDate    *wire.Timestamp `json:",omitempty"`
	LastUpdatedDate *wire.Timestamp `json:",omitempty"`
}

// ListAliases lists the account's aliases.
func (s *Service) ListAliases(c *authz.Call, in *ListAliasesInput) (*ListAliasesOutput, error) {
	if err := c.Authorize(authz.Query{Action: "kms:ListAliases", Resource: "*"}); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	var of *key
	if in.KeyID != "" {
		var err error
		if of, err = s.find(c, in.KeyID, ownAccount); err != nil {
			return nil, err
		}
	}
	out := &ListAliasesOutput{Aliases: []AliasEntry{}}
	if r, ok := s.regions[here(c)]; ok {
		for _, a := range r.aliases {
			if of == nil || of.id == a.keyID {
				out.Aliases = append(out.Aliases, AliasEntry{a.name, s.aliasARN(here(c), a.name), a.keyID, wire.At(a.created), wire.At(a.updated)})
			}
		}
	}
	slices.SortFunc(out.Aliases, func(a, b AliasEntry) int { return strings.Compare(a.AliasName, b.AliasName) })
	var err error
	out.Aliases, out.NextMarker, err = awsjson.Page(out.Aliases, in.Limit, 50, 100, in.Marker, func(e AliasEntry) string { return e.AliasName })
	out.Truncated = out.NextMarker != ""
	return out, err
}

func (r *region) aliasesOf(keyID string) []string {
	var names []string
	for _, a := range r.aliases {
		if a.keyID == keyID {
			names = append(names, a.name)
		}
	}
	slices.Sort(names)
	return names
}

func joined(names []string) string { return strings.Join(names, ", ") }

func sortRows(rows [][]string) {
	slices.SortFunc(rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
}
