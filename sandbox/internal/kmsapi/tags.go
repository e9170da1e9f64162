package kmsapi

import (
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

const maxTags = 50

// checkTags checks tags and returns them in the directory's form.
//
// https://docs.aws.amazon.com/kms/latest/developerguide/tagging-keys.html
func checkTags(tags []Tag) ([]directory.Tag, error) {
	var list []directory.Tag
	for _, t := range tags {
		switch {
		case t.TagKey == "" || len([]rune(t.TagKey)) > 128 || len([]rune(t.TagValue)) > 256:
			return nil, wire.BadRequest("TagException", "a tag has a key of 1 to 128 characters and a value of at most 256")
		case strings.HasPrefix(strings.ToLower(t.TagKey), "aws:"):
			return nil, wire.BadRequest("TagException", "tag keys that begin with aws: are AWS's")
		case slices.ContainsFunc(list, func(o directory.Tag) bool { return o.Key == t.TagKey }):
			return nil, wire.BadRequest("TagException", "Duplicate tag keys")
		}
		list = append(list, directory.Tag{Key: t.TagKey, Value: t.TagValue})
	}
	if len(list) > maxTags {
		return nil, wire.BadRequest("LimitExceededException", "a key has at most %d tags", maxTags)
	}
	return list, nil
}

// TagResourceInput is the input of TagResource.
type TagResourceInput struct {
	KeyID string `json:"KeyId"`
	Tags  []Tag
}

// TagResource adds tags to a key, or changes them.
func (s *Service) TagResource(c *authz.Call, in *TagResourceInput) (*struct{}, error) {
	tags, err := checkTags(in.Tags)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.find(c, in.KeyID, ownAccount)
	if err != nil {
		return nil, err
	}
	q := query(c, "kms:TagResource", k, s.regions[k.place].aliasesOf(k.id), "", nil)
	q.RequestTags = tags
	if err := c.Authorize(q); err != nil {
		return nil, err
	}
	merged := directory.SetTags(k.tags, tags)
	if len(merged) > maxTags {
		return nil, wire.BadRequest("LimitExceededException", "a key has at most %d tags", maxTags)
	}
	k.tags = merged
	return nil, nil
}

// UntagResourceInput is the input of UntagResource.
type UntagResourceInput struct {
	KeyID   string `json:"KeyId"`
	TagKeys []string
}

// UntagResource removes tags. Those that are not there do not matter.
func (s *Service) UntagResource(c *authz.Call, in *UntagResourceInput) (*struct{}, error) {
	return nil, s.change(c, in.KeyID, "kms:UntagResource", func(k *key) error {
		k.tags = directory.RemoveTags(k.tags, in.TagKeys)
		return nil
	})
}

// ListResourceTagsInput pages.
type ListResourceTagsInput struct {
	KeyID  string `json:"KeyId"`
	Limit  int
	Marker string
}

// ListResourceTagsOutput is a page of tags.
type ListResourceTagsOutput struct {
	Tags       []Tag
	NextMarker string `json:",omitempty"`
	Truncated  bool
}

// ListResourceTags lists a key's tags.
func (s *Service) ListResourceTags(c *authz.Call, in *ListResourceTagsInput) (*ListResourceTagsOutput, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	k, err := s.find(c, in.KeyID, ownAccount)
	if err != nil {
		return nil, err
	}
	if err := s.authorize(c, "kms:ListResourceTags", k, ""); err != nil {
		return nil, err
	}
	out := &ListResourceTagsOutput{Tags: []Tag{}}
	for _, t := range k.tags {
		out.Tags = append(out.Tags, Tag{t.Key, t.Value})
	}
	slices.SortFunc(out.Tags, func(a, b Tag) int { return strings.Compare(a.TagKey, b.TagKey) })
	out.Tags, out.NextMarker, err = awsjson.Page(out.Tags, in.Limit, 50, 50, in.Marker, func(t Tag) string { return t.TagKey })
	out.Truncated = out.NextMarker != ""
	return out, err
}
