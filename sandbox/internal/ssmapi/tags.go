package ssmapi

import (
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// A Tag is a tag as Systems Manager writes it.
type Tag struct{ Key, Value string }

const maxTags = 50

func checkTags(tags []Tag) ([]directory.Tag, error) {
	var list []directory.Tag
	for _, t := range tags {
		if t.Key == "" || len([]rune(t.Key)) > 128 || len([]rune(t.Value)) > 256 || strings.HasPrefix(strings.ToLower(t.Key), "aws:") {
			return nil, wire.BadRequest("ValidationException", "a tag has a key of 1 to 128 characters that does not begin with aws:, and a value of at most 256")
		}
		list = append(list, directory.Tag{Key: t.Key, Value: t.Value})
	}
	if len(list) > maxTags {
		return nil, wire.BadRequest("TooManyTagsError", "a parameter has at most %d tags", maxTags)
	}
	return list, nil
}

// TagsInput names a parameter and tags to add, or the keys of tags to remove.
type TagsInput struct {
	ResourceType string
	ResourceID   string `json:"ResourceId"`
	Tags         []Tag
	TagKeys      []string
}

// TagsOutput lists tags.
type TagsOutput struct{ TagList []Tag }

func (s *Service) tagged(c *authz.Call, in *TagsInput, action string, tags []directory.Tag) (*parameter, error) {
	if in.ResourceType != "Parameter" {
		return nil, wire.NotImplemented("ssm", action+" of anything but a Parameter")
	}
	p := s.parameters[here(c)][in.ResourceID]
	q := authz.Query{Action: "ssm:" + action, Resource: arnOf(s.directory.Partition(c.Account()), here(c), in.ResourceID), RequestTags: tags}
	if p != nil {
		q.ResourceTags = p.tags
	}
	if err := c.Authorize(q); err != nil {
		return nil, err
	}
	if p == nil {
		return nil, wire.BadRequest("InvalidResourceId", "")
	}
	return p, nil
}

// AddTagsToResource adds tags to a parameter, or changes them.
func (s *Service) AddTagsToResource(c *authz.Call, in *TagsInput) (*struct{}, error) {
	tags, err := checkTags(in.Tags)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.tagged(c, in, "AddTagsToResource", tags)
	if err != nil {
		return nil, err
	}
	merged := directory.SetTags(p.tags, tags)
	if len(merged) > maxTags {
		return nil, wire.BadRequest("TooManyTagsError", "a parameter has at most %d tags", maxTags)
	}
	p.tags = merged
	return nil, nil
}

// RemoveTagsFromResource removes tags. Those that are not there do not matter.
func (s *Service) RemoveTagsFromResource(c *authz.Call, in *TagsInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.tagged(c, in, "RemoveTagsFromResource", nil)
	if err != nil {
		return nil, err
	}
	p.tags = directory.RemoveTags(p.tags, in.TagKeys)
	return nil, nil
}

// ListTagsForResource lists a parameter's tags.
func (s *Service) ListTagsForResource(c *authz.Call, in *TagsInput) (*TagsOutput, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, err := s.tagged(c, in, "ListTagsForResource", nil)
	if err != nil {
		return nil, err
	}
	out := &TagsOutput{TagList: []Tag{}}
	for _, t := range p.tags {
		out.TagList = append(out.TagList, Tag{t.Key, t.Value})
	}
	return out, nil
}
