package eventsapi

import (
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// TagsInput is the input of TagResource, UntagResource and ListTagsForResource.
type TagsInput struct {
	ResourceARN string
	Tags        []Tag
	TagKeys     []string
}

// TagsOutput has a bus's tags.
type TagsOutput struct{ Tags []Tag }

// maxTags is what a bus may have.
//
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-tagging.html
const maxTags = 50

// TagResource adds tags to a bus, or changes them.
func (s *Service) TagResource(c *authz.Call, in *TagsInput) (*struct{}, error) {
	tags := tagsOf(in.Tags)
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.tagged(c, in, "TagResource", tags)
	if err != nil {
		return nil, err
	}
	merged := directory.SetTags(b.tags, tags)
	if len(merged) > maxTags {
		return nil, wire.BadRequest("LimitExceededException", "An event bus has at most %d tags.", maxTags)
	}
	b.tags = merged
	return &struct{}{}, nil
}

// UntagResource removes tags.
func (s *Service) UntagResource(c *authz.Call, in *TagsInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.tagged(c, in, "UntagResource", nil)
	if err != nil {
		return nil, err
	}
	b.tags = directory.RemoveTags(b.tags, in.TagKeys)
	return &struct{}{}, nil
}

// ListTagsForResource lists a bus's tags.
func (s *Service) ListTagsForResource(c *authz.Call, in *TagsInput) (*TagsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.tagged(c, in, "ListTagsForResource", nil)
	if err != nil {
		return nil, err
	}
	out := &TagsOutput{Tags: []Tag{}}
	for _, t := range b.tags {
		out.Tags = append(out.Tags, Tag(t))
	}
	return out, nil
}

// tagged finds the bus of an ARN. The caller holds the lock.
func (s *Service) tagged(c *authz.Call, in *TagsInput, action string, tags []directory.Tag) (*bus, error) {
	if !strings.Contains(in.ResourceARN, ":event-bus/") {
		return nil, wire.NotImplemented("events", action+" of anything but event buses")
	}
	return s.find(c, in.ResourceARN, action, func(q *authz.Query) { q.RequestTags = tags })
}

func tagsOf(list []Tag) []directory.Tag {
	var tags []directory.Tag
	for _, t := range list {
		tags = append(tags, directory.Tag(t))
	}
	return tags
}
