package ecrapi

import (
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
)

// TagsInput is the input of TagResource, UntagResource and ListTagsForResource.
type TagsInput struct {
	ResourceARN string `json:"resourceArn"`
	Tags        []Tag
	TagKeys     []string
}

// TagsOutput has a repository's tags.
type TagsOutput struct {
	Tags []Tag `json:"tags"`
}

// maxTags is what a repository may have.
//
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-using-tags.html
const maxTags = 50

// TagResource adds tags to a repository, or changes them.
func (s *Service) TagResource(c *authz.Call, in *TagsInput) (*struct{}, error) {
	tags := tagsOf(in.Tags)
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.tagged(c, in, "TagResource", tags)
	if err != nil {
		return nil, err
	}
	merged := directory.SetTags(r.tags, tags)
	if len(merged) > maxTags {
		return nil, invalid("Invalid parameter at 'tags' failed to satisfy constraint: 'a repository has at most %d tags'", maxTags)
	}
	r.tags = merged
	return &struct{}{}, nil
}

// UntagResource removes tags.
func (s *Service) UntagResource(c *authz.Call, in *TagsInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.tagged(c, in, "UntagResource", nil)
	if err != nil {
		return nil, err
	}
	r.tags = directory.RemoveTags(r.tags, in.TagKeys)
	return &struct{}{}, nil
}

// ListTagsForResource lists a repository's tags.
func (s *Service) ListTagsForResource(c *authz.Call, in *TagsInput) (*TagsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.tagged(c, in, "ListTagsForResource", nil)
	if err != nil {
		return nil, err
	}
	out := &TagsOutput{Tags: []Tag{}}
	for _, t := range r.tags {
		out.Tags = append(out.Tags, Tag(t))
	}
	return out, nil
}

// tagged finds the repository of an ARN. The caller holds the lock.
func (s *Service) tagged(c *authz.Call, in *TagsInput, action string, tags []directory.Tag) (*repository, error) {
	arn, err := iam.ParseARN(in.ResourceARN)
	name, ok := strings.CutPrefix(arn.Resource, "repository/")
	if err != nil || !ok || arn.Service != "ecr" || arn.Region != c.Region {
		return nil, invalid("Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN'")
	}
	return s.findTagged(c, Named{arn.Account, name}, action, tags)
}

func tagsOf(list []Tag) []directory.Tag {
	var tags []directory.Tag
	for _, t := range list {
		tags = append(tags, directory.Tag(t))
	}
	return tags
}
