package eksapi

import (
	"maps"
	"net/http"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// TaggedInput names a cluster or association.
type TaggedInput struct {
	ResourceARN string `json:"-" path:"resourceArn"`
}

// TagsOutput has the tags of something.
type TagsOutput struct {
	Tags map[string]string `json:"tags"`
}

// ListTagsForResource returns the tags of a cluster or association.
func (s *Service) ListTagsForResource(c *authz.Call, in *TaggedInput) (*TagsOutput, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	tags, err := s.tagged(c, in.ResourceARN, "ListTagsForResource", nil)
	if err != nil {
		return nil, err
	}
	return &TagsOutput{tagMap(*tags)}, nil
}

// TagResourceInput is the input of TagResource.
type TagResourceInput struct {
	TaggedInput
	Tags map[string]string `json:"tags"`
}

// TagResource adds tags to a cluster or association, or changes them.
func (s *Service) TagResource(c *authz.Call, in *TagResourceInput) (*struct{}, error) {
	add, err := checkTags(in.Tags)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	tags, err := s.tagged(c, in.ResourceARN, "TagResource", func(q *authz.Query) { q.RequestTags = add })
	if err != nil {
		return nil, err
	}
	merged := tagMap(*tags)
	maps.Copy(merged, in.Tags)
	if add, err = checkTags(merged); err != nil {
		return nil, err
	}
	*tags = add
	return &struct{}{}, nil
}

// UntagResourceInput is the input of UntagResource.
type UntagResourceInput struct {
	TaggedInput
	TagKeys []string `json:"-" query:"tagKeys"`
}

// UntagResource removes tags from a cluster or association.
func (s *Service) UntagResource(c *authz.Call, in *UntagResourceInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tags, err := s.tagged(c, in.ResourceARN, "UntagResource", func(q *authz.Query) {
		q.Context = func(ctx *iam.Context) { ctx.SetMulti("aws:TagKeys", in.TagKeys...) }
	})
	if err != nil {
		return nil, err
	}
	*tags = directory.RemoveTags(*tags, in.TagKeys)
	return &struct{}{}, nil
}

// tagged returns where the tags of something are, after authorising the action
// on it. The caller holds the lock.
func (s *Service) tagged(c *authz.Call, arn, action string, more func(*authz.Query)) (*[]directory.Tag, error) {
	var tags *[]directory.Tag
	for _, k := range s.clusters {
		if k.arn == arn {
			tags = &k.tags
		}
		for _, a := range k.associations {
			if a.arn == arn {
				tags = &a.tags
			}
		}
	}
	parsed, err := iam.ParseARN(arn)
	if err != nil || parsed.Service != "eks" || !strings.HasPrefix(parsed.Resource, "cluster/") && !strings.HasPrefix(parsed.Resource, "podidentityassociation/") {
		return nil, wire.BadRequest("BadRequestException", "%s is not the ARN of a cluster or a Pod Identity association", wire.Clip(arn))
	}
	q := authz.Query{Action: "eks:" + action, Resource: arn}
	if tags != nil {
		q.ResourceTags = *tags
	}
	if more != nil {
		more(&q)
	}
	if err := c.Authorize(q); err != nil {
		return nil, err
	}
	if tags == nil || parsed.Account != string(c.Account()) || parsed.Region != c.Region {
		return nil, wire.Errorf(http.StatusNotFound, "NotFoundException", "%s does not exist", wire.Clip(arn))
	}
	return tags, nil
}
