package codeartifactapi

import (
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
)

// Tag is a key and a value.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func readTags(tags []Tag) ([]directory.Tag, error) {
	var list []directory.Tag
	for _, t := range tags {
		if err := reference.CheckTag(t.Key, t.Value); err != nil {
			return nil, invalid("tags: %s", err)
		}
		list = directory.SetTags(list, []directory.Tag{directory.Tag(t)})
	}
	return list, nil
}

// A TagNamed request says which resource it means by its ARN.
type TagNamed struct {
	ResourceARN string `json:"-" query:"resourceArn"`
}

// tagged returns the tags of a domain or repository after authorising the
// action on it. The caller holds the lock.
func (s *Service) tagged(c *authz.Call, in TagNamed, action string, options ...func(*authz.Query)) (*[]directory.Tag, error) {
	arn, err := iam.ParseARN(in.ResourceARN)
	if err != nil || arn.Service != "codeartifact" || arn.Region != c.Region {
		return nil, invalid("resourceArn must be the ARN of a domain or repository in this region.")
	}
	kind, name, _ := strings.Cut(arn.Resource, "/")
	domain, repository, inDomain := strings.Cut(name, "/")
	switch {
	case kind == "domain" && !inDomain:
		d, err := s.findDomain(c, DomainNamed{domain, arn.Account}, action, options...)
		if err != nil {
			return nil, err
		}
		return &d.tags, nil
	case kind == "repository" && inDomain:
		r, err := s.findRepository(c, Named{DomainNamed{domain, arn.Account}, repository}, action, options...)
		if err != nil {
			return nil, err
		}
		return &r.tags, nil
	}
	return nil, invalid("resourceArn must be the ARN of a domain or repository in this region.")
}

// ListTagsOutput has tags.
type ListTagsOutput struct {
	Tags []Tag `json:"tags"`
}

// ListTagsForResource shows the tags of a domain or repository.
func (s *Service) ListTagsForResource(c *authz.Call, in *TagNamed) (*ListTagsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tags, err := s.tagged(c, *in, "ListTagsForResource")
	if err != nil {
		return nil, err
	}
	out := &ListTagsOutput{Tags: []Tag{}}
	for _, t := range *tags {
		out.Tags = append(out.Tags, Tag(t))
	}
	return out, nil
}

// TagResourceInput is the input of TagResource.
type TagResourceInput struct {
	TagNamed
	Tags []Tag
}

// Nothing is the output of operations without one.
type Nothing struct{}

// TagResource adds tags to a domain or repository.
func (s *Service) TagResource(c *authz.Call, in *TagResourceInput) (*Nothing, error) {
	set, err := readTags(in.Tags)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	tags, err := s.tagged(c, in.TagNamed, "TagResource", withTags(set))
	if err != nil {
		return nil, err
	}
	*tags = directory.SetTags(*tags, set)
	return &Nothing{}, nil
}

// UntagResourceInput is the input of UntagResource.
type UntagResourceInput struct {
	TagNamed
	TagKeys []string
}

// UntagResource takes tags from a domain or repository.
func (s *Service) UntagResource(c *authz.Call, in *UntagResourceInput) (*Nothing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tags, err := s.tagged(c, in.TagNamed, "UntagResource", func(q *authz.Query) {
		q.RequestTags = []directory.Tag{}
		q.Context = func(ctx *iam.Context) { ctx.SetMulti("aws:TagKeys", in.TagKeys...) }
	})
	if err != nil {
		return nil, err
	}
	*tags = directory.RemoveTags(*tags, in.TagKeys)
	return &Nothing{}, nil
}
